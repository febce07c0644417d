"""From records to what may be said: values with intervals, contrasts, and Holm's correction.

A contrast is paired: runs of two arms with one seed are compared, and both answered the same questions. Two things vary: the
seeds, of which there are few, and the scenes, of which there are many. The variance of the seeds' mean is that of a sample, the
scenes' is a bootstrap's (the same draws for both arms); their sum has Satterthwaite's degrees of freedom, and interval and p are
t's. A bootstrap of five seeds would find an effect where there is none far more often than once in twenty.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.benchmarks.averages import drawn_weights
from training.study.endpoints import EndPoint, group_of
from training.study.questions import unpacked
from training.study.record import Record

DRAWS = 4000
Columns = dict[str, NDArray[np.float32]]
# By a run's columns, as an object that is kept so that no other takes its place, and one's name.
Memo = dict[tuple[int, str], tuple[Columns, float, NDArray[np.float64]]]
_Test = TypeVar("_Test")
Which = str  # "final" or "best"


@dataclass(frozen=True)
class Estimate:
    """A value or a difference of values, in points (hundredths), with its 95% interval; ``p`` is two-sided, against zero."""

    value: float
    low: float
    high: float
    p: float
    seeds: int


class Group(NamedTuple):
    """A group's questions as the draws see them: each one's scene among the group's, [questions], how often each of these is in
    each draw, float32 [draws, scenes], and so how many questions are, float32 [draws].
    """

    places: NDArray[np.int64]
    weights: NDArray[np.float32]
    numbers: NDArray[np.float32]


@dataclass(frozen=True)
class Draws:
    """A bootstrap's draws of scenes, the same for everything that is compared; ``memo`` keeps what was computed of runs."""

    groups: dict[str, Group]
    memo: Memo = field(default_factory=dict)

    @classmethod
    def of(cls, scenes: Mapping[str, NDArray[np.int32]], wanted: Iterable[str], number: int = DRAWS, seed: int = 0) -> "Draws":
        """From each question's scene, as ``questions`` wrote it, for the groups that are ``wanted`` and there."""
        every, inverse = np.unique(np.concatenate(list(scenes.values())), return_inverse=True)
        ends = np.cumsum([len(one) for one in scenes.values()])[:-1]
        weights = np.concatenate([part.astype(np.float32) for part in drawn_weights(len(every), number, seed)])
        groups, asked = {}, set(wanted)
        for name, places in zip(scenes, np.split(inverse, ends), strict=True):
            if name in asked:
                own, among = np.unique(places, return_inverse=True)
                part = weights[:, own]
                groups[name] = Group(among, part, np.matmul(part, np.bincount(among).astype(np.float32)))
        return cls(groups)

    def values(self, columns: Columns, name: str) -> tuple[float, NDArray[np.float64]]:
        """A column's mean, as it is, and in each draw [draws]."""
        if (id(columns), name) not in self.memo:
            group, column = self.groups[group_of(name)], columns[name]
            # Sums of verdicts are whole or half numbers: single precision holds them.
            sums = group.weights @ np.bincount(group.places, column).astype(np.float32)
            drawn = sums / np.maximum(group.numbers, 1e-9)
            self.memo[id(columns), name] = columns, float(column.mean(dtype=np.float64)), drawn
        _, value, drawn = self.memo[id(columns), name]
        return value, drawn


def columns_of(record: Record, which: Which) -> Columns:
    """The verdicts of a run's final or best weights.

    Raises:
        ValueError: it has none, being a try of tuning.
    """
    weights = record.final if which == "final" else record.best
    if weights is None:
        raise ValueError(f"{record.arm}, try {record.trial} was asked nothing")
    return {name: unpacked(text) for name, text in weights.verdicts.items()}


def drawn_values(runs: Sequence[Columns], points: Sequence[EndPoint], draws: Draws) -> tuple[NDArray, NDArray]:
    """The mean of some end points for each run: as it is, float64 [runs], and in each draw of scenes, [runs, draws]."""
    plain, drawn = [], []
    for columns in runs:
        found = [[draws.values(columns, name) for name in point.columns] for point in points]
        plain.append(np.mean([np.mean([value for value, _ in one]) for one in found]))
        drawn.append(np.mean([np.mean([values for _, values in one], axis=0) for one in found], axis=0))
    return np.array(plain), np.array(drawn)


def estimate(plain: NDArray, drawn: NDArray) -> Estimate:
    """Of values [runs], and those in each draw of scenes [runs, draws], or of their differences.

    The degrees of freedom are Satterthwaite's (1946), the scenes' taken as known. With one run nothing is known of seeds: the
    interval is that of the scenes alone.
    """
    from scipy.stats import t

    runs = len(plain)
    of_scenes = float(drawn.mean(axis=0).var(ddof=1))
    of_seeds = float(plain.var(ddof=1)) / runs if runs > 1 else 0.0
    error = (of_scenes + of_seeds) ** 0.5
    freedom = (of_scenes + of_seeds) ** 2 / (of_seeds**2 / (runs - 1)) if of_seeds else np.inf
    mean = float(plain.mean())
    reach = float(t.ppf(0.975, freedom)) * error
    p = float(2 * t.sf(abs(mean) / error, freedom)) if error else float(mean == 0)
    return Estimate(100 * mean, 100 * (mean - reach), 100 * (mean + reach), p, runs)


def paired(one: Mapping[int, Columns], other: Mapping[int, Columns]) -> tuple[list[Columns], list[Columns]]:
    """The runs of the seeds that both arms have."""
    seeds = sorted(one.keys() & other.keys())
    return [one[seed] for seed in seeds], [other[seed] for seed in seeds]


def contrast(
    one: Mapping[int, Columns], other: Mapping[int, Columns], points: Sequence[EndPoint], draws: Draws
) -> Estimate | None:
    """The first arm less the second, over the seeds that both have; None: there is none."""
    ours, theirs = paired(one, other)
    if not ours:
        return None
    plain, drawn = drawn_values(ours, points, draws)
    plain_other, drawn_other = drawn_values(theirs, points, draws)
    return estimate(plain - plain_other, drawn - drawn_other)


def holm(p_values: Mapping[_Test, float]) -> dict[_Test, float]:
    """Adjusted p of each test (Holm 1979): the i-th smallest of m times m - i, made monotone."""
    order = sorted(p_values, key=lambda name: p_values[name])
    adjusted, highest = dict[_Test, float](), 0.0
    for place, name in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p_values[name]))
        adjusted[name] = highest
    return adjusted
