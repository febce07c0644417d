"""Extraction of the components that captions name: by rules, or by a language model that the rules check."""
