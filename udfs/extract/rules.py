"""The rules as extractor: components of captions by the lexicon alone. Loads no weights and cannot fail."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from udfs import clock
from udfs.captions import lexicon
from udfs.role import Failure, Row

if TYPE_CHECKING:
    from udfs.settings import RoleSettings


class RulesExtractor:
    """Components of captions by rules."""

    name = "rules"

    def __init__(self, settings: "RoleSettings", device: str) -> None:
        """Use the selected lexicon (``udfs.captions.vocabulary.using``); a worker selects the one of its settings."""
        self.version = lexicon.version()

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """{"captions": [{caption_id, caption, status}]} -> {"captions": [{caption_id, monotone, status, extractor, components}]}.

        One result per caption, in order. A caption whose status is not ok is passed on with that status and no components.
        """
        with clock.spend("model"):
            return [{"captions": [read_caption(caption) for caption in row["captions"]]} for row in rows]


def read_caption(caption: Row, extractor: str = RulesExtractor.name) -> dict[str, Any]:
    """Extract one caption by the rules; ``extractor`` is the name recorded in the table."""
    status = caption["status"]
    base = {"caption_id": caption["caption_id"], "extractor": extractor}
    if status != "ok":
        return {**base, "monotone": False, "status": status, "components": []}
    monotone = lexicon.is_monotone(caption["caption"])
    components = lexicon.find_mentions(caption["caption"])
    return {**base, "monotone": monotone, "status": "ok" if monotone else "not_monotone", "components": components}
