"""Settings of the rewriter."""

from pydantic import Field

from udfs.language.settings import LanguageModel
from udfs.sections import Section


class RewriterSettings(Section):
    """Which models rewrite captions. The first reply that passes the checks is used; the rules come last."""

    models: tuple[LanguageModel, ...] = Field((), description="language models, best first; the rules always follow")
