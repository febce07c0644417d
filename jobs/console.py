"""What all commands share: the console, the options that each has, and how an invocation is opened."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from jobs.settings import load_settings

if TYPE_CHECKING:
    from jobs.stream import Run

out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)

Root = Annotated[str, typer.Option(help="folder of the tables and checkpoints; any path that Spark can write")]
Profile = Annotated[str, typer.Option(help="embedded, photos, gpu, or a YAML file")]
Set = Annotated[list[str] | None, typer.Option("--set", help="a setting as a.b=c; may be given again")]


def open_run(root: str, profile: str, overrides: list[str] | None) -> "Run":
    """Settings, session, store and progress lines of one invocation."""
    from jobs.session import open_session
    from jobs.stream import Run
    from jobs.tables import Store

    settings = load_settings(profile, overrides or ())
    spark = open_session(settings)
    return Run(Store.of(spark, absolute(root), settings), settings, report=_print_batch)


def absolute(path: str) -> str:
    """Local paths made absolute: Spark's workers may run elsewhere. URIs stay as they are."""
    return path if "://" in path or path.startswith("dbfs:") else str(Path(path).resolve())


def _print_batch(stage: str, row: dict[str, Any]) -> None:
    counts = ", ".join(f"{count} {name}" for name, count in sorted(row["rows"].items())) or "nothing"
    out.print(
        f"  {stage:<8} batch {row['batch_id']}: {row['rows_in']} in, {counts}, {row['wall_seconds']:.1f} s",
        highlight=False,
    )
