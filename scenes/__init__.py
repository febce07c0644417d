"""The scene world: small scenes that are rendered, so that the truth of every stage is known."""
