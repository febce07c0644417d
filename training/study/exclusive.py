"""Locks between processes: several `dualset study` commands share one folder, and nothing is made twice or read half-written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, after waiting for other processes. It is reentrant: making one thing may need another."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "making.lock", is_singleton=True):
        yield
