"""Filling the place of removed objects: a file for each model, the lattice of subsets, and the two roles."""
