"""The scene world: synthetic pictures with captions, for which the complete ground truth is known."""
