"""Scores of every stage against the known truth of scenes."""
