"""Images and texts as vectors."""
