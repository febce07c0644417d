"""``dualset compare``."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.console import log

Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        help="may be repeated; empty: clip, negclip, simclip, ce_clip, svlc, laclip, powerset and powerset+negclip",
    ),
]
Benchmarks = Annotated[
    list[str], typer.Option("--benchmark", help="NAME=DATA[,IMAGES][,option=value], as in evaluate; may be repeated")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="option of train: NAME=VALUE for all methods, METHOD.NAME=VALUE for one; may be repeated"),
]


def compare(
    snapshot: Annotated[str, typer.Option(help="folder of a published snapshot, with variants if a method needs them")],
    model: Annotated[str, typer.Option(help="open_clip model name, config file or folder; embedded:NAME")],
    benchmark: Benchmarks,
    output: Annotated[Path, typer.Option(help="folder for trainings, results and report; the same command resumes")],
    checkpoint: Annotated[str, typer.Option(help="weights file, or a pretrained tag such as openai, which is downloaded")] = "",
    method: Methods = None,
    seeds: Annotated[int, typer.Option(min=1, help="trainings per method")] = 3,
    processes: Annotated[int, typer.Option(min=1, help="processes per training, one per GPU")] = 1,
    device: Annotated[str, typer.Option(help="device of evaluation, cpu or cuda; empty: a GPU if there is one")] = "",
    settings: Settings = None,
) -> None:
    """Train methods on one snapshot, evaluate all on public benchmarks, and write one report with paired differences."""
    from training.comparison.plan import METHODS, Plan, Suite
    from training.comparison.run import compare as compare_methods

    plan = Plan.of(
        {"snapshot": snapshot, "model": model, "checkpoint": checkpoint}, method or METHODS, settings or [],
        seeds=seeds, suites=[Suite.of(text) for text in benchmark], output=output.resolve(), processes=processes, device=device,
    )  # fmt: skip
    for file in compare_methods(plan, log):
        log(f"written: {file}")
