"""What a model in a worker is: a small class, built from settings, called on a batch of rows. It knows nothing of Spark.

The four parts of every role, in this order: what it is (``name``, ``version``), what it loads (``__init__``, with heavy imports),
what it does to a batch (``__call__``: rows in, as many rows or failures out), and helpers. ``udfs.factory`` turns a role into a
pandas UDF with one load a worker, its GPU, micro-batches, failures a row at a time and timings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Row = dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """Why one row has no result. ``status`` is a short reason code, ``error`` says more (at most 500 characters are kept)."""

    status: str
    error: str


class RoleError(RuntimeError):
    """No row could succeed: a model cannot be loaded, broke its contract, or is out of reach. The stage stops with this line."""


def is_fatal(problem: Exception) -> bool:
    """Whether an exception is about more than the rows at hand, so that no row may take it for its own failure."""
    # After torch's AcceleratorError every later CUDA call of the process fails too: the task must fail and get a new worker.
    return isinstance(problem, RoleError) or type(problem).__name__ == "AcceleratorError"


class Role(Protocol):
    """A model. ``Role(settings, device)`` loads it; ``device`` is a torch device such as ``cpu`` or ``cuda:0``."""

    name: str  # the model's name, for lineage
    version: str  # what tells two sets of weights apart, for lineage

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Return exactly one result for each row, in order. An exception fails the batch, which is then tried row by row;
        one that ``is_fatal`` stops the stage.
        """
        ...
