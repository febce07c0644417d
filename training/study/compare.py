"""Statistics of the records: values with intervals, contrasts, and Holm's correction.

A contrast is paired: it compares runs of two arms with the same seed, which answered the same questions. Two things vary: the
seeds, which are few, and the scenes, which are many. The variance over seeds is the sample variance of the mean; the variance
over scenes comes from a bootstrap, with the same draws for both arms. Their sum has Satterthwaite's degrees of freedom, and
interval and p are from the t distribution. A bootstrap over five seeds would find an effect where there is none far more often
than once in twenty.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.statistics import drawn_weights
from training.study.endpoints import EndPoint, group_of
from training.study.questions import unpacked
from training.study.record import Record

DRAWS = 4000
Columns = dict[str, NDArray[np.float32]]
# Keyed by the id of a run's columns and a column's name. The value holds the columns, so that no other object gets their id.
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
    """A group's questions in the bootstrap.

    ``places``: index of each question's scene among the group's scenes, [questions]. ``weights``: how often each scene is drawn,
    float32 [draws, scenes]. ``numbers``: how many questions each draw has, float32 [draws].
    """

    places: NDArray[np.int64]
    weights: NDArray[np.float32]
    numbers: NDArray[np.float32]


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of scenes, the same for everything that is compared; ``memo`` caches the values of runs."""

    groups: dict[str, Group]
    memo: Memo = field(default_factory=dict)

    @classmethod
    def of(cls, scenes: Mapping[str, NDArray[np.int32]], wanted: Iterable[str], number: int = DRAWS, seed: int = 0) -> "Draws":
        """Draw scenes, from each question's scene as ``questions`` wrote it; groups that are not ``wanted`` are left out."""
        distinct, inverse = np.unique(np.concatenate(list(scenes.values())), return_inverse=True)
        ends = np.cumsum([len(numbers) for numbers in scenes.values()])[:-1]
        weights = np.concatenate([part.astype(np.float32) for part in drawn_weights(len(distinct), number, seed)])
        groups, asked = {}, set(wanted)
        for name, places in zip(scenes, np.split(inverse, ends), strict=True):
            if name in asked:
                own_scenes, among = np.unique(places, return_inverse=True)
                part = weights[:, own_scenes]
                groups[name] = Group(among, part, np.matmul(part, np.bincount(among).astype(np.float32)))
        return cls(groups)

    def values(self, columns: Columns, name: str) -> tuple[float, NDArray[np.float64]]:
        """A column's mean over all questions, and in each draw, float64 [draws]."""
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
        ValueError: the run has none, as it is a trial of tuning.
    """
    weights = record.final if which == "final" else record.best
    if weights is None:
        raise ValueError(f"{record.arm}, try {record.trial} was asked nothing")
    return {name: unpacked(text) for name, text in weights.verdicts.items()}


def drawn_values(runs: Sequence[Columns], points: Sequence[EndPoint], draws: Draws) -> tuple[NDArray, NDArray]:
    """The mean of some end points for each run: over all questions, float64 [runs], and in each draw of scenes, [runs, draws]."""
    plain, drawn = [], []
    for columns in runs:
        values = [[draws.values(columns, name) for name in point.columns] for point in points]
        plain.append(np.mean([np.mean([value for value, _ in of_point]) for of_point in values]))
        drawn.append(np.mean([np.mean([in_draws for _, in_draws in of_point], axis=0) for of_point in values], axis=0))
    return np.array(plain), np.array(drawn)


def estimate(plain: NDArray, drawn: NDArray) -> Estimate:
    """Mean, interval and p of values [runs], given their values in each draw of scenes [runs, draws]; or of differences.

    The degrees of freedom are Satterthwaite's (1946), with the variance over scenes taken as known. With a single run the
    interval covers the scenes only, as nothing is known about seeds.
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


def paired(arm: Mapping[int, Columns], other: Mapping[int, Columns]) -> tuple[list[Columns], list[Columns]]:
    """The runs of the seeds that both arms have."""
    seeds = sorted(arm.keys() & other.keys())
    return [arm[seed] for seed in seeds], [other[seed] for seed in seeds]


def contrast(
    arm: Mapping[int, Columns], other: Mapping[int, Columns], points: Sequence[EndPoint], draws: Draws
) -> Estimate | None:
    """The first arm minus the second, over the seeds that both have; None if they share no seed."""
    ours, theirs = paired(arm, other)
    if not ours:
        return None
    plain, drawn = drawn_values(ours, points, draws)
    plain_other, drawn_other = drawn_values(theirs, points, draws)
    return estimate(plain - plain_other, drawn - drawn_other)


def holm(p_values: Mapping[_Test, float]) -> dict[_Test, float]:
    """Adjusted p of each test (Holm 1979): the i-th smallest of m times m - i, made monotone."""
    order = sorted(p_values, key=lambda name: p_values[name])
    adjusted, highest = dict[_Test, float](), 0.0
    for rank, name in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[name]))
        adjusted[name] = highest
    return adjusted
