"""Training of the embedded models, which come with the project."""
