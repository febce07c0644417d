"""What all commands share: the console, common options, opening a root, and how an error ends a command."""

import errno
import inspect
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from jobs.settings import SettingsError, load_settings
from udfs.errors import DualsetError
from udfs.files import file_errors, file_system
from udfs.redact import ADVICE, has_secret, without_secrets

if TYPE_CHECKING:
    from jobs.engine.stream import Run

_UsageError: Any = typer.BadParameter.__mro__[1]  # of click, of which typer has a copy of its own

out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)

Root = Annotated[str, typer.Option(help="folder of the tables and checkpoints; any path that Spark can write")]
Profile = Annotated[str, typer.Option(help="embedded, annotations, photos, gpu, or a YAML file")]
Set = Annotated[list[str] | None, typer.Option("--set", help="override a setting, as a.b=c; may be repeated")]


def log(line: str) -> None:
    """Print one line, without the secrets of addresses; captions and paths in it are data, not markup."""
    out.print(without_secrets(line), highlight=False, markup=False)


def run_app(app: typer.Typer, arguments: Sequence[str] | None = None) -> None:
    """Run a command line. An expected failure becomes one line on stderr: exit code 1, or 2 where an option is wrong.

    An interrupt has the exit code 130.
    """
    try:
        code = app(args=arguments, standalone_mode=False)
    except DualsetError as problem:
        _complain(str(problem))
        sys.exit(1)
    except OSError as problem:
        if problem.filename is None:
            raise
        _complain(f"{problem.filename}: {problem.strerror}")  # such as an --output that cannot be written
        sys.exit(1)
    except _spark_errors() as problem:
        from jobs.engine.stream import first_cause

        if "FIELD_NOT_FOUND" in str(problem) and "`name`" in str(problem):
            _complain("these tables were written by an older version and lack a column; dualset run, with this root, adds it")
            sys.exit(1)
        _complain(f"Spark failed: {first_cause(str(problem).strip())} (with its traces: --set spark.log_level=ERROR)")
        sys.exit(1)
    except _UsageError as problem:
        if type(problem).__name__ == "NoArgsIsHelpError":  # its message is the help, which typer has printed
            sys.exit(problem.exit_code)
        command = problem.ctx.command_path if problem.ctx else "dualset"
        _complain(f"{problem.format_message().rstrip('.')}; see {command} --help")
        sys.exit(problem.exit_code)
    except KeyboardInterrupt:
        code = 130
    if code == 130:  # what typer makes of an interrupt
        err.print("dualset: stopped; run the same command again to go on", markup=False, highlight=False)
    sys.exit(code if isinstance(code, int) else 0)


def _spark_errors() -> tuple[type[Exception], ...]:
    """What Spark raises, such as of a damaged table; nothing where it was not loaded, as that takes a second."""
    if "pyspark" not in sys.modules:
        return ()
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # it ships no types
    from pyspark.errors import PySparkException

    return Py4JError, PySparkException


def _complain(problem: str) -> None:
    line = " ".join(without_secrets(problem).split())
    err.print(f"dualset: {line}", style="red", markup=False, highlight=False)


def run_command(command: Callable[..., None], help: str | None = None) -> None:  # noqa: A002 - typer's own name for it
    """Run a single command as a program: the entry point of a file that spark-submit or a launcher starts."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help=help)(command)
    run_app(app)


def parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    """A keyword parameter for ``with_parameters``; without a default it is required."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def with_parameters(command: Callable[..., None], parameters: Sequence[inspect.Parameter]) -> Callable[..., None]:
    """A command that takes ``**values``, with a signature that typer can read: these parameters, required ones first."""

    def wrapper(**values: Any) -> None:
        command(**values)

    ordered = sorted(parameters, key=lambda p: p.default is not inspect.Parameter.empty)
    wrapper.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in ordered}
    return wrapper


def open_run(root: str, profile: str, overrides: list[str] | None) -> "Run":
    """Open a root for an invocation: its settings, its session, its store, and a progress line for each micro-batch."""
    from pyspark.logger import PySparkLogger

    from jobs.engine.session import open_session
    from jobs.engine.stream import Run
    from jobs.engine.tables import Store

    for logger in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        # A page of JSON before the one line in which a command says the same.
        PySparkLogger.getLogger(logger).setLevel(logging.CRITICAL + 1)
    settings = load_settings(profile, overrides or ())
    root = absolute(root)
    reach(root)
    spark = open_session(settings)
    return Run(Store.of(spark, root, settings), settings, report=_print_batch, say=log)


def reach(root: str) -> None:
    """Look at a root in an object store, so that a lack of driver, key, route or bucket is one line, and not a page of Spark's.

    Raises:
        SettingsError: it cannot be reached.
    """
    if "://" not in root:
        return
    try:
        files, name = file_system(root)
        found = files.exists(name)
    except file_errors(ValueError, ImportError) as problem:  # the last two: fsspec does not know it, or lacks its driver
        raise SettingsError(f"{root} cannot be reached: {problem}") from None
    # Without a look at the bucket, the first lock would create it.
    bucket = name.partition("/")[0]
    if not found and "s3" in files.protocol and not files.exists(bucket):
        raise SettingsError(f"{root} cannot be reached: there is no bucket {bucket}, or its list may not be read")


def open_filled(root: str, profile: str, overrides: list[str] | None) -> "Run":
    """``open_run`` for a command that needs records: nothing is written to, or said of, a root that has a slip in its name.

    Raises:
        jobs.engine.stream.StageError: nothing was ingested into the root.
    """
    from jobs.engine.stream import StageError

    run = open_run(root, profile, overrides)
    if not run.store.exists("records"):
        raise StageError(f"{run.store.root} has no tables yet: dualset ingest KIND --root {run.store.root}")
    return run


def absolute(path: str) -> str:
    """Make a local path absolute, as Spark's workers may have another working folder. URIs stay as they are.

    Raises:
        SettingsError: the path has a secret in it, which checkpoints, manifests and log lines would keep.
    """
    if has_secret(path):
        raise SettingsError(f"{without_secrets(path)} was given with a password or key, which files would keep; {ADVICE}")
    return path if _is_uri(path) else str(Path(path).resolve())


def output_file(path: str) -> str:
    """``absolute(path)`` of a file that a command will write, asked for before it works for minutes.

    Folders that are missing are made when it is written. Of an object store only the write itself can tell.

    Raises:
        OSError: it is a folder, or would lie below a file or where this user may not write.
        SettingsError: as ``absolute``.
    """
    path = absolute(path)
    if _is_uri(path):
        return path
    file = Path(path)
    existing = next(place for place in (file, *file.parents) if place.exists())
    problem = 0
    if existing == file and file.is_dir():
        problem = errno.EISDIR
    elif existing != file and not existing.is_dir():
        problem = errno.ENOTDIR
    elif not os.access(existing, os.W_OK):
        problem = errno.EACCES
    if problem:
        raise OSError(problem, os.strerror(problem), path)
    return path


def _is_uri(path: str) -> bool:
    return "://" in path or path.startswith("dbfs:")


def _print_batch(stage: str, row: dict[str, Any]) -> None:
    counts = ", ".join(f"{count} {name}" for name, count in sorted(row["rows"].items())) or "nothing"
    log(f"  {stage:<8} batch {row['batch_id']}: {row['rows_in']} in, {counts}, {row['wall_seconds']:.1f} s")
