"""``dualset train`` and ``dualset tune``; their options are those of ``training.options``, and so are the defaults."""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from jobs.console import err, out
from training.options import Options, OptionsError, make_options
from training.snapshot import MANIFEST, SnapshotError, read_manifest
from training.study.commands import study

Pairs = Annotated[list[str] | None, typer.Option(help="option of the method, as name=value; may be given again")]
SnapshotRoot = Annotated[str, typer.Option(help="root whose newest snapshot is trained on, in place of --snapshot")]
Processes = Annotated[int, typer.Option(min=0, help="let Spark start so many processes on each node; 0: this one trains")]
Nodes = Annotated[int, typer.Option(min=1, help="with --processes: workers of the Spark cluster; 1: this machine")]


def train(processes: int, nodes: int, **values: Any) -> None:
    """Train a CLIP on a snapshot by one method of the study; also under the deepspeed launcher and torchrun."""
    options = options_of(values)
    if processes:
        from jobs.session import open_session
        from jobs.settings import load_settings
        from training.distribute import train_by_spark

        open_session(load_settings())
        train_by_spark(options, processes, nodes, say)
        return
    from training.loop import train as train_model

    train_model(options, say, progress=err.is_terminal)


def tune(trials: int, weights: list[str] | None, **values: Any) -> None:
    """Search learning rate, weight decay and a method's own options by validation, each trial with the same few steps."""
    from training.tune import search

    found = search(options_of(values), trials, weights or [], lambda line: err.print(line, highlight=False, markup=False))
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


def say(line: str) -> None:
    """One line to the console; a path in it is no markup."""
    out.print(line, highlight=False, markup=False)


def options_of(values: dict[str, Any]) -> Options:
    """Options from what the command line gives: ``root`` to its newest snapshot, ``method_options`` from name=value.

    Raises:
        OptionsError: says in one line what is wrong.
        SnapshotError: the root has no snapshot.
    """
    values = dict(values)
    root = values.pop("root", "")
    if bool(root) == bool(values.get("snapshot")):
        raise OptionsError("give either --root or --snapshot")
    if root:
        values["snapshot"] = newest_snapshot(root)
    values["method_options"] = dict(_pair(text) for text in values.get("method_options") or ())
    return make_options(values)


def newest_snapshot(root: str) -> str:
    """The folder of the newest finished snapshot of a root.

    Raises:
        SnapshotError: it has none.
    """
    found = [read_manifest(str(file)) for file in Path(root, "snapshots").glob(f"*/{MANIFEST}")]
    if not found:
        raise SnapshotError(f"{root} has no snapshot: dualset publish --root {root}, or give --snapshot")
    return max(found, key=lambda one: one.made_at).folder


def add_commands(app: typer.Typer) -> None:
    """Mount both commands on an application."""
    app.command("train", help=train.__doc__)(_with_options(train, **_launch()))
    trials = Annotated[int, typer.Option(min=1, help="settings tried")]
    weights = Annotated[
        list[str] | None, typer.Option(help="option of the method to search, as name=low:high; may be given again")
    ]
    more = {"trials": _parameter("trials", trials, 10), "weights": _parameter("weights", weights, None)}
    app.command("tune", help=tune.__doc__)(_with_options(tune, **more))
    app.command()(study)


def main() -> None:
    """``python -m training.loop``: the command ``train`` alone, for launchers."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help=train.__doc__)(_with_options(train, **_launch()))
    try:
        app()
    except (OptionsError, SnapshotError) as problem:
        err.print(f"dualset: {problem}", style="red", markup=False, highlight=False)
        sys.exit(1)


def _with_options(command: Callable[..., None], **more: inspect.Parameter) -> Callable[..., None]:
    """The command with one option for each field of ``Options``, and some more."""

    def called(**values: Any) -> None:
        values.pop("local_rank")
        command(**values)

    parameters = [_parameter("root", SnapshotRoot, "")]
    for name, field in Options.model_fields.items():
        if name == "method_options":
            parameters.append(_parameter(name, Pairs, None))
            continue
        default = "" if name == "snapshot" else inspect.Parameter.empty if field.is_required() else field.default
        parameters.append(_parameter(name, Annotated[field.annotation, typer.Option(help=field.description)], default))
    # DeepSpeed's launcher gives it to every process; the environment says the same.
    hidden = typer.Option("--local_rank", "--local-rank", hidden=True)
    parameters += [*more.values(), _parameter("local_rank", Annotated[int, hidden], 0)]
    parameters.sort(key=lambda one: one.default is not inspect.Parameter.empty)
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


def _launch() -> dict[str, inspect.Parameter]:
    return {"processes": _parameter("processes", Processes, 0), "nodes": _parameter("nodes", Nodes, 1)}


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise OptionsError(f"--method-options takes name=value, not {text!r}")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise OptionsError(f"--method-options {text!r}: the value is not YAML") from None
