"""People's verdicts on pairs, saved as a small JSON file: its format, its validation, and its import into ``reviews``."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, Self, cast

import fsspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pyspark.sql import functions as F

from jobs.engine.policy import IMAGE_VERSION, TEXT_VERSION
from jobs.engine.tables import Store
from jobs.engine.views import create_views, current_rows
from jobs.engine.writers import writing
from jobs.look.review.rows import PairKey, ReviewRow
from jobs.settings import Settings
from udfs.errors import DualsetError
from udfs.files import file_errors

FORMAT = "dualset-review-1"
LARGEST = 64 << 20  # bytes of a file: thousands of times what a page saves
# What a person is asked of a pair; each reason answers one of these with no.
QUESTIONS = {
    "gone": "what was removed is gone, all of it and nothing else",
    "text": "the text is true and good English",
    "whole": "the text leaves out no more than what is gone",
    "natural": "one would take the image for a photograph",
}


class Reason(NamedTuple):
    """Why a pair is rejected: the page's text, whether it is a fault of the image, for any of its texts, and the question."""

    text: str
    fault_of: Literal["image", "text"]
    question: Literal["gone", "text", "whole", "natural"]  # of QUESTIONS, which it answers with no


# By code, in the order of the keys 1 to 9.
REASONS = {
    "object_left": Reason("what was removed is still there", "image", "gone"),
    "other_gone": Reason("something else is gone or damaged", "image", "gone"),
    "smear": Reason("a smear or hole that one sees", "image", "natural"),
    "shadow": Reason("its shadow or reflection is left", "image", "natural"),
    "invented": Reason("something new has appeared", "image", "gone"),
    "names_gone": Reason("still names what is gone", "text", "text"),
    "untrue": Reason("says what the image does not show", "text", "text"),
    "lost_words": Reason("left out more than what is gone", "text", "whole"),
    "grammar": Reason("bad grammar or makes no sense", "text", "text"),
}

Id = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{1,16}$")]
Key = tuple[str, str, int, str, int]  # reviewer, record_id, subset, caption_id, microseconds


class ReviewError(DualsetError):
    """A file is not what the review page saves, or contradicts an earlier import; nothing was written."""


class Part(BaseModel):
    """Strict: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Facts(Part):
    """Which pair it is and how it was chosen. The page copies this from the export to the file unchanged."""

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


class Verdict(Facts):
    """A reviewer's verdict on a pair."""

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
        """image: a reason is a fault of the image, which no other text can repair; else pair."""
        return "image" if any(REASONS[reason].fault_of == "image" for reason in self.reasons) else "pair"


class Saved(Part):
    """The file that a page saves."""

    format: Literal["dualset-review-1"]
    export_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    seed: int
    policy: str
    reviewer: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    saved_at: Annotated[AwareDatetime, Field(strict=False)]
    reviews: list[Verdict]

    @model_validator(mode="after")
    def _once(self) -> Self:
        pairs = {(verdict.record_id, verdict.subset, verdict.caption_id) for verdict in self.reviews}
        if len(pairs) < len(self.reviews):
            raise ValueError("a pair occurs twice")
        return self


@dataclass
class Imported:
    """What an import did with the verdicts: ``unknown`` and ``changed`` name pairs as record/subset/caption."""

    written: int = 0
    known: int = 0
    unknown: list[str] = field(default_factory=list)  # in no current row of `scores`
    changed: list[str] = field(default_factory=list)  # their image or text has changed since the export


def read_verdicts(path: str) -> Saved:
    """A saved file, validated.

    Raises:
        ReviewError: it cannot be read, or is not what a page saves; one line that says where.
    """
    try:
        with fsspec.open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except file_errors(ValueError, ImportError) as problem:  # a protocol that is unknown or not installed
        raise ReviewError(f"{path}: cannot be read: {problem}") from problem
    if len(data) > LARGEST:
        raise ReviewError(f"{path}: larger than {LARGEST >> 20} MB, which no page saves")
    try:
        return Saved.model_validate(json.loads(data))
    except ValidationError as problem:
        first, *others = problem.errors(include_url=False, include_input=False)
        place = ".".join(map(str, first["loc"])) or "the file"
        more = f", and {len(others)} more errors" if others else ""
        raise ReviewError(f"{path}: {place}: {first['msg']}{more}") from problem
    except (ValueError, RecursionError) as problem:  # not UTF-8, not JSON, or nested too deeply
        raise ReviewError(f"{path}: not JSON: {problem}") from problem


