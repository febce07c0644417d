"""Benchmarks of compositionality, retrieval and classification: one module each, with the same interface.

FILES                             patterns of the files that are read below the data folder
RIGHT                             number of an item's texts that are true of its first image; they come first; 0: the item
                                  is not a choice between texts
load(data, images, **options)     reads the files into items
judge(item, scores, text_scores)  cosines [I, T] and [T, T] to a verdict by metric: 1, 0, or 0.5 for a tie; or
answer(items, features)           verdicts on all items together, if an item alone is not a question (retrieval)
aggregate(counts)                 number of items by group to the averages that papers report
chance(items)                     score of random guessing, by metric
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
    """The interface of all benchmark modules."""

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
    """A benchmark whose items are judged one at a time."""

    @property
    def judge(self) -> Callable[[Item, Any, Any], dict[str, float]]: ...  # noqa: D102


@runtime_checkable
class Answering(_Module, Protocol):
    """A benchmark that needs all items together; if it also has ``judge``, the blind baselines use it."""

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
    """The benchmark with a name.

    Raises:
        BenchmarkError: there is none.
    """
    if name not in BENCHMARKS:
        raise BenchmarkError(f"there is no benchmark {name!r}: choose one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
