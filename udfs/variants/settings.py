"""Settings of the text variants."""

from typing import Literal

from pydantic import Field

from udfs.language.settings import LanguageModel
from udfs.sections import Section


class VariantsSettings(Section):
    """Negatives and rewrites of texts, made only where the stage is asked for: ``dualset run --stages variants``."""

    kinds: tuple[
        Literal["swap", "replace_noun", "replace_adjective", "replace_relation", "paraphrase", "rewrite", "llm_replace"], ...
    ] = Field(
        ("swap", "replace_noun", "replace_adjective", "replace_relation", "paraphrase", "rewrite"),
        description="made of every text; llm_replace needs a model, rewrite takes one where there is one",
    )
    each: int = Field(2, ge=1, description="variants of each kind for a text at most")
    model: LanguageModel | None = Field(None, description="makes llm_replace and rewrite, checked by rules; null: rules alone")
    seed: int = Field(0, ge=0, description="of the choice among variants")
