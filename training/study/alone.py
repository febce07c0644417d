"""One process at a time makes data: several `dualset study` share a folder, and nothing is made twice or half."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HELD: set[Path] = set()  # by this process, which makes one thing for another


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process makes something in a folder; within, what is there is whole."""
    folder = folder.resolve()
    if folder in _HELD:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "making.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _HELD.add(folder)
        try:
            yield
        finally:
            _HELD.discard(folder)
