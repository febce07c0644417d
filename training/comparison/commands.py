"""``dualset compare``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from jobs.console import err
from training.commands import say

Many = Annotated[
    list[str] | None, typer.Option("--method", help="clip, negclip, ...; may be given again; none: all of the study")
]
Benchmarks = Annotated[
    list[str], typer.Option("--benchmark", help="NAME=DATA[,IMAGES][,option=value], as of evaluate; may be given again")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="option of train, NAME=VALUE; of one method alone METHOD.NAME=VALUE")
]


def compare(
    snapshot: Annotated[str, typer.Option(help="folder of a published snapshot, with variants if a method needs them")],
    model: Annotated[str, typer.Option(help="open_clip model name, config file or folder; embedded:NAME")],
    benchmark: Benchmarks,
    output: Annotated[Path, typer.Option(help="folder of trainings, results and report; the same command again resumes")],
    checkpoint: Annotated[str, typer.Option(help="weights file, or a pretrained tag, such as openai, which is downloaded")] = "",
    method: Many = None,
    seeds: Annotated[int, typer.Option(min=1, help="trainings a method")] = 3,
    processes: Annotated[int, typer.Option(min=1, help="of each training: one a GPU")] = 1,
    device: Annotated[str, typer.Option(help="of evaluation: cpu or cuda; empty: a GPU if there is one")] = "",
    settings: Settings = None,
) -> None:
    """Train methods on one snapshot, evaluate all on public benchmarks, and write one report with paired differences."""
    from training.benchmarks import BenchmarkError
    from training.comparison.plan import METHODS, ComparisonError, Plan, Suite
    from training.comparison.run import compare as do_all
    from training.options import OptionsError

    common = {"snapshot": snapshot, "model": model, "checkpoint": checkpoint}
    try:
        suites = [Suite.of(text) for text in benchmark]
        plan = Plan.of(
            common, method or METHODS, settings or [],
            seeds=seeds, suites=suites, output=output.resolve(), processes=processes, device=device,
        )  # fmt: skip
        for file in do_all(plan, say):
            say(f"written: {file}")
    except (OptionsError, ComparisonError, BenchmarkError) as problem:
        err.print(f"dualset: {problem}", style="red", markup=False, highlight=False)
        sys.exit(1)
