"""``dualset unlock``: for a root on an object store, where a lock outlives a machine that is gone."""

from typing import Annotated

import typer

from jobs.console import Root, absolute, log, reach
from jobs.engine.writers import unlock


def unlock_command(
    name: Annotated[str, typer.Argument(help="what is locked, as the message says: a table, or snapshot-ID")],
    root: Root,
) -> None:
    """Take the lock of a writer that you know to be dead. A writer that is alive after all stops before its next write."""
    root = absolute(root).rstrip("/")
    reach(root)
    held = unlock(root, name)
    log(f"{name} was held by {held}; it is free now" if held else f"{name} is not locked")
