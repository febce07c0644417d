"""What a role is: a model in a worker, built from settings and called on batches of rows. It knows nothing of Spark.

Every role has four parts, in this order: what it is (``name``, ``version``), what it loads (``__init__``, with the heavy
imports), what it does to a batch (``__call__``: rows in, as many results or failures out), and helpers. The fields of its rows
are ``TypedDict``s beside the class, which at run time are plain dicts. ``udfs.factory`` turns a role into a pandas UDF.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from udfs.errors import DualsetError

Row = dict[str, Any]  # a row of any role, for code such as the factory that does not look into it
Input = TypeVar("Input", contravariant=True)
Output = TypeVar("Output", covariant=True)


@dataclass(frozen=True)
class Failure:
    """Why one row has no result. ``status`` is a short reason code, ``error`` says more (at most 500 characters are kept)."""

    status: str
    error: str


class RoleError(DualsetError):
    """No row can succeed: the model cannot be loaded, broke its contract, or is out of reach. It stops the stage."""


def is_fatal(problem: Exception) -> bool:
    """Whether an exception concerns more than the rows of this batch, so that it must not become the failure of a row."""
    # After torch's AcceleratorError every later CUDA call of the process fails too: the task must fail and get a new worker.
    return isinstance(problem, RoleError) or type(problem).__name__ == "AcceleratorError"


class Role(Protocol[Input, Output]):
    """A model. ``Role(settings, device)`` loads it; ``device`` is a torch device such as ``cpu`` or ``cuda:0``."""

    name: str  # the model's name, for lineage
    version: str  # tells two sets of weights apart, for lineage

    def __call__(self, rows: Sequence[Input]) -> Sequence[Output | Failure]:
        """Return exactly one result for each row, in order.

        An exception fails the batch, which the factory then tries row by row; an exception that ``is_fatal`` stops the stage.
        """
        ...
