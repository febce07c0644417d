"""The captions of an image, and what an extractor read in them, as rows."""

from typing import TypedDict

from udfs.role import Row


class CaptionRow(TypedDict):
    """A caption of the source."""

    caption_id: str
    caption: str
    status: str


class ParsedCaptionRow(TypedDict):
    """A caption as an extractor parsed it; ``components`` are its mentions (``udfs.captions.mentions``)."""

    caption_id: str
    monotone: bool
    status: str
    components: list[Row] | None
