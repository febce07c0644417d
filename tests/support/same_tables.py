"""Whether two roots hold the same tables: every key and every column except those that say when, where and in which run."""

import math
from collections.abc import Iterator
from typing import Any

from pyspark.sql import SparkSession

from jobs.engine.schemas import TABLES

# Timings, ids of runs and of checkpoints, the device, and texts of errors (which name paths and processes).
INCIDENTAL = {"run_id", "generation", "seconds", "wall_seconds", "write_seconds", "started_at", "device", "error", "settings"}
ON_DEMAND = ("withdrawn", "reviews", "text_variants", "placebos")
TOLERANCE = 1e-4
KEYS = {"runs": ("stage", "batch_id")}


def differences(spark: SparkSession, first_root: str, second_root: str, tables: tuple[str, ...] = ()) -> list[str]:
    """One line per difference between the tables of two roots; empty when they are the same. Tables that people add to and
    those made on demand are not compared.
    """
    lines = []
    for name in tables or tuple(name for name in TABLES if name not in ON_DEMAND):
        left, right = (read(spark, root, name) for root in (first_root, second_root))
        lines += [f"{name}{key}: only in {first_root}" for key in sorted(left.keys() - right.keys())]
        lines += [f"{name}{key}: only in {second_root}" for key in sorted(right.keys() - left.keys())]
        for key in sorted(left.keys() & right.keys()):
            lines += [f"{name}{key}{line}" for line in unequal(left[key], right[key])]
    return lines


def read(spark: SparkSession, root: str, table: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of a table by key; fails on a duplicate key."""
    key = KEYS.get(table, TABLES[table].key)
    rows = spark.read.format("delta").load(f"{root}/tables/{table}")
    if "attempt" in rows.columns:
        key = (*key, "attempt")
    by_key: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows.toLocalIterator():
        values = row.asDict(recursive=True)
        row_key = tuple(values[name] for name in key)
        assert row_key not in by_key, f"{root}: {table} has {row_key} twice"
        by_key[row_key] = values
    return by_key


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
