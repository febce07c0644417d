"""Benchmarks of compositionality, retrieval and classification: one file each, with the same few functions.

FILES                             what is read below the data folder
RIGHT                             how many of an item's texts are true of its first image; they stand first; 0: no text is
                                  the question
load(data, images, **options)     its files to items
judge(item, scores, text_scores)  cosines [I, T] and [T, T] to a verdict under each metric: 1, 0, or 0.5 for a tie; or
answer(items, features)           the verdicts on all items at once, where an item by itself is no question
aggregate(counts)                 items a group to the averages that papers name
chance(items)                     what guessing gets, by metric
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from training.benchmarks import (
    aro,
    bivlc,
    custom,
    hard_positives,
    imagenet,
    retrieval,
    scenes,
    sugarcrepe,
    sugarcrepe_pp,
    valse,
    vl_checklist,
    winoground,
)
from training.benchmarks.averages import Row
from training.benchmarks.item import BenchmarkError, Item, Verdict


class _Module(Protocol):
    """What every module of this package has."""

    @property
    def FILES(self) -> tuple[str, ...]: ...  # noqa: N802, D102

    @property
    def RIGHT(self) -> int: ...  # noqa: N802, D102

    @property
    def load(self) -> Callable[..., list[Item]]: ...  # noqa: D102

    @property
    def aggregate(self) -> Callable[[dict[str, int]], list[Row]]: ...  # noqa: D102

    @property
    def chance(self) -> Callable[[list[Item]], dict[str, float]]: ...  # noqa: D102


@runtime_checkable
class Judging(_Module, Protocol):
    """A benchmark whose items are judged one by one."""

    @property
    def judge(self) -> Callable[[Item, Any, Any], dict[str, float]]: ...  # noqa: D102


@runtime_checkable
class Answering(_Module, Protocol):
    """A benchmark that needs all items at once; what it has of ``judge`` serves the blind baselines."""

    @property
    def answer(self) -> Callable[[Sequence[Item], Any], list[Verdict]]: ...  # noqa: D102


Benchmark = Judging | Answering


BENCHMARKS: dict[str, Benchmark] = {
    "sugarcrepe": sugarcrepe,
    "sugarcrepe_pp": sugarcrepe_pp,
    "aro": aro,
    "valse": valse,
    "vl_checklist": vl_checklist,
    "winoground": winoground,
    "bivlc": bivlc,
    "hard_positives": hard_positives,
    "retrieval": retrieval,
    "imagenet": imagenet,
    "scenes": scenes,
    "custom": custom,
}


def benchmark(name: str) -> Benchmark:
    """The benchmark of a name.

    Raises:
        BenchmarkError: there is none.
    """
    if name not in BENCHMARKS:
        raise BenchmarkError(f"there is no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
