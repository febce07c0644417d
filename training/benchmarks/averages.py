"""Verdicts to scores: the averages that a benchmark names, with 95% intervals by bootstrap over its images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.benchmarks.item import Verdict

# A set pools the items of its groups; a tuple is the mean of its parts.
Part = frozenset[str] | tuple["Part", ...]
_DRAWS_AT_ONCE = 50


@dataclass(frozen=True)
class Row:
    """A named average of one metric; a ``detail`` is written but not printed."""

    name: str
    metric: str
    part: Part
    detail: bool = False


@dataclass(frozen=True)
class Score:
    """A row with its value: accuracies from 0 to 1, the 95% interval, items, ties and distinct images.

    A tie counts as a half in ``value``; with ``strict`` as 0, as some harnesses do. ``missing`` items have a picture that is
    missing.
    """

    name: str
    metric: str
    value: float
    low: float
    high: float
    strict: float
    n: int
    ties: int
    images: int
    missing: int
    detail: bool


def pooled(groups: Sequence[str]) -> Part:
    """All items of the groups, each counting the same."""
    return frozenset(groups)


def each(groups: Sequence[str], metric: str, detail: bool = False) -> list[Row]:
    """One row a group."""
    return [Row(group, metric, pooled([group]), detail) for group in groups]


def mean_of(what: str, parts: Mapping[str, Part], counts: Mapping[str, int], metric: str) -> list[Row]:
    """The mean of the parts that have items. One that lacks some says so in its name: it is not the published average."""
    there = [part for part in (_within(part, counts) for part in parts.values()) if part]
    if not there:
        return []
    of = "" if len(there) == len(parts) else f"{len(there)} of "
    return [Row(f"mean of {of}{len(parts)} {what}", metric, tuple(there))]


def _within(part: Part, counts: Mapping[str, int]) -> Part:
    """A part without the groups that have no item."""
    if isinstance(part, frozenset):
        return frozenset(group for group in part if counts.get(group))
    return tuple(inner for inner in (_within(inner, counts) for inner in part) if inner)


def groups_of(part: Part) -> set[str]:
    """All groups in a part."""
    return set(part) if isinstance(part, frozenset) else {group for inner in part for group in groups_of(inner)}


def summarise(
    verdicts: Sequence[Verdict], rows: Sequence[Row], missing: Mapping[str, int], draws: int = 1000, seed: int = 0
) -> list[Score]:
    """Score the rows, with the middle 95% of ``draws`` bootstrap draws. Images are drawn with replacement, the same for all
    rows, and for another model that answers the same questions. ``missing``: items a group that could not be scored.
    """
    tables = _tables(verdicts, rows)
    images = len(next(iter(tables.values())).images)
    drawn: list[list[NDArray[np.float64]]] = [[] for _ in rows]
    for weights in drawn_weights(images, draws, seed):
        sums = {metric: (weights @ table.sums.T, weights @ table.counts.T) for metric, table in tables.items()}
        for row, values in zip(rows, drawn, strict=True):
            values.append(_value(row.part, *sums[row.metric], tables[row.metric].groups))
    scores = []
    for row, values in zip(rows, drawn, strict=True):
        table, inside = tables[row.metric], groups_of(row.part)
        columns = [table.groups[group] for group in inside]
        # A draw without any item of a row says nothing of it.
        low, high = np.nanpercentile(np.concatenate(values), [2.5, 97.5])
        n, ties = (int(part[columns].sum()) for part in (table.counts, table.ties))
        seen = len(set(table.counts[columns].nonzero()[1]))
        lost = sum(missing.get(group, 0) for group in inside)
        value, strict = table.value(row.part), table.value(row.part, strict=True)
        scores.append(Score(row.name, row.metric, value, float(low), float(high), strict, n, ties, seen, lost, row.detail))
    return scores


def values_of(verdicts: Sequence[Verdict], rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """The rows' values alone, by name and metric; of the rows all of whose groups have verdicts on their metric."""
    tables = _tables(verdicts, rows)
    answered = {metric: {one.group for one in verdicts if metric in one.values} for metric in tables}
    return {
        (row.name, row.metric): tables[row.metric].value(row.part) for row in rows if groups_of(row.part) <= answered[row.metric]
    }


def _tables(verdicts: Sequence[Verdict], rows: Sequence[Row]) -> "dict[str, _Table]":
    images = {image: number for number, image in enumerate(sorted({verdict.image for verdict in verdicts}))}
    groups = {group: number for number, group in enumerate(sorted({verdict.group for verdict in verdicts}))}
    return {metric: _Table.of(verdicts, metric, images, groups) for metric in dict.fromkeys(row.metric for row in rows)}


@dataclass(frozen=True)
class _Table:
    """One metric's verdicts as [groups, images]: sums, sums without ties, numbers of items and of ties."""

    images: Mapping[str, int]
    groups: Mapping[str, int]
    sums: Any
    strict: Any
    counts: Any
    ties: Any

    @classmethod
    def of(cls, verdicts: Sequence[Verdict], metric: str, images: Mapping[str, int], groups: Mapping[str, int]) -> "_Table":
        having = [verdict for verdict in verdicts if metric in verdict.values]
        values = np.array([verdict.values[metric] for verdict in having])
        place = ([groups[verdict.group] for verdict in having], [images[verdict.image] for verdict in having])
        shape = (len(groups), len(images))
        kinds = (values, np.floor(values), np.ones(len(having)), values == 0.5)
        return cls(images, groups, *(csr_matrix((kind.astype(np.float64), place), shape=shape) for kind in kinds))

    def value(self, part: Part, strict: bool = False) -> float:
        """A part's value over all images."""
        sums = self.strict if strict else self.sums
        return float(_value(part, np.asarray(sums.sum(axis=1)).T, np.asarray(self.counts.sum(axis=1)).T, self.groups)[0])


def drawn_weights(images: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each image is in a draw: float64 [some draws, images], until all draws are made."""
    random = np.random.default_rng(seed)
    for start in range(0, draws, _DRAWS_AT_ONCE):
        count = min(_DRAWS_AT_ONCE, draws - start)
        drawn = random.integers(0, images, (count, images)) + np.arange(count)[:, None] * images
        yield np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images).astype(np.float64)


def _value(part: Part, sums: NDArray[np.float64], counts: NDArray[np.float64], groups: Mapping[str, int]) -> NDArray[np.float64]:
    """A part's value of each draw [draws]; NaN where it has no item."""
    if isinstance(part, tuple):
        means = np.stack([_value(inner, sums, counts, groups) for inner in part])
        # A draw may leave a small group without an item: the mean is then that of the others.
        return _ratio(np.nansum(means, axis=0), (~np.isnan(means)).sum(axis=0))
    columns = [groups[group] for group in part]
    return _ratio(sums[:, columns].sum(axis=1), counts[:, columns].sum(axis=1))


def _ratio(sums: NDArray[np.float64], counts: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
