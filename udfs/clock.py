"""Where a worker's seconds go: roles time their parts, the factory collects the times for the table ``runs``.

A worker process runs one task at a time, so one ledger in the module is enough.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

PARTS = ("load", "decode", "model", "encode")
_ledger: dict[str, float] = dict.fromkeys(PARTS, 0.0)


@contextmanager
def spend(part: str) -> Iterator[None]:
    """Add the wall time of the block, in seconds, to ``part`` (one of ``PARTS``)."""
    start = time.perf_counter()
    try:
        yield
    finally:
        _ledger[part] += time.perf_counter() - start


def collect() -> dict[str, float]:
    """Return the seconds spent since the last call, by part, and start again at zero."""
    seconds = dict(_ledger)
    for part in PARTS:
        _ledger[part] = 0.0
    return seconds
