"""``dualset train`` and ``dualset tune``. Their options and defaults are those of ``training.options``."""

import inspect
import json
import sys
from typing import Annotated, Any

import typer

from jobs.console import err, log, parameter
from jobs.snapshot.manifest import read_manifest
from training.command_line import options_of, with_options
from training.study.commands import study

Processes = Annotated[
    int, typer.Option(min=0, help="training processes that Spark starts on each node; 0: train in this process")
]
Nodes = Annotated[int, typer.Option(min=1, help="with --processes: number of Spark workers; 1: this machine")]


def train(processes: int, nodes: int, **values: Any) -> None:
    """Train a CLIP on a snapshot with one of the methods; also works under the deepspeed launcher and torchrun."""
    options = options_of(values)
    read_manifest(options.snapshot)  # a slip in its name is said at once, and not after all that training loads
    if processes:
        from jobs.engine.session import open_session
        from jobs.settings import load_settings
        from training.distribute import train_by_spark

        open_session(load_settings())
        train_by_spark(options, processes, nodes, log)
        return
    from training.loop import train as train_model

    train_model(options, log, progress=err.is_terminal)


def tune(trials: int, weights: list[str] | None, **values: Any) -> None:
    """Tune learning rate, weight decay and options of the method by validation, in trials with equally many steps."""
    from training.tune import search

    options = options_of(values)
    read_manifest(options.snapshot)
    best = search(options, trials, weights or [], lambda line: err.print(line, highlight=False, markup=False))
    sys.stdout.write(json.dumps(best, indent=2) + "\n")


def add_commands(app: typer.Typer) -> None:
    """Mount both commands on an application."""
    app.command("train", help=train.__doc__)(with_options(train, *_launch()))
    trials = Annotated[int, typer.Option(min=1, help="settings tried")]
    weights = Annotated[
        list[str] | None, typer.Option(help="option of the method to search, as name=low:high; may be given again")
    ]
    more = parameter("trials", trials, 10), parameter("weights", weights, None)
    app.command("tune", help=tune.__doc__)(with_options(tune, *more))
    app.command()(study)


def _launch() -> tuple[inspect.Parameter, ...]:
    return parameter("processes", Processes, 0), parameter("nodes", Nodes, 1)
