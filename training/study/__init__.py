"""The study: every method and control under one loop, on scenes of which the truth is known, and a report of what came out."""


class StudyError(RuntimeError):
    """The study cannot go on; the message says why."""
