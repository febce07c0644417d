"""The base of every error that this project raises on purpose."""


class DualsetError(Exception):
    """A problem that a person can act on. The message is one line: what is wrong and what to do."""
