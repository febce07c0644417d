"""Spark jobs, a module for each stage, and the command line over them."""
