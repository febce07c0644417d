"""Shares and means over many rows with 95% intervals that know which rows belong to one photograph.

Rows of one photograph are alike, so that a hundred of them say less than a hundred photographs. The sums that an interval needs
are added up by Spark, photograph by photograph, whatever their number.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

Z = 1.959964  # of a 95% interval
_SUMS = ("h", "t", "hh", "ht", "tt", "k")


@dataclass(frozen=True)
class Share:
    """A share of ``total`` rows with its 95% interval, 0 to 1, or a mean in its own unit.

    All are None where there are no rows, and the interval of a mean where they are of one photograph.
    """

    hits: float
    total: int
    records: int  # photographs that the rows come from
    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """``0.842 (0.780 to 0.890)``, without its interval if it has none; nothing if there is no value."""
        value = "" if self.value is None else f"{self.value:.3f}"
        return value if self.low is None else f"{value} ({self.low:.3f} to {self.high:.3f})"


NONE = Share(0, 0, 0, None, None, None)


def share_of(good: Sequence[bool], records: Sequence[str]) -> Share:
    """The share of good rows, each of the photograph named beside it."""
    sums: dict[str, list[int]] = {}
    for is_good, record in zip(good, records, strict=True):
        of_record = sums.setdefault(record, [0, 0])
        of_record[0] += is_good
        of_record[1] += 1
    total: Counter[str] = Counter()
    for hits, rows in sums.values():
        for name, value in zip(_SUMS, (hits, rows, hits * hits, hits * rows, rows * rows, 1), strict=True):
            total[name] += value
    return _share(total)


def wilson(share: float, number: float) -> tuple[float, float]:
    """Wilson's 95% score interval (1927) for a share of ``number`` independent trials, which need not be whole."""
    middle = (share + Z**2 / (2 * number)) / (1 + Z**2 / number)
    half = Z / (1 + Z**2 / number) * sqrt(share * (1 - share) / number + Z**2 / (4 * number**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def shares(
    rows: DataFrame, hits: Mapping[str, Column], by: Sequence[str] = (), *, total: bool = False
) -> list[tuple[tuple[Any, ...], dict[str, Share]]]:
    """Of each group of rows the share for which a condition holds, by name; rows where it is null are not counted.

    Args:
        rows: with a column ``record_id``.
        hits: boolean columns of ``rows``, by name.
        by: columns whose values make the groups; a few dozen groups at most, as they are collected.
        total: the same over all rows, first, with None for each of ``by``.

    Returns:
        (values of ``by``, name -> share), in the order of ``by``'s values.
    """
    return _collected(rows, hits, by, total, _share)


def means(
    rows: DataFrame, values: Mapping[str, Column], by: Sequence[str] = (), *, total: bool = False
) -> list[tuple[tuple[Any, ...], dict[str, Share]]]:
    """As ``shares``, with the means of numbers in place of shares."""
    return _collected(rows, values, by, total, _mean)


def _collected(rows: DataFrame, values: Mapping[str, Column], by: Sequence[str], total: bool, finish: Any) -> list[Any]:
    numbers = [value.cast("double").alias(f"v{place}") for place, value in enumerate(values.values())]
    numbered = rows.select(*map(F.col, (*by, "record_id")), *numbers)
    found = []
    for keys in ([()] if total or not by else []) + ([tuple(by)] if by else []):
        per_record = numbered.groupBy(*keys, "record_id").agg(
            *(F.sum(f"v{place}").alias(f"h{place}") for place in range(len(values))),
            *(F.count(f"v{place}").alias(f"t{place}") for place in range(len(values))),
        )
        sums = [
            sum_.alias(f"{name}{place}")
            for place in range(len(values))
            for name, sum_ in zip(_SUMS, _sums(F.col(f"h{place}"), F.col(f"t{place}").cast("double")), strict=True)
        ]
        grouped = per_record.groupBy(*keys).agg(*sums)
        for row in (grouped.orderBy(*keys) if keys else grouped).collect():
            group = tuple(row[key] for key in keys) if keys else (None,) * len(by)
            found.append(
                (group, {name: finish({s: row[f"{s}{place}"] or 0 for s in _SUMS}) for place, name in enumerate(values)})
            )
    return found


def _sums(hits: Column, rows: Column) -> tuple[Column, ...]:
    return (
        F.sum(hits), F.sum(rows), F.sum(hits * hits), F.sum(hits * rows), F.sum(rows * rows), F.count_if(rows > 0)
    )  # fmt: skip


def _between(sums: Mapping[str, float], value: float) -> float:
    """The variance of a ratio of sums between photographs, with the usual linearisation; 0 with fewer than two of them."""
    count, rows = sums["k"], sums["t"]
    residual = sums["hh"] - 2 * value * sums["ht"] + value**2 * sums["tt"]
    return count / (count - 1) * max(residual, 0.0) / rows**2 if count > 1 else 0.0


def _share(sums: Mapping[str, float]) -> Share:
    """Wilson's interval, widened because rows of one photograph are alike.

    The number of rows is divided by the design effect: the variance of the share between photographs over that of independent
    rows (Rao and Scott 1992), at least 1. If all rows agree it cannot be estimated, and photographs are counted, not rows.
    """
    hits, rows, count = int(sums["h"]), int(sums["t"]), int(sums["k"])
    if not rows:
        return NONE
    share = hits / rows
    effect = rows / count
    if 0 < share < 1 and count > 1:
        effect = max(1.0, _between(sums, share) / (share * (1 - share) / rows))
    return Share(hits, rows, count, share, *wilson(share, rows / effect))


def _mean(sums: Mapping[str, float]) -> Share:
    """The mean with a normal interval, from the variance between photographs."""
    rows, count = int(sums["t"]), int(sums["k"])
    if not rows:
        return NONE
    mean = sums["h"] / rows
    if count < 2:
        return Share(sums["h"], rows, count, mean, None, None)
    half = Z * sqrt(_between(sums, mean))
    return Share(sums["h"], rows, count, mean, mean - half, mean + half)
