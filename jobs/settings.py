"""Every setting of the engine, in one validated tree: the only place where a default is written.

A run's settings are a profile (a YAML file beside this module, or a path) with ``--set a.b=c`` on top. Unknown keys are errors
that name the nearest known one. ``settings_hash`` of a stage covers what changes its rows and nothing else: never ``spark``,
never ``policy``, which is applied again by every view, and no field that is marked ``**NO_ROWS``.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import to_json

PROFILES = Path(__file__).parent / "profiles"
# Marks what changes no row: where a model is reached, how patiently and how fast it is asked. Batch sizes are among them, so
# that a run that was short of memory goes on with smaller ones: no model sees a row's neighbours (padding is masked, YOLO has
# one letterbox for all, every hole its own seed). What a batch's size moves is rounding, which in half precision may decide a
# reply or a grey level; so do the device, the number of tasks and the last, smaller batch of each, which no hash holds either.
NO_ROWS: dict[str, Any] = {"json_schema_extra": {"rows": False}}


class SettingsError(ValueError):
    """A setting is unknown or has a bad value; the message says which and what is allowed."""


class _Node(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LanguageModel(_Node):
    """A language model in one of its roles; ``rules`` needs nothing else."""

    kind: Literal["rules", "transformers", "openai"] = Field("rules", description="where the model runs")
    model: str = Field("", description="local folder, GGUF file or hub name; for openai the served model's name")
    base_url: str = Field("", description="openai: the endpoint, such as http://localhost:8000/v1", **NO_ROWS)
    api_key_env: str = Field("OPENAI_API_KEY", description="openai: environment variable that holds the key", **NO_ROWS)
    timeout_s: float = Field(60.0, gt=0, description="openai: seconds before a call is tried again", **NO_ROWS)
    max_retries: int = Field(4, ge=0, description="openai: tries after the first, with backoff", **NO_ROWS)
    concurrency: int = Field(8, ge=1, description="openai: calls in flight in one worker", **NO_ROWS)
    batch_size: int = Field(16, ge=1, description="transformers: prompts in one forward pass", **NO_ROWS)
    max_new_tokens: int = Field(64, ge=1, description="the longest reply, in tokens")
    prefix_cache: bool = Field(True, description="transformers: encode the shared examples once", **NO_ROWS)
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="transformers: weights")


class Components(_Node):
    """How many components a family may have."""

    n: int = Field(3, ge=1, le=6, description="components a family at most; a family has 2^n images")


class Ingest(_Node):
    """Reading of sources."""

    batch_records: int = Field(1000, ge=1, description="records an ingest batch: the unit of all later work")
    # In the hash of ingest alone, though later stages decode under it too: a larger image never gets past ingest, and a lower
    # limit given to a later stage only fails rows, with a reason.
    max_pixels: int = Field(50_000_000, ge=1, description="larger images are refused before decoding")
    max_bytes: int = Field(64_000_000, ge=1, description="larger files are refused before reading")
    max_caption_chars: int = Field(2000, ge=1, description="longer captions have status too_long")


class Segmenter(_Node):
    """The model that finds and outlines objects; it also takes the second look of ``recheck``."""

    kind: Literal["yolo", "maskrcnn", "sam", "open_vocabulary", "annotations"] = Field("yolo", description="model family")
    weights: str = Field("", description="file or hub name; maskrcnn: a state dict, sam and open_vocabulary: a folder")
    box_weights: str = Field("", description="sam: the box detector's weights (yolo); open_vocabulary: the SAM folder for masks")
    confidence: float = Field(0.15, gt=0, lt=1, description="detections below this score are dropped")
    image_size: int = Field(640, ge=32, description="longer side given to the model, in pixels")
    batch_size: int = Field(8, ge=1, description="images in one forward pass", **NO_ROWS)
    max_instances: int = Field(100, ge=1, description="detections kept an image, best first")


class Plan(_Node):
    """Which components make a family."""

    enter_score: float = Field(0.5, gt=0, lt=1, description="a label enters a family at this detector score")
    remove_score: float = Field(0.15, gt=0, lt=1, description="then all its instances down to this score are removed")
    min_area: float = Field(0.002, ge=0, le=1, description="smallest share of the image a component may cover")
    max_area: float = Field(0.5, gt=0, le=1, description="largest share of the image a component may cover")
    max_total_area: float = Field(0.7, gt=0, le=1, description="largest share that all components may cover together")


class Inpainter(_Node):
    """The model that fills removed components."""

    kind: Literal["opencv", "diffusers", "torchscript"] = Field("opencv", description="model family")
    weights: str = Field("", description="diffusers: pipeline folder or hub name; torchscript: a file with LaMa's call")
    method: Literal["telea", "ns"] = Field("ns", description="opencv: the algorithm")
    radius: float = Field(5.0, gt=0, description="opencv: neighbourhood in pixels")
    dilate: float = Field(0.012, ge=0, description="mask dilation, as a share of the image's longer side")
    feather: float = Field(0.006, ge=0, description="soft border inside the dilated mask, as a share of the longer side")
    context: float = Field(0.5, ge=0, description="crop margin around a group, as a share of its longer side")
    reuse: bool = Field(True, description="inpaint groups that do not touch once and composite; false: every subset")
    prompt: str = Field("empty background, no objects", description="diffusers: the same prompt for every image")
    negative_prompt: str = Field("object, person, animal, text", description="diffusers: what not to paint")
    steps: int = Field(30, ge=1, description="diffusers: denoising steps")
    guidance: float = Field(7.5, ge=0, description="diffusers: guidance scale")
    size: int = Field(
        512,
        ge=8,
        description="side in pixels; diffusers: of the crop given to the model; torchscript: larger crops are scaled down",
    )
    batch_size: int = Field(4, ge=1, description="diffusers: crops in one forward pass", **NO_ROWS)
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="diffusers: weights")
    seed: int = Field(0, ge=0, description="mixed into every seed")


class Rewriter(_Node):
    """What rewrites captions; the first reply that passes the checks is taken, and the rules come last."""

    models: tuple[LanguageModel, ...] = Field((), description="language models, best first; the rules always follow")


class Judge(_Node):
    """Optional second opinions: a text judge in rewrite, an image-text judge in score."""

    text: LanguageModel | None = Field(None, description="reads (dual text, removed, kept) and says yes or no")
    image_text: str = Field("", description="folder or hub name of a BLIP image-text matching model; empty: none")


class Variants(_Node):
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


class Embedder(_Node):
    """The CLIP model behind the similarity columns; none by default, and the columns are null then."""

    model: str = Field("", description="open_clip model name or config file; empty: no CLIP columns")
    checkpoint: str = Field("", description="local checkpoint (safetensors or a state dict), or a pretrained tag")
    batch_size: int = Field(32, ge=1, description="images or texts in one forward pass", **NO_ROWS)


class Codec(_Node):
    """How dual images, originals included, are encoded."""

    format: Literal["png", "jpeg", "webp"] = Field("jpeg", description="png keeps every pixel")
    quality: int = Field(92, ge=1, le=100, description="jpeg and webp quality")
    max_side: int = Field(640, ge=16, description="larger images are scaled down to this longer side before anything is removed")


class Policy(_Node):
    """The filter: thresholds over the columns of ``scores``; null switches one off. Evaluated in SQL by every view."""

    max_residual: float | None = Field(0.35, description="highest score of a removed class left in the dual image")
    max_intruder: float | None = Field(0.6, description="highest score of a class that was not there before")
    min_survivor: float | None = Field(None, description="lowest score of a component that should still be there")
    max_seam: float | None = Field(None, description="highest gradient mismatch along the mask's border")
    max_edited_fraction: float | None = Field(0.6, description="largest share of pixels edited")
    min_clip_true: float | None = Field(None, description="lowest similarity of dual image and dual text")
    min_clip_drop: float | None = Field(None, description="least fall of similarity with the removed labels")
    min_clip_image: float | None = Field(None, description="lowest similarity of dual image and original")
    min_text_agreement: float | None = Field(
        0.5, description="lowest share of rewriters and judges that agree, where two or more did"
    )
    min_judge: float | None = Field(None, description="lowest image-text matching probability, where a judge is configured")
    require_text_ok: bool = Field(True, description="texts must pass the rule checks")


class Publish(_Node):
    """The training snapshot."""

    shards: int = Field(8, ge=1, description="parts, equal but for one family; a multiple of the training processes")
    seed: int = Field(0, ge=0, description="of the order of families")
    wave_batches: int = Field(8, ge=1, description="ingest batches whose images are shuffled at a time")
    row_group_bytes: int = Field(8 << 20, ge=1 << 10, description="bytes in a row group, the unit of reading")
    balance: Literal["none", "lattice"] = Field(
        "none", description="lattice: leave kept duals out until every number of removed components is kept at one rate"
    )


class Spark(_Node):
    """The session and its streams. Never part of a settings hash."""

    master: str = Field("", description="empty: what spark-submit or Databricks gives, else local[*]")
    partitions: int = Field(
        0,
        ge=0,
        description="tasks a micro-batch is cut into; 0: the cores of a local session, or spark.sql.shuffle.partitions",
    )
    log_level: str = Field("FATAL", description="of a local session; a failure is told in one line, ERROR adds Spark's traces")
    driver_memory: str = Field("4g", description="heap of a local session")
    conf: dict[str, str] = Field(default_factory=dict, description="any further Spark setting")
    threads_per_task: int = Field(1, ge=1, description="torch, OpenCV and OpenMP threads in one Python worker")
    pause_s: float = Field(10.0, ge=0, description="pause between rounds of run --continuous")


class Settings(_Node):
    """The whole tree."""

    catalog: str = Field("", description="Unity Catalog or Hive catalog; with schema_name, tables are named, not paths")
    schema_name: str = Field("", description="schema in the catalog")
    lexicon: str = Field("", description="whose words captions are read by: a scene domain or a YAML file; empty: COCO's")
    components: Components = Components()
    ingest: Ingest = Ingest()
    extractor: LanguageModel = LanguageModel()
    segmenter: Segmenter = Segmenter()
    plan: Plan = Plan()
    rewriter: Rewriter = Rewriter()
    judge: Judge = Judge()
    variants: Variants = Variants()
    inpainter: Inpainter = Inpainter()
    codec: Codec = Codec()
    embedder: Embedder = Embedder()
    policy: Policy = Policy()
    publish: Publish = Publish()
    spark: Spark = Spark()

    @field_validator("lexicon")
    @classmethod
    def _lexicon_exists(cls, lexicon: str) -> str:
        from udfs.vocabulary import DOMAINS, locate

        found = locate(lexicon)
        # Workers have another working folder; a built-in name is one everywhere.
        return lexicon if not lexicon or found.parent == DOMAINS else str(found)

    def shown(self, indent: int | None = None, exclude_defaults: bool = False) -> str:
        """The tree as JSON for people and tables: ``model_dump_json`` without secrets.

        The values of ``spark.conf`` are hidden one and all (passwords also stand in JDBC addresses and JVM options), as are the
        user and query of every address.
        """
        tree = self.model_dump(mode="json", exclude_defaults=exclude_defaults)
        if conf := tree.get("spark", {}).get("conf"):
            tree["spark"]["conf"] = dict.fromkeys(conf, "***")
        return to_json(without_secrets(tree), indent=indent, inf_nan_mode="null").decode()


def load_settings(profile: str = "photos", overrides: Iterable[str] = ()) -> Settings:
    """Read a profile (a built-in name or a YAML file), apply ``a.b=c`` overrides (YAML values) and validate.

    Raises:
        SettingsError: no such profile, an override without ``=``, an unknown key or a bad value.
    """
    path = PROFILES / f"{profile}.yaml"
    if not path.is_file():
        path = Path(profile)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.yaml")))
        raise SettingsError(f"no profile {profile!r}: built in are {known}; or give a YAML file")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as problem:
        raise SettingsError(f"{path} is not YAML: {problem}") from problem
    if not isinstance(tree, dict):
        raise SettingsError(f"{path} must hold a mapping of settings")
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise SettingsError(f"--set takes a.b=c, not {override!r}")
        try:
            _put(tree, key.split("."), yaml.safe_load(value))
        except yaml.YAMLError as problem:
            raise SettingsError(f"--set {override!r}: the value is not YAML") from problem
    return validate_settings(tree)


def validate_settings(tree: dict[str, Any]) -> Settings:
    """Make ``Settings`` of a plain tree, with errors a person can act on."""
    try:
        return Settings.model_validate(tree)
    except ValidationError as problem:
        raise SettingsError("; ".join(_explain(error) for error in problem.errors())) from None


def settings_hash(settings: Settings, sections: Iterable[str]) -> str:
    """Sixteen hexadecimal digits over the named sections (``plan``) or single settings (``ingest.max_bytes``).

    What is marked ``NO_ROWS`` is left out. Weights count by their path: the driver may not have them, and would read gigabytes at
    each start. What was loaded is each row's ``model_version``.
    """
    tree = _of_rows(settings)
    chosen: dict[str, Any] = {name: reduce(dict.__getitem__, name.split("."), tree) for name in sections}
    if lexicon := chosen.pop("lexicon", ""):
        from udfs.vocabulary import load

        chosen["lexicon"] = load(lexicon).digest  # of its words: where the file lies changes no row
    text = json.dumps(chosen, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe(node: type[BaseModel] = Settings, prefix: str = "") -> list[tuple[str, str, str]]:
    """Every setting as (dotted name, default, description), in order: the option table of the README."""
    rows = []
    for name, field in node.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            rows += describe(type(default), f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", json.dumps(default), field.description or ""))
    return rows


def without_secrets(value: Any) -> Any:
    """A tree or text with its addresses bare of user and query: ``http://me:key@host/v1?key=1`` as ``http://host/v1``."""
    if isinstance(value, dict):
        return {name: without_secrets(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if not isinstance(value, str) or "://" not in value:
        return value
    return re.sub(r"(?<=://)[^/?#\s]*@|[?#]\S*", "", value)


def _of_rows(value: Any) -> Any:
    """A section as a plain tree without what is marked ``NO_ROWS``."""
    if isinstance(value, BaseModel):
        marked = NO_ROWS["json_schema_extra"]
        made = [name for name, field in type(value).model_fields.items() if field.json_schema_extra != marked]
        return {name: _of_rows(getattr(value, name)) for name in made}
    return [_of_rows(item) for item in value] if isinstance(value, tuple) else value


def _put(tree: dict[str, Any], path: list[str], value: object) -> None:
    for name in path[:-1]:
        child = tree.setdefault(name, {})
        if not isinstance(child, dict):
            raise SettingsError(f"--set {'.'.join(path)}: {name} is a value, not a section")
        tree = child
    tree[path[-1]] = value


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"setting {where}: {error['msg']}"
    near = difflib.get_close_matches(str(error["loc"][-1]), _known(error["loc"][:-1]), n=1, cutoff=0.0)
    return f"unknown setting {where}; the nearest known one is {'.'.join([*map(str, error['loc'][:-1]), *near])}"


def _known(path: tuple[str | int, ...]) -> list[str]:
    node: Any = Settings
    for part in path:
        if isinstance(part, str):
            annotation = node.model_fields[part].annotation
            node = next(t for t in (annotation, *_inner(annotation)) if isinstance(t, type) and issubclass(t, BaseModel))
    return list(node.model_fields)


def _inner(annotation: object) -> list[object]:
    return [leaf for part in get_args(annotation) for leaf in (part, *_inner(part))]
