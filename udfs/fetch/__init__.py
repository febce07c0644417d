"""Reads and checks the bytes of source images."""
