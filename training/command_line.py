"""``training.options`` as command-line options, with the same defaults."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
import yaml

from jobs.console import err, log, parameter, run_command, with_parameters
from jobs.snapshot.manifest import MANIFEST, SnapshotError, read_manifest
from training.options import Options, OptionsError, make_options
from udfs.files import listed

Pairs = Annotated[list[str] | None, typer.Option(help="option of the method, as name=value; repeat for several")]
SnapshotRoot = Annotated[str, typer.Option(help="pipeline root whose newest snapshot is used; instead of --snapshot")]


def launch(train: Callable[..., Any]) -> None:
    """``python -m training.loop``: ``train`` as a program of its own, for launchers."""

    def command(**values: Any) -> None:
        """Train a CLIP on a snapshot by one method of the study."""
        train(options_of(values), log, progress=err.is_terminal)

    run_command(with_options(command), help=command.__doc__)


def options_of(values: dict[str, Any]) -> Options:
    """Options from command-line values: ``root`` becomes its newest snapshot, ``method_options`` are parsed from name=value.

    Raises:
        OptionsError: values are invalid; one line says which and why.
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
    folders = [f"{root.rstrip('/')}/snapshots/{name}" for name in listed(f"{root.rstrip('/')}/snapshots")]
    manifests = [read_manifest(folder) for folder in folders if MANIFEST in listed(folder)]
    if not manifests:
        raise SnapshotError(f"{root} has no snapshot: run dualset publish --root {root}, or give --snapshot")
    return max(manifests, key=lambda manifest: manifest.made_at).folder


def with_options(command: Callable[..., None], *more: inspect.Parameter) -> Callable[..., None]:
    """The command with one option for each field of ``Options``, and some more."""

    def called(**values: Any) -> None:
        values.pop("local_rank")
        command(**values)

    parameters = [parameter("root", SnapshotRoot, "")]
    for name, field in Options.model_fields.items():
        if name == "method_options":
            parameters.append(parameter(name, Pairs, None))
            continue
        default = "" if name == "snapshot" else inspect.Parameter.empty if field.is_required() else field.default
        parameters.append(parameter(name, Annotated[field.annotation, typer.Option(help=field.description)], default))
    # DeepSpeed's launcher gives it to every process; the environment says the same.
    hidden = typer.Option("--local_rank", "--local-rank", hidden=True)
    return with_parameters(called, [*parameters, *more, parameter("local_rank", Annotated[int, hidden], 0)])


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise OptionsError(f"--method-options takes name=value, not {text!r}")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise OptionsError(f"--method-options {text!r}: the value is not YAML") from None