def import_verdicts(store: Store, settings: Settings, paths: Sequence[str]) -> Imported:
    """Append the verdicts of some files to ``reviews``; a known verdict is not written again.

    All files are read and validated first, so that a damaged file leaves the table unchanged.

    Raises:
        ReviewError: a file is damaged, or contradicts the table or another file: same reviewer, pair and moment.
    """
    verdicts: dict[Key, ReviewRow] = {}
    for path in paths:
        for verdict in _rows(read_verdicts(path)):
            _agree(verdicts.setdefault(_key(verdict), verdict), verdict, path)
    with writing(store.root, ["reviews"]):
        result = _append_new(store, verdicts)
    if store.catalog:
        create_views(store, settings)  # the existing views may not read `reviews` yet
    return result


def _append_new(store: Store, verdicts: dict[Key, ReviewRow]) -> Imported:
    store.create("reviews")
    result = Imported()
    present, known = _present(store, verdicts), _known(store, verdicts)
    fresh: list[dict[str, Any]] = []
    for key, verdict in verdicts.items():
        if key in known:
            _agree(known[key], verdict, "the table")
            result.known += 1
        elif key[1:4] not in present:
            result.unknown.append(_shown(verdict))
        elif (current := present[key[1:4]])[1:] != (verdict["image_version"], verdict["text_version"]):
            result.changed.append(_shown(verdict))
        else:
            fresh.append({**verdict, "ingest_batch": current[0], "imported_at": datetime.now(UTC)})
    result.written = len(fresh)
    if fresh:
        # Delta, too, writes an import only once.
        digest = hashlib.sha256(repr(sorted(_key(cast(ReviewRow, row)) for row in fresh)).encode()).hexdigest()
        store.append(store.local_rows(fresh, "reviews"), "reviews", f"review-{digest[:32]}", 0)
    return result


def _rows(saved: Saved) -> list[ReviewRow]:
    common = {"reviewer": saved.reviewer, "policy": saved.policy, "seed": saved.seed, "export_id": saved.export_id}
    return [
        cast(ReviewRow, {**verdict.model_dump(), "scope": verdict.scope, "note": verdict.note or None, **common})
        for verdict in saved.reviews
    ]


def _key(verdict: ReviewRow) -> Key:
    micros = (verdict["judged_at"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return verdict["reviewer"], verdict["record_id"], verdict["subset"], verdict["caption_id"], micros


def _agree(first: ReviewRow, second: ReviewRow, where: str) -> None:
    if (first["verdict"], first["reasons"], first["note"]) != (second["verdict"], second["reasons"], second["note"]):
        moment = second["judged_at"].isoformat()
        raise ReviewError(f"{where}: {second['reviewer']} gave two verdicts on {_shown(second)} at {moment}")


def _shown(verdict: ReviewRow) -> str:
    return f"{verdict['record_id']}/{verdict['subset']}/{verdict['caption_id']}"


def _present(store: Store, verdicts: dict[Key, ReviewRow]) -> dict[PairKey, tuple[str, str, str]]:
    """Of the pairs that are in ``scores``: (ingest_batch, image_version, text_version)."""
    keys = store.spark.createDataFrame(sorted({key[1:4] for key in verdicts}), "record_id STRING, subset INT, caption_id STRING")
    scores, duals = (current_rows(store, table).where("status = 'ok'") for table in ("scores", "dual_images"))
    texts = scores.selectExpr("ingest_batch", "record_id", "subset", "caption_id", f"{TEXT_VERSION} AS text_version")
    images = duals.selectExpr("record_id", "subset", f"{IMAGE_VERSION} AS image_version")
    pairs = texts.join(F.broadcast(keys), on=["record_id", "subset", "caption_id"], how="inner")
    rows = F.broadcast(pairs).join(images, on=["record_id", "subset"], how="inner").collect()
    return {
        (row["record_id"], row["subset"], row["caption_id"]): (row["ingest_batch"], row["image_version"], row["text_version"])
        for row in rows
    }


def _known(store: Store, verdicts: dict[Key, ReviewRow]) -> dict[Key, ReviewRow]:
    """The rows of these reviewers in the table, with what ``_agree`` compares."""
    names = ("reviewer", "record_id", "subset", "caption_id", "verdict", "reasons", "note")
    reviews = store.read("reviews").where(F.col("reviewer").isin(sorted({key[0] for key in verdicts})))
    rows = reviews.select(*names, F.unix_micros("judged_at").alias("micros")).collect()
    return {(*row[:4], row["micros"]): cast(ReviewRow, row.asDict()) for row in rows}
