"""The settings that roles read: the sections that stand beside them, put together."""

from pydantic import ConfigDict, Field, field_validator

from udfs.captions.vocabulary import DOMAINS, locate
from udfs.codec import CodecSettings
from udfs.embed.settings import EmbedderSettings
from udfs.fetch.settings import IngestSettings
from udfs.inpaint.settings import InpainterSettings
from udfs.judge.settings import JudgeSettings
from udfs.language.settings import LanguageModel
from udfs.plan.settings import ComponentsSettings, PlanSettings
from udfs.rewrite.settings import RewriterSettings
from udfs.sections import Section
from udfs.segment.settings import SegmenterSettings
from udfs.variants.settings import VariantsSettings


class WorkerSettings(Section):
    """How a worker process runs. It changes no row that can be made in time."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    threads_per_task: int = Field(1, ge=1, description="torch, OpenCV and OpenMP threads in one Python worker")
    row_deadline_s: float = Field(
        600,
        gt=0,
        le=86_400,
        allow_inf_nan=False,
        description="seconds that a model may take for a row, and four times as many for a batch; then `timed_out`",
    )


class RoleSettings(Section):
    """What a role is built from. Validated from the whole tree, it ignores the engine's own sections."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    lexicon: str = Field("", description="the lexicon that captions are read with: a scene domain or a YAML file; empty: COCO's")
    components: ComponentsSettings = ComponentsSettings()
    ingest: IngestSettings = IngestSettings()
    extractor: LanguageModel = LanguageModel()
    segmenter: SegmenterSettings = SegmenterSettings()
    plan: PlanSettings = PlanSettings()
    rewriter: RewriterSettings = RewriterSettings()
    judge: JudgeSettings = JudgeSettings()
    variants: VariantsSettings = VariantsSettings()
    inpainter: InpainterSettings = InpainterSettings()
    codec: CodecSettings = CodecSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    spark: WorkerSettings = WorkerSettings()

    @field_validator("lexicon")
    @classmethod
    def _lexicon_exists(cls, lexicon: str) -> str:
        path = locate(lexicon)
        # Absolute, as workers have another working folder; a built-in name means the same everywhere.
        return lexicon if not lexicon or path.parent == DOMAINS else str(path)
