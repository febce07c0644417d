"""From verdicts to scores: a benchmark's averages, with 95% intervals by bootstrap over its images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.benchmarks.item import Verdict
from training.statistics import drawn_weights

# A set pools the items of its groups; a tuple is the mean of its parts.
Part = frozenset[str] | tuple["Part", ...]


@dataclass(frozen=True)
class Row:
    """A named average of one metric; a ``detail`` is written to the file but not printed."""

    name: str
    metric: str
    part: Part
    detail: bool = False


@dataclass(frozen=True)
class Score:
    """A row with its value, in [0, 1].

    Args:
        name: of the row.
        metric: of the row.
        value: the average; a tie counts one half.
        low: lower end of the 95% interval.
        high: upper end of the 95% interval.
        strict: the average with a tie counted as 0, as in some harnesses.
        n: items.
        ties: items that are tied.
        images: distinct images.
        missing: items that are left out because an image is missing.
        detail: whether the row is a detail.
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
    """All items of the groups, with equal weight."""
    return frozenset(groups)


def each(groups: Sequence[str], metric: str, detail: bool = False) -> list[Row]:
    """One row per group."""
    return [Row(group, metric, pooled([group]), detail) for group in groups]


def mean_of(what: str, parts: Mapping[str, Part], counts: Mapping[str, int], metric: str) -> list[Row]:
    """The mean of the parts that have items. If some have none its name tells, as it is not the published average then."""
    present = [part for part in (_with_items(part, counts) for part in parts.values()) if part]
    if not present:
        return []
    share = "" if len(present) == len(parts) else f"{len(present)} of "
    return [Row(f"mean of {share}{len(parts)} {what}", metric, tuple(present))]


def _with_items(part: Part, counts: Mapping[str, int]) -> Part:
    """A part without its groups that have no item."""
    if isinstance(part, frozenset):
        return frozenset(group for group in part if counts.get(group))
    return tuple(inner for inner in (_with_items(inner, counts) for inner in part) if inner)


def groups_of(part: Part) -> set[str]:
    """All groups in a part."""
    return set(part) if isinstance(part, frozenset) else {group for inner in part for group in groups_of(inner)}


def summarise(
    verdicts: Sequence[Verdict], rows: Sequence[Row], missing: Mapping[str, int], draws: int = 1000, seed: int = 0
) -> list[Score]:
    """Score the rows, with 95% bootstrap intervals of ``draws`` draws.

    Images are drawn with replacement. The draws are the same for all rows, and for all models that answer the same items.
    ``missing``: items that could not be scored, by group.
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
        table, members = tables[row.metric], groups_of(row.part)
        columns = [table.groups[group] for group in members]
        # A draw without any item of the row is NaN and left out.
        low, high = np.nanpercentile(np.concatenate(values), [2.5, 97.5])
        n, ties = (int(part[columns].sum()) for part in (table.counts, table.ties))
        distinct = len(set(table.counts[columns].nonzero()[1]))
        lost = sum(missing.get(group, 0) for group in members)
        value, strict = table.value(row.part), table.value(row.part, strict=True)
        scores.append(Score(row.name, row.metric, value, float(low), float(high), strict, n, ties, distinct, lost, row.detail))
    return scores


def values_of(verdicts: Sequence[Verdict], rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """The values of the rows, by name and metric, without intervals; only of rows whose groups all have verdicts."""
    tables = _tables(verdicts, rows)
    answered = {metric: {verdict.group for verdict in verdicts if metric in verdict.values} for metric in tables}
    return {
        (row.name, row.metric): tables[row.metric].value(row.part) for row in rows if groups_of(row.part) <= answered[row.metric]
    }


def _tables(verdicts: Sequence[Verdict], rows: Sequence[Row]) -> "dict[str, _Table]":
    images = {image: number for number, image in enumerate(sorted({verdict.image for verdict in verdicts}))}
    groups = {group: number for number, group in enumerate(sorted({verdict.group for verdict in verdicts}))}
    return {metric: _Table.of(verdicts, metric, images, groups) for metric in dict.fromkeys(row.metric for row in rows)}


@dataclass(frozen=True)
class _Table:
    """The verdicts on one metric as sparse [groups, images]: sums, sums without ties, numbers of items and of ties."""

    images: Mapping[str, int]
    groups: Mapping[str, int]
    sums: Any
    strict: Any
    counts: Any
    ties: Any

    @classmethod
    def of(cls, verdicts: Sequence[Verdict], metric: str, images: Mapping[str, int], groups: Mapping[str, int]) -> "_Table":
        of_metric = [verdict for verdict in verdicts if metric in verdict.values]
        values = np.array([verdict.values[metric] for verdict in of_metric])
        place = ([groups[verdict.group] for verdict in of_metric], [images[verdict.image] for verdict in of_metric])
        shape = (len(groups), len(images))
        kinds = (values, np.floor(values), np.ones(len(of_metric)), values == 0.5)
        return cls(images, groups, *(csr_matrix((kind.astype(np.float64), place), shape=shape) for kind in kinds))

    def value(self, part: Part, strict: bool = False) -> float:
        """The value of a part over all images."""
        sums = self.strict if strict else self.sums
        return float(_value(part, np.asarray(sums.sum(axis=1)).T, np.asarray(self.counts.sum(axis=1)).T, self.groups)[0])


def _value(part: Part, sums: NDArray[np.float64], counts: NDArray[np.float64], groups: Mapping[str, int]) -> NDArray[np.float64]:
    """The value of a part in each draw: [draws], NaN where it has no item."""
    if isinstance(part, tuple):
        means = np.stack([_value(inner, sums, counts, groups) for inner in part])
        # A draw may leave a small group without items: then the mean is over the other groups.
        return _ratio(np.nansum(means, axis=0), (~np.isnan(means)).sum(axis=0))
    columns = [groups[group] for group in part]
    return _ratio(sums[:, columns].sum(axis=1), counts[:, columns].sum(axis=1))


def _ratio(sums: NDArray[np.float64], counts: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
