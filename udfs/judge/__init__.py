"""Judges: independent second opinions on texts and on image-text pairs."""
