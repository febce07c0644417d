"""Every setting of the engine, in one validated tree. The sections of roles are written beside the roles, the others here.

A run's settings are a profile (a name in ``jobs/engine/profiles``, or a YAML file) with ``--set a.b=c`` on top. An unknown key is
an error that names the nearest known key. The ``settings_hash`` of a stage covers the settings that change its rows and nothing
else: never ``spark``, never ``policy``, which every view applies anew, and no field that is marked ``**NO_ROWS``; a field that is
marked ``**LATER`` only where it is not the default.
"""

import difflib
import hashlib
import json
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from udfs.captions import vocabulary
from udfs.errors import DualsetError
from udfs.redact import without_secrets
from udfs.sections import LATER, NO_ROWS, Section
from udfs.settings import RoleSettings, WorkerSettings

PROFILES = Path(__file__).parent / "engine" / "profiles"


class SettingsError(DualsetError, ValueError):
    """A setting is unknown or has a bad value; the message says which setting, and what is allowed."""


class Policy(Section):
    """The filter: thresholds over the columns of ``scores``, applied by every view in SQL; null switches a threshold off."""

    max_residual: float | None = Field(0.35, description="highest score of a removed class that is still seen in the dual image")
    max_intruder: float | None = Field(0.6, description="highest score of a class that is new in the dual image")
    min_survivor: float | None = Field(None, description="lowest score of a component that should still be there")
    max_seam: float | None = Field(None, description="highest gradient mismatch along the mask's border")
    max_smear: float | None = Field(None, description="highest estimated chance that one sees the edit; fitted on OpenCV's fills")
    max_edited_fraction: float | None = Field(0.6, description="largest share of pixels edited")
    min_clip_true: float | None = Field(None, description="lowest similarity of dual image and dual text")
    min_clip_drop: float | None = Field(None, description="least drop of the similarity with the removed labels")
    min_clip_image: float | None = Field(None, description="lowest similarity of dual image and original")
    min_text_agreement: float | None = Field(
        0.5, description="how far the other rewriters and judges agree with a text at least, 0 to 1, where there are others"
    )
    min_judge: float | None = Field(None, description="lowest image-text matching probability, where a judge is configured")
    require_text_ok: bool = Field(True, description="texts must pass the rule checks")


class Publish(Section):
    """The training snapshot."""

    shards: int = Field(8, ge=1, description="parts of equal size but for one family; a multiple of the training processes")
    seed: int = Field(0, ge=0, description="seed of the order of families")
    wave_batches: int = Field(8, ge=1, description="ingest batches whose images are shuffled at a time")
    row_group_bytes: int = Field(8 << 20, ge=1 << 10, description="bytes of a row group, the unit of reading")
    balance: Literal["none", "lattice"] = Field(
        "none", description="lattice: leave out kept duals until each number of removed components is kept at the same rate"
    )


class Spark(WorkerSettings):
    """The session and its streams. Never part of a settings hash."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    master: str = Field("", description="empty: the master of spark-submit or Databricks, else local[*]")
    partitions: int = Field(
        0,
        ge=0,
        description="tasks that a micro-batch is cut into; 0: the cores of a local session, or spark.sql.shuffle.partitions",
    )
    log_level: str = Field("FATAL", description="log level of a local session; a failure is one line; ERROR: with Spark's traces")
    driver_memory: str = Field("4g", description="heap of a local session")
    conf: dict[str, str] = Field(default_factory=dict, description="any further Spark setting")
    pause_s: float = Field(10.0, ge=0, description="pause between rounds of run --continuous")


class Settings(RoleSettings):
    """The whole tree: the sections of roles (``udfs.settings``) and those of the engine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    catalog: str = Field("", description="Unity Catalog or Hive catalog; with schema_name, tables are named, not paths")
    schema_name: str = Field("", description="schema in the catalog")
    policy: Policy = Policy()
    publish: Publish = Publish()
    spark: Spark = Spark()

    def shown(self, indent: int | None = None, exclude_defaults: bool = False) -> str:
        """The tree as JSON for people and tables: ``model_dump_json`` without secrets.

        All values of ``spark.conf`` are hidden, as JDBC addresses and JVM options may hold passwords too. So are user and query
        of every address.
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
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as problem:
        raise SettingsError(f"{path} is not YAML: {without_secrets(str(problem))}") from None  # it quotes the line
    if not isinstance(tree, dict):
        raise SettingsError(f"{path} must hold a mapping of settings")
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise SettingsError(f"--set takes a.b=c, not {without_secrets(override)!r}")
        try:
            _put(tree, key.split("."), yaml.safe_load(value))
        except yaml.YAMLError:
            raise SettingsError(f"--set {key}: the value is not YAML") from None  # which may be a secret
    return validate_settings(tree)


def validate_settings(tree: dict[str, Any]) -> Settings:
    """Turn a plain tree into ``Settings``.

    Raises:
        SettingsError: an unknown key or a bad value.
    """
    try:
        return Settings.model_validate(tree)
    except ValidationError as problem:
        raise SettingsError("; ".join(_explain(error) for error in problem.errors())) from None


def settings_hash(settings: Settings, sections: Iterable[str]) -> str:
    """Sixteen hexadecimal digits over the named sections (``plan``) or single settings (``ingest.max_bytes``).

    Fields that are marked ``NO_ROWS``, or ``LATER`` and not changed, are left out. Weights count by their path: the driver may
    not have them, and would read gigabytes at each start. The ``model_version`` of a row tells which weights were loaded.
    """
    tree = _of_rows(settings)
    chosen: dict[str, Any] = {name: reduce(dict.__getitem__, name.split("."), tree) for name in sections}
    if lexicon := chosen.pop("lexicon", ""):
        chosen["lexicon"] = vocabulary.load(lexicon).digest  # of its words, as the place of the file changes no row
    text = json.dumps(chosen, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe(node: type[BaseModel] = Settings, prefix: str = "") -> list[tuple[str, str, str]]:
    """Every setting as (dotted name, default, description), in order: the rows of ``jobs/settings.md``."""
    rows = []
    for name, field in node.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            rows += describe(type(default), f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", json.dumps(default), field.description or ""))
    return rows


def _of_rows(value: Any) -> Any:
    """A section as a plain tree, without the fields that are marked ``NO_ROWS``, and those marked ``LATER`` at their default."""
    if isinstance(value, BaseModel):
        never, later = NO_ROWS["json_schema_extra"], LATER["json_schema_extra"]
        fields = type(value).model_fields.items()
        kept = {name: field for name, field in fields if field.json_schema_extra != never}
        names = [n for n, field in kept.items() if field.json_schema_extra != later or getattr(value, n) != field.default]
        return {name: _of_rows(getattr(value, name)) for name in names}
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
