"""Decides which components make a family."""
