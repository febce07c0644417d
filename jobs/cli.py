"""The command line. Each command is a function of ``jobs`` with its options; spark-submit runs the same ones."""

import inspect
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table as Grid
from rich.text import Text

from jobs.console import Profile, Root, Set, absolute, err, open_run, out
from jobs.review.commands import review_app
from jobs.settings import SettingsError, load_settings
from jobs.sources import COMMON, SOURCES, SourceError, complete, records, source_error, source_name
from training.commands import add_commands as add_training
from training.comparison.commands import compare
from training.evaluate_commands import evaluate

if TYPE_CHECKING:
    pass

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turn an image-caption data set into its power set, on Spark and Delta.",
)
ingest_app = typer.Typer(no_args_is_help=True, help="Read a source into the tables; run again to take what arrived since.")
app.add_typer(ingest_app, name="ingest")
app.add_typer(review_app, name="review")
add_training(app)
app.command()(evaluate)
app.command()(compare)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every expected failure is one line on stderr and exit code 1."""
    from jobs.chain import StageError
    from jobs.review.words import ReviewError
    from jobs.session import EnvironmentProblem
    from jobs.tables import TableError
    from training.options import OptionsError
    from training.snapshot import SnapshotError
    from training.study import StudyError

    try:
        app(args=None if arguments is None else [*arguments, *sys.argv[1:]])
    except (
        SettingsError,
        StageError,
        TableError,
        SourceError,
        ReviewError,
        EnvironmentProblem,
        OptionsError,
        SnapshotError,
        StudyError,
    ) as problem:
        err.print(f"dualset: {problem}", style="red", markup=False, highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("dualset: stopped; run the same command again to go on", markup=False, highlight=False)
        sys.exit(130)


def run_stage(name: str) -> None:
    """Entry of ``jobs/<stage>.py`` under spark-submit: that one stage, with the options of ``run``."""
    main(["run", "--stages", name])


def _ingest(kind: str, options: dict[str, Any], root: str, profile: str, overrides: list[str] | None) -> None:
    from pyspark.errors import PySparkException

    from jobs import ingest
    from jobs.stream import finish, start

    run = open_run(root, profile, overrides)
    options = dict(complete(kind, options, absolute(root)))
    try:
        count = ingest.add(run, records(run.store.spark, kind, options, run.settings.ingest))
    except PySparkException as problem:
        raise source_error(problem) or problem from None
    out.print(f"{count} new records from {source_name(kind, options)}", highlight=False, markup=False)
    finish(start(ingest.STAGE, run), ingest.STAGE)
    out.print(f"tables: {run.store.root}/tables    next: dualset run --root {run.store.root}", highlight=False, markup=False)


def _add_source_command(kind: str, module: ModuleType) -> None:
    """One ``dualset ingest KIND``: the source's own options, then those of every source."""

    def command(**options: Any) -> None:
        _ingest(kind, options, options.pop("root"), options.pop("profile"), options.pop("set_"))

    def option(name: str, text: str, annotation: Any = str, default: Any = None) -> inspect.Parameter:
        given = inspect.Parameter.empty if name in (*module.REQUIRED, "root") else default
        annotated = Annotated[annotation, typer.Option(help=text)] if text else annotation
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=given, annotation=annotated)

    parameters = [
        *(option(name, text, str | None) for name, text in {**module.OPTIONS, **COMMON}.items()),
        option("root", "", Root),
        option("profile", "", Profile, "photos"),
        option("set_", "", Set),
    ]
    command.__signature__ = inspect.Signature(sorted(parameters, key=lambda p: p.default is not p.empty))  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    ingest_app.command(kind, help=(module.__doc__ or kind).splitlines()[0])(command)


for _kind, _module in SOURCES.items():
    _add_source_command(_kind, _module)


