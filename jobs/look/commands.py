"""The commands that look at a root and write no table: ``status``, ``check``, ``sql``, ``measure``, ``sheet``, ``report``."""

import json
import sys
from typing import Annotated

import fsspec
import typer
from rich.table import Table as Grid
from rich.text import Text

from jobs.console import Profile, Root, Set, log, open_filled, open_run, out, output_file


def status(root: Root, profile: Profile = "photos", set_: Set = None) -> None:
    """Rows, failures and backlog of each stage, and what rules made in place of a language model."""
    from jobs.look.status import stage_status, stand_ins

    run = open_filled(root, profile, set_)
    grid = Grid("stage", "table", "rows", "ok", "not ok", "waiting", "seconds", "micro-batches")
    for row in stage_status(run.store):
        grid.add_row(*(str(value) for value in row))
    out.print(grid)
    for stand_in in stand_ins(run.store):
        log(
            f"{stand_in.stage}: {stand_in.rows} {stand_in.what} by rules in place of the model ({stand_in.reason});"
            f" to ask it again: dualset retry --root {run.store.root} --stand-ins"
        )


def check(
    root: Root,
    profile: Profile = "photos",
    set_: Set = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    deep: Annotated[int, typer.Option(help="families whose pixels are compared too", min=0)] = 0,
) -> None:
    """Check a root for duplicate keys, lost rows, half lattices, damaged checkpoints and snapshots; exits with 1 if any."""
    from dataclasses import asdict

    from jobs.look.check import check as check_root

    breaches = 0
    for finding in check_root(open_run(root, profile, set_), deep):
        breaches += bool(finding.breach)
        if as_json:
            sys.stdout.write(json.dumps(asdict(finding)) + "\n")
            continue
        log(f"{'BREACH' if finding.breach else 'ok    '} {finding.promise}: {finding.breach or finding.found or 'yes'}")
        if finding.mend:
            log(f"       mend: {finding.mend}")
    if breaches:
        raise typer.Exit(1)


def sql(
    query: Annotated[str, typer.Argument(help="a query over the tables and views; SHOW VIEWS lists the views")],
    root: Root,
    profile: Profile = "photos",
    set_: Set = None,
    limit: Annotated[int, typer.Option(help="most rows to print")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Run SQL over the tables and views."""
    from pyspark.errors import PySparkException

    from jobs.engine.stream import StageError
    from jobs.engine.views import create_views

    run = open_filled(root, profile, set_)
    create_views(run.store, run.settings)
    try:
        rows = run.store.spark.sql(query)
        shown = rows.limit(limit).collect()
    except PySparkException as problem:
        raise StageError(str(problem).strip().splitlines()[0]) from problem  # Spark begins some with an empty line
    if as_json:
        for row in shown:
            sys.stdout.write(json.dumps(row.asDict(recursive=True), default=_jsonable) + "\n")
        return
    grid = Grid(*rows.columns)
    for row in shown:
        # Captions are data: [b] in one is no markup.
        grid.add_row(*(Text(_shown(value)) for value in row))
    out.print(grid)


def measure(
    root: Root,
    output: Annotated[str, typer.Option(help="Markdown file to write as well")] = "",
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Measure each stage against what came with the source (coco with --instances, flickr30k_entities) and people's reviews."""
    from jobs.look.measure import markdown
    from jobs.look.measure import measure as measure_store
    from jobs.look.status import require_tables

    path = output_file(output) if output else ""
    run = open_filled(root, profile, set_)
    require_tables(run.store)
    text = markdown(run.store.root, measure_store(run.store, run.settings))
    sys.stdout.write(text + "\n")
    if path:
        with fsspec.open(path, "w", encoding="utf-8") as file:
            file.write(text)
        log(f"written to {output}")


def sheet(
    root: Root,
    output: Annotated[str, typer.Option(help="PNG file to write")],
    families: Annotated[int, typer.Option(min=1, max=200, help="families on the sheet, drawn by a hash")] = 20,
    seed: Annotated[int, typer.Option(help="another seed draws other families")] = 0,
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Draw a contact sheet of some families: the original with its outlines, all dual images, a text and the verdict."""
    from jobs.look.sheet import draw_sheet
    from jobs.look.status import require_tables

    path = output_file(output)
    run = open_filled(root, profile, set_)
    require_tables(run.store)
    count = draw_sheet(run.store, run.settings, path, families, seed)
    log(f"{count} families: {output}")


def report(
    root: Root,
    output: Annotated[str, typer.Option(help="HTML file to write; empty: report.html in the root")] = "",
    families: Annotated[int, typer.Option(min=0, max=200, help="families in the gallery")] = 24,
    seed: Annotated[int, typer.Option(help="another seed draws other families")] = 0,
    doubtful: Annotated[float, typer.Option(min=0, max=1, help="share of the gallery nearest to a limit of the policy")] = 0.5,
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Write one self-contained HTML file: counts, filter, gallery, quality, coverage, shift, texts, cost, settings."""
    from jobs.look.report import write_report
    from jobs.look.status import require_tables

    path = output_file(output) if output else ""
    run = open_filled(root, profile, set_)
    require_tables(run.store)
    path = path or f"{run.store.root}/report.html"
    size = write_report(run.store, run.settings, path, families, seed, doubtful)
    log(f"{path} ({size / 1e6:.1f} MB)")


def _jsonable(value: object) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, (bytes, bytearray)) else str(value)


def _shown(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return f"<{len(value)} bytes>"
    text = str(value)
    return text if len(text) <= 200 else text[:197] + "..."
