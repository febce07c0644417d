"""Settings of the judges."""

from pydantic import Field

from udfs.language.settings import LanguageModel
from udfs.sections import Section


class JudgeSettings(Section):
    """Optional second opinions: a text judge in rewrite, an image-text judge in score."""

    text: LanguageModel | None = Field(None, description="reads (dual text, removed, kept) and says yes or no")
    image_text: str = Field("", description="folder or hub name of a BLIP image-text matching model; empty: none")
