"""Whether two roots hold the same tables: every key and every column but those that say when, where and in which run."""

import math
from collections.abc import Iterator
from typing import Any

from pyspark.sql import SparkSession

from jobs.schemas import TABLES

# Timings, ids of runs and of checkpoints, the device, and texts of errors (which name paths and processes).
INCIDENTAL = {"run_id", "generation", "seconds", "wall_seconds", "write_seconds", "started_at", "device", "error", "settings"}
ON_DEMAND = ("withdrawn", "reviews", "text_variants", "placebos")
TOLERANCE = 1e-4
KEYS = {"runs": ("stage", "batch_id")}


def differences(spark: SparkSession, one: str, other: str, tables: tuple[str, ...] = ()) -> list[str]:
    """What differs between the tables of two roots, a line each; empty when they are the same. What people add is left out, and
    what is made on demand.
    """
    found = []
    for name in tables or tuple(name for name in TABLES if name not in ON_DEMAND):
        left, right = (read(spark, root, name) for root in (one, other))
        found += [f"{name}{key}: only in {one}" for key in sorted(left.keys() - right.keys())]
        found += [f"{name}{key}: only in {other}" for key in sorted(right.keys() - left.keys())]
        for key in sorted(left.keys() & right.keys()):
            found += [f"{name}{key}{line}" for line in unequal(left[key], right[key])]
    return found


def read(spark: SparkSession, root: str, table: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of a table by key; a key that is there twice is an error of its own."""
    key = KEYS.get(table, TABLES[table].key)
    rows = spark.read.format("delta").load(f"{root}/tables/{table}")
    if "attempt" in rows.columns:
        key = (*key, "attempt")
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows.toLocalIterator():
        values = row.asDict(recursive=True)
        place = tuple(values[name] for name in key)
        assert place not in found, f"{root}: {table} has {place} twice"
        found[place] = values
    return found


def unequal(left: object, right: object, path: str = "") -> Iterator[str]:
    """Where two values differ; floats may by ``TOLERANCE``, bytes (images) may not."""
    if isinstance(left, dict) and isinstance(right, dict):
        for name in sorted(left.keys() | right.keys()):
            if name not in INCIDENTAL:
                yield from unequal(left.get(name), right.get(name), f"{path}.{name}")
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, pair in enumerate(zip(left, right, strict=True)):
            yield from unequal(*pair, f"{path}[{index}]")
    elif isinstance(left, float) and isinstance(right, float):
        if not math.isclose(left, right, rel_tol=0, abs_tol=TOLERANCE):
            yield f"{path}: {left} and {right}"
    elif left != right:
        yield f"{path}: {str(left)[:60]} and {str(right)[:60]}"
