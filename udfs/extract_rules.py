"""The rules as extractor: components of captions by the lexicon alone, with nothing to load and nothing to fail."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from udfs import clock, lexicon
from udfs.role import Failure, Row

if TYPE_CHECKING:
    from jobs.settings import Settings


class RulesExtractor:
    """Components of captions by rules."""

    name = "rules"

    def __init__(self, settings: "Settings", device: str) -> None:
        """Read the words of the selected lexicon (``udfs.vocabulary.using``; a worker selects that of its settings)."""
        self.version = lexicon.version()

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """{"captions": [{caption_id, caption, status}]} -> {"captions": [{caption_id, monotone, status, extractor, components}]}.

        One result a caption, in order. A caption whose status is not ok is passed on with that status and no components.
        """
        with clock.spend("model"):
            return [{"captions": [read_caption(caption) for caption in row["captions"]]} for row in rows]


def read_caption(caption: Row, extractor: str = RulesExtractor.name) -> dict[str, Any]:
    """One caption by the rules; ``extractor`` is what the table is to say of who did it."""
    status = caption["status"]
    known = {"caption_id": caption["caption_id"], "extractor": extractor}
    if status != "ok":
        return {**known, "monotone": False, "status": status, "components": []}
    monotone = lexicon.is_monotone(caption["caption"])
    components = lexicon.find_mentions(caption["caption"])
    return {**known, "monotone": monotone, "status": "ok" if monotone else "not_monotone", "components": components}
