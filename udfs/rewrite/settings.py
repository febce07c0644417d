"""Settings of the rewriter."""

from pydantic import Field, field_validator

from udfs.language.settings import LanguageModel
from udfs.sections import Section


class RewriterSettings(Section):
    """Which models rewrite captions, and where the rules stand among them; ``udfs.rewrite.rewriter`` says whose text is used."""

    models: tuple[LanguageModel, ...] = Field(
        (),
        description="language models, best first, with {kind: rules} where the rules stand; without it they stand before"
        " the first model of less than 3 billion parameters, else last",
    )

    @field_validator("models")
    @classmethod
    def _has_rules_once(cls, models: tuple[LanguageModel, ...]) -> tuple[LanguageModel, ...]:
        if sum(model.kind == "rules" for model in models) > 1:
            raise ValueError("kind rules may be there once")
        return models
