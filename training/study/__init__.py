"""The study: all methods and controls in one training loop, on scenes whose truth is known, and a report of the results."""

from udfs.errors import DualsetError


class StudyError(DualsetError):
    """The study cannot go on; the message says why."""
