"""Finding and outlining objects: a file for each model, and the two roles that use them."""
