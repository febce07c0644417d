"""What people say of pairs, as a small JSON file: its shape, its check, and how it becomes rows of ``reviews``."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

if TYPE_CHECKING:
    from jobs.settings import Settings
    from jobs.tables import Store

FORMAT = "dualset-review-1"
LARGEST = 64 << 20  # bytes of a file: thousands of times what a page saves
# Code: what the page says, and whether it is a fault of the image, whatever text goes with it. The page's keys 1 to 9, in order.
REASONS: dict[str, tuple[str, Literal["image", "text"]]] = {
    "object_left": ("what was removed is still there", "image"),
    "other_gone": ("something else is gone or damaged", "image"),
    "smear": ("a smear or hole that one sees", "image"),
    "shadow": ("its shadow or reflection is left", "image"),
    "invented": ("something new has appeared", "image"),
    "names_gone": ("still names what is gone", "text"),
    "untrue": ("says what the image does not show", "text"),
    "lost_words": ("left out more than what is gone", "text"),
    "grammar": ("bad grammar or makes no sense", "text"),
}

Id = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{1,16}$")]


class ReviewError(RuntimeError):
    """A file is not what the review page saves, or contradicts what was imported; nothing was written."""


class Part(BaseModel):
    """Strict: what is not known is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Facts(Part):
    """Which pair it is and how it was chosen: the page carries this from the export to the file, unread."""

    record_id: Id
    subset: Annotated[int, Field(ge=1, le=63)]
    caption_id: Id
    image_version: Version
    text_version: Version
    stratum: Literal["doubtful", "random"]
    inclusion_probability: Annotated[float, Field(gt=0, le=1)] | None
    population: Annotated[int, Field(ge=1)] | None
    kept: bool

    @model_validator(mode="after")
    def _drawn(self) -> Self:
        drawn = self.stratum == "random"
        if (self.inclusion_probability is not None) != drawn or (self.population is not None) != drawn:
            raise ValueError("inclusion_probability and population are those of the random stratum")
        return self


class Word(Facts):
    """One judgement of one pair."""

    verdict: Literal["accept", "reject"]
    reasons: list[str] = Field(max_length=len(REASONS))
    note: Annotated[str, StringConstraints(max_length=2000)]
    judged_at: Annotated[AwareDatetime, Field(strict=False)]

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        unknown = sorted(set(self.reasons) - REASONS.keys())
        if unknown or len(set(self.reasons)) < len(self.reasons):
            raise ValueError(f"unknown or repeated reasons: {', '.join(unknown or self.reasons)}")
        if self.verdict == "accept" and self.reasons:
            raise ValueError("an accepted pair has no reasons")
        return self

    @property
    def scope(self) -> str:
        """image: one of the reasons is a fault of the image, which no other text can mend."""
        return "image" if any(REASONS[reason][1] == "image" for reason in self.reasons) else "pair"


class Saved(Part):
    """The file that a page saves."""

    format: Literal["dualset-review-1"]
    export_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    seed: int
    policy: str
    reviewer: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    saved_at: Annotated[AwareDatetime, Field(strict=False)]
    reviews: list[Word]

    @model_validator(mode="after")
    def _once(self) -> Self:
        pairs = {(word.record_id, word.subset, word.caption_id) for word in self.reviews}
        if len(pairs) < len(self.reviews):
            raise ValueError("a pair is there twice")
        return self


@dataclass
class Imported:
    """What an import did, in words: ``unknown`` and ``changed`` name pairs as record/subset/caption."""

    written: int = 0
    known: int = 0
    unknown: list[str] = field(default_factory=list)  # in no current row of `scores`
    changed: list[str] = field(default_factory=list)  # their image or text was made anew since the export


def read_words(path: str) -> Saved:
    """A saved file, checked.

    Raises:
        ReviewError: it cannot be read, or is not what a page saves; one line that says where.
    """
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as problem:  # ValueError: an unknown protocol
        raise ReviewError(f"{path}: cannot be read: {problem}") from problem
    if len(data) > LARGEST:
        raise ReviewError(f"{path}: larger than {LARGEST >> 20} MB, no page saves that")
    try:
        return Saved.model_validate(json.loads(data))
    except ValidationError as problem:
        first, *others = problem.errors(include_url=False, include_input=False)
        place = ".".join(map(str, first["loc"])) or "the file"
        more = f", and {len(others)} more faults" if others else ""
        raise ReviewError(f"{path}: {place}: {first['msg']}{more}") from problem
    except (ValueError, RecursionError) as problem:  # no UTF-8, no JSON, or brackets without end
        raise ReviewError(f"{path}: no JSON: {problem}") from problem