@app.command()
def run(
    root: Root,
    profile: Profile = "photos",
    set_: Set = None,
    stages: Annotated[str, typer.Option(help="comma-separated; the default is the whole chain")] = "",
    continuous: Annotated[bool, typer.Option("--continuous", help="go round the chain until interrupted")] = False,
    fresh: Annotated[str, typer.Option(help="drop this stage's table and all later ones first")] = "",
) -> None:
    """Run the chain over everything that has arrived: ingest, extract, segment, plan, rewrite, inpaint, recheck, score."""
    from jobs.chain import NAMES, fresh_from, run_chain, run_continuously

    this = open_run(root, profile, set_)
    names = [name.strip() for name in stages.split(",") if name.strip()] or list(NAMES)
    out.print(f"run {this.run_id}: {', '.join(names)}", highlight=False, markup=False)
    out.print(this.settings.shown(exclude_defaults=True), markup=False, highlight=False)
    if fresh:
        fresh_from(this, fresh)
    (run_continuously if continuous else run_chain)(this, names)
    out.print(f"tables: {this.store.root}/tables    look: dualset status --root {this.store.root}", highlight=False, markup=False)


@app.command()
def retry(
    root: Root,
    status: Annotated[str, typer.Option(help="the status to try again, such as model_error")],
    stages: Annotated[str, typer.Option(help="comma-separated; the default is all")] = "",
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Try again the rows that ended with a status; then run the chain to let them go on."""
    from jobs.chain import NAMES
    from jobs.chain import retry as retry_rows

    this = open_run(root, profile, set_)
    names = [name.strip() for name in stages.split(",") if name.strip()] or list(NAMES)
    for stage, count in retry_rows(this, status, names).items():
        out.print(f"{stage}: {count} rows tried again")


@app.command()
def status(root: Root, profile: Profile = "photos", set_: Set = None) -> None:
    """Rows, failures and backlog of each stage."""
    from jobs.status import stage_status

    this = open_run(root, profile, set_)
    grid = Grid("stage", "table", "rows", "ok", "not ok", "waiting", "seconds", "micro-batches")
    for row in stage_status(this.store):
        grid.add_row(*(str(value) for value in row))
    out.print(grid)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="over the tables and views: see SHOW VIEWS")],
    root: Root,
    profile: Profile = "photos",
    set_: Set = None,
    limit: Annotated[int, typer.Option(help="rows printed at most")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Run SQL over the tables and views."""
    from pyspark.errors import PySparkException

    from jobs.stream import StageError
    from jobs.views import create_views

    this = open_run(root, profile, set_)
    create_views(this.store, this.settings)
    try:
        rows = this.store.spark.sql(query)
        found = rows.limit(limit).collect()
    except PySparkException as problem:
        raise StageError(str(problem).splitlines()[0]) from problem
    if as_json:
        for row in found:
            sys.stdout.write(json.dumps(row.asDict(recursive=True), default=_jsonable) + "\n")
        return
    grid = Grid(*rows.columns)
    for row in found:
        # Captions are data: [b] in one is no markup.
        grid.add_row(*(Text(_shown(value)) for value in row))
    out.print(grid)


@app.command()
def settings(
    profile: Profile = "photos",
    set_: Set = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="every setting with default and meaning, as a table")] = False,
) -> None:
    """Print every setting with its value; nothing is run."""
    from jobs.settings import describe

    if markdown:
        lines = [f"| `{name}` | `{default}` | {text} |" for name, default, text in describe()]
        sys.stdout.write("\n".join(["| setting | default | meaning |", "|---|---|---|", *lines]) + "\n")
    else:
        sys.stdout.write(load_settings(profile, set_ or ()).shown(indent=2) + "\n")


