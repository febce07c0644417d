"""Spark jobs, a module a stage, and the command line over them."""