def import_words(store: "Store", settings: "Settings", paths: Sequence[str]) -> Imported:
    """Append the words of some files to ``reviews``; a word that is there already is not written again.

    All files are read and checked first, so that one that is damaged leaves the table as it was.

    Raises:
        ReviewError: a file is damaged, or says otherwise than the table of the same reviewer, pair and moment.
    """
    from jobs.tables import schema
    from jobs.views import create_views

    words: dict[Key, Row] = {}
    for path in paths:
        for word in _rows(read_words(path)):
            _agree(words.setdefault(_key(word), word), word, path)
    store.create("reviews")
    done = Imported()
    present, known = _present(store, words), _known(store, words)
    fresh = []
    for key, word in words.items():
        if key in known:
            _agree(known[key], word, "the table")
            done.known += 1
        elif key[1:4] not in present:
            done.unknown.append(_shown(word))
        elif (now := present[key[1:4]])[1:] != (word["image_version"], word["text_version"]):
            done.changed.append(_shown(word))
        else:
            fresh.append(word | {"ingest_batch": now[0], "imported_at": datetime.now(UTC)})
    done.written = len(fresh)
    if fresh:
        names = schema(store.spark, "reviews")
        rows = store.spark.createDataFrame([tuple(word[name] for name in names.names) for word in fresh], names).coalesce(1)
        # Two imports of one file at the same time: Delta lets one of them write.
        digest = hashlib.sha256(repr(sorted(map(_key, fresh))).encode()).hexdigest()
        store.append(rows, "reviews", f"review-{digest[:32]}", 0)
    if store.catalog:
        create_views(store, settings)  # those that are there may know of no reviews yet
    return done


Row = dict[str, Any]
Key = tuple[str, str, int, str, int]  # reviewer, record_id, subset, caption_id, microseconds


def _rows(saved: Saved) -> list[Row]:
    same = {"reviewer": saved.reviewer, "policy": saved.policy, "seed": saved.seed, "export_id": saved.export_id}
    return [{**word.model_dump(), "scope": word.scope, "note": word.note or None, **same} for word in saved.reviews]


def _key(word: Row) -> Key:
    moment: datetime = word["judged_at"]
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return word["reviewer"], word["record_id"], word["subset"], word["caption_id"], micros


def _agree(first: Row, word: Row, where: str) -> None:
    said = ("verdict", "reasons", "note")
    if any(first[name] != word[name] for name in said):
        raise ReviewError(f"{where}: {word['reviewer']} said two things of {_shown(word)} at {word['judged_at'].isoformat()}")


def _shown(word: Row) -> str:
    return f"{word['record_id']}/{word['subset']}/{word['caption_id']}"


def _present(store: "Store", words: dict[Key, Row]) -> dict[tuple[str, int, str], tuple[str, str, str]]:
    """(record_id, subset, caption_id) of those pairs that are in ``scores``: (ingest_batch, image_version, text_version)."""
    from pyspark.sql import functions as F

    from jobs.policy import IMAGE_VERSION, TEXT_VERSION
    from jobs.views import latest

    withdrawn = store.exists("withdrawn")
    keys = store.spark.createDataFrame(sorted({key[1:4] for key in words}), "record_id STRING, subset INT, caption_id STRING")
    scores, duals = (
        store.spark.sql(f"SELECT *, {text} AS version FROM {latest(store, table, withdrawn=withdrawn)}").where("status = 'ok'")  # noqa: S608
        for table, text in (("scores", TEXT_VERSION), ("dual_images", IMAGE_VERSION))
    )
    texts = scores.select("ingest_batch", "record_id", "subset", "caption_id", F.col("version").alias("text_version"))
    images = duals.select("record_id", "subset", F.col("version").alias("image_version"))
    pairs = texts.join(F.broadcast(keys), on=["record_id", "subset", "caption_id"], how="inner")
    found = F.broadcast(pairs).join(images, on=["record_id", "subset"], how="inner").collect()
    return {
        (row["record_id"], row["subset"], row["caption_id"]): (row["ingest_batch"], row["image_version"], row["text_version"])
        for row in found
    }


def _known(store: "Store", words: dict[Key, Row]) -> dict[Key, Row]:
    """What the table has of these reviewers."""
    from pyspark.sql import functions as F

    names = ("reviewer", "record_id", "subset", "caption_id", "verdict", "reasons", "note")
    rows = store.read("reviews").where(F.col("reviewer").isin(sorted({key[0] for key in words})))
    said = rows.select(*names, F.unix_micros("judged_at").alias("micros")).collect()
    return {(*row[:4], row["micros"]): row.asDict() for row in said}