@app.command()
def withdraw(
    root: Root,
    record_id: Annotated[list[str], typer.Option(help="record to take down; may be given again")],
    reason: Annotated[str, typer.Option(help="why, for the table")],
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Take images down: no view and no later snapshot shows these records, or others of the same image."""
    from jobs.takedown import withdraw as withdraw_records

    gone = withdraw_records(open_run(root, profile, set_).store, record_id, reason)
    same = f" ({len(gone) - len(set(record_id))} more than named, as they have the same image)" * (
        len(gone) > len(set(record_id))
    )
    out.print(
        f"{len(gone)} records withdrawn{same}; publish again to make a snapshot without them", highlight=False, markup=False
    )


@app.command()
def publish(
    root: Root,
    profile: Profile = "photos",
    set_: Set = None,
    shards: Annotated[int, typer.Option(help="parts, equal but for one family; 0: publish.shards")] = 0,
    seed: Annotated[int, typer.Option(help="of the order of families; -1: publish.seed")] = -1,
) -> None:
    """Export what training reads under the current policy as an immutable snapshot."""
    from jobs.publish import publish as publish_snapshot

    given = [f"publish.shards={shards}"] * (shards > 0) + [f"publish.seed={seed}"] * (seed >= 0)
    this = open_run(root, profile, [*(set_ or ()), *given])
    made, new = publish_snapshot(this.store, this.settings, lambda line: out.print(line, highlight=False, markup=False))
    total = made.totals
    out.print(
        f"{'published' if new else 'nothing to do: already published'}: {total.families} families, {total.images} images,"
        f" {total.texts} texts, {total.pairs} kept pairs in {made.shards} shards",
        highlight=False,
    )
    out.print(f"snapshot: {made.folder}", highlight=False, markup=False)


@app.command()
def measure(
    root: Root,
    output: Annotated[str, typer.Option(help="Markdown file to write as well")] = "",
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Measure each stage against the annotations that came with the source (coco with --instances)."""
    from jobs.measure import markdown
    from jobs.measure import measure as measure_store
    from jobs.status import require_tables

    this = open_run(root, profile, set_)
    require_tables(this.store)
    text = markdown(this.store.root, measure_store(this.store, this.settings))
    sys.stdout.write(text + "\n")
    if output:
        Path(output).write_text(text, encoding="utf-8")
        out.print(f"written to {output}", highlight=False, markup=False)


@app.command()
def sheet(
    root: Root,
    output: Annotated[str, typer.Option(help="PNG file to write")],
    families: Annotated[int, typer.Option(min=1, max=200, help="families on the sheet, drawn by a hash")] = 20,
    seed: Annotated[int, typer.Option(help="another seed draws other families")] = 0,
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Draw a contact sheet of some families: the original with its outlines, all dual images, a text and the verdict."""
    from jobs.sheet import draw_sheet
    from jobs.status import require_tables

    this = open_run(root, profile, set_)
    require_tables(this.store)
    count = draw_sheet(this.store, this.settings, absolute(output), families, seed)
    out.print(f"{count} families: {output}", highlight=False, markup=False)


@app.command()
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
    from jobs.report import write_report
    from jobs.status import require_tables

    this = open_run(root, profile, set_)
    require_tables(this.store)
    place = absolute(output) if output else f"{this.store.root}/report.html"
    size = write_report(this.store, this.settings, place, families, seed, doubtful)
    out.print(f"{place} ({size / 1e6:.1f} MB)", highlight=False, markup=False)


@app.command()
def demo(
    root: Root,
    photographs: Annotated[
        bool, typer.Option("--photographs", help="seven that installed packages carry, and no models")
    ] = False,
    scenes: Annotated[int, typer.Option(min=8, help="how many to draw")] = 48,
    set_: Set = None,
) -> None:
    """Do the main job on drawn scenes with the models that come with the project: no network, a few minutes, a report."""
    from jobs import demo as scene_demo
    from jobs import demo_photographs

    def say(line: str) -> None:
        out.print(line, markup=False, highlight=False)

    if photographs:
        demo_photographs.run_photographs(open_run(root, demo_photographs.PROFILE, set_), say)
    else:
        scene_demo.run_demo(open_run(root, scene_demo.PROFILE, set_), say, scenes)


def _jsonable(value: object) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, (bytes, bytearray)) else str(value)


def _shown(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return f"<{len(value)} bytes>"
    text = str(value)
    return text if len(text) <= 200 else text[:197] + "..."


if __name__ == "__main__":
    main()
