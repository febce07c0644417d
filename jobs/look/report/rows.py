"""Rows of the report's aggregates, by the columns that the queries give them."""

from datetime import datetime
from typing import TypedDict


class TableRow(TypedDict):
    """A table of the chain: its rows, and how many of them are ok."""

    table: str
    rows: int
    ok: int


class StatusRow(TypedDict):
    """Rows of a table that have one status; ``place`` is the table's in the chain, ``example`` an error among them."""

    place: int
    table: str
    status: str
    rows: int
    example: str | None


class SourceRow(TypedDict):
    """Images of a source's split and licence."""

    source: str | None
    split: str | None
    license: str | None
    images: int


class Totals(TypedDict):
    """Of the whole root; counts, except for the mean ``clip_drop`` of kept pairs."""

    listed: int
    images: int
    captions: int | None
    families: int
    named: int
    planned: int
    duals: int
    texts: int | None
    looked: int
    gone: int
    pairs: int
    scored: int
    kept: int
    kept_originals: int
    clip_drop: float | None
    kept_duals: int
    kept_families: int


class ReasonRow(TypedDict):
    """Pairs that a reason rejects."""

    reason: str
    pairs: int


class SizeRow(TypedDict):
    """Families of n components; ``reason`` says why n is 0, else it is empty."""

    n: int
    reason: str
    families: int


class CoverageRow(TypedDict):
    """Images of families of n components with ``removed_count`` of them removed, and their pairs."""

    n: int
    removed_count: int
    images: int
    kept_images: int
    pairs: int
    kept: int


class StageRow(TypedDict):
    """A stage's micro-batches, rows and seconds; ``wall`` includes Spark's own time, the others are sums over the workers."""

    stage: str
    batches: int
    rows_in: int
    wall: float | None
    load: float | None
    decode: float | None
    model: float | None
    encode: float | None


class ModelRow(TypedDict):
    """Rows of a table that one model made on one device; ``place`` is the table's in the chain."""

    place: int
    table: str
    model: str
    model_version: str | None
    device: str | None
    rows: int


class SettingsRow(TypedDict):
    """What a stage last ran with; ``settings`` is JSON, ``latest`` the start of its last micro-batch."""

    stage: str
    settings_hash: str
    settings: str
    latest: datetime
