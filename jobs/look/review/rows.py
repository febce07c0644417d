"""Rows of reviews: the chosen pairs as the page gets them, and the verdicts as they come back."""

from datetime import datetime
from typing import Literal, TypedDict

PairKey = tuple[str, int, str]  # record_id, subset, caption_id


class _Measured(TypedDict):
    """The columns of ``jobs.engine.policy.MEASURED``: null where not measured."""

    residual: float | None
    intruder: float | None
    survivor: float | None
    edited_fraction: float | None
    seam: float | None
    smear: float | None
    clip_true: float | None
    clip_drop: float | None
    clip_image: float | None
    text_agreement: float | None
    judge: float | None


class ChosenPair(_Measured):
    """A row of ``scores`` that a person is to judge, and how it was drawn."""

    ingest_batch: str
    record_id: str
    subset: int
    caption_id: str
    caption: str
    policy_reasons: list[str]
    kept: bool  # by the policy
    review: str | None
    doubt: float | None
    text_version: str
    stratum: Literal["doubtful", "random"]
    inclusion_probability: float | None
    population: int | None


class ShownPair(ChosenPair):
    """A chosen pair with the rest of what the page shows; ``original`` is the caption as the source has it."""

    source_key: str
    original: str
    labels: list[str]
    image_version: str


class VerdictRow(TypedDict):
    """A row of ``reviews`` that still counts."""

    record_id: str
    subset: int
    caption_id: str
    reviewer: str
    judged_at: datetime
    verdict: Literal["accept", "reject"]
    reasons: list[str] | None
    stratum: Literal["doubtful", "random"]
    population: int | None
    kept: bool
    policy: str
    edited_fraction: float


class ReviewRow(TypedDict):
    """A verdict as it enters ``reviews``, but for ``ingest_batch`` and ``imported_at``."""

    record_id: str
    subset: int
    caption_id: str
    image_version: str
    text_version: str
    stratum: Literal["doubtful", "random"]
    inclusion_probability: float | None
    population: int | None
    kept: bool
    verdict: Literal["accept", "reject"]
    reasons: list[str]
    note: str | None
    judged_at: datetime
    scope: str
    reviewer: str
    policy: str
    seed: int
    export_id: str
