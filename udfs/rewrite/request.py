"""The request to rewrite a caption, and the interface of models that answer it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from udfs.role import Failure


@dataclass(frozen=True)
class RewriteRequest:
    """One caption, the phrases that must go and the phrases that must stay; phrases are substrings of the caption."""

    caption: str
    removed_phrases: tuple[str, ...]
    kept_phrases: tuple[str, ...]


class Proposer(Protocol):
    """A model that proposes rewritten captions. The caller checks its proposals."""

    name: str
    version: str
    parameters: int | None  # how many the model has; None if unknown

    def propose(self, requests: Sequence[RewriteRequest]) -> list[str | Failure]:
        """Return one text or failure for each request, in order."""
        ...
