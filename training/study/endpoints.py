"""How answers are aggregated: groups of questions, the four end points, and the mean of the untouched tests.

A *touched* group asks what removal itself trains (whether something is present); it is reported but never enters a mean. All
values are shares of right answers, 0 to 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.typing import NDArray

TOUCHED = ("existence", "half-truth", "half-truth-even", "level", "equal-area", "add-obj")


@dataclass(frozen=True)
class EndPoint:
    """A primary end point: the mean of its columns, "group/metric"."""

    name: str
    says: str
    columns: tuple[str, ...]


# The untouched groups that calibration kept (training/study/results/REGISTERED.md). No model learned relations, counts and
# exchanged places there, so they are reported separately.
EDITS = ("replace-obj", "replace-att", "swap-att", "add-att")
ENDPOINTS = (
    EndPoint("edits", "one edit of a caption is seen", tuple(f"{group}/accuracy" for group in EDITS)),
    EndPoint("binding", "two scenes and two captions are matched", ("wino-colour/group",)),
    EndPoint("retrieval", "recall at 1 of 2,000, both directions", ("retrieval/i2t R@1", "retrieval/t2i R@1")),
    EndPoint("single", "a single thing is named, of all classes and colours", ("single/accuracy", "single-colour/accuracy")),
)


def group_of(column: str) -> str:
    """The group of a column, "group/metric"."""
    return column.partition("/")[0]


def value(point: EndPoint, columns: Mapping[str, NDArray]) -> float:
    """An end point's value, from the verdicts of each column."""
    return float(sum(columns[name].mean() for name in point.columns) / len(point.columns))


def untouched(columns: Mapping[str, NDArray]) -> float:
    """The mean of the end points."""
    return sum(value(point, columns) for point in ENDPOINTS) / len(ENDPOINTS)
