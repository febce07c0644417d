"""``dualset study``."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.console import err, out

RESULTS = "training/study/results"  # the committed records, from which the repository's reports are written
Output = Annotated[
    Path | None,
    typer.Option(help=f"folder of the records and the report; empty: {RESULTS}, or runs/study/quick with --quick"),
]


def study(
    output: Output = None,
    quick: Annotated[bool, typer.Option("--quick", help="run every method and control in small, as a trial")] = False,
    budget_minutes: Annotated[float, typer.Option(min=0, help="minutes of further runs before the report; 0: none")] = 0.0,
    extended: Annotated[bool, typer.Option("--extended", help="also the runs beyond the main regime")] = False,
    arm: Annotated[list[str] | None, typer.Option(help="run this arm only, of any part; repeat it for more arms")] = None,
    world: Annotated[str, typer.Option(help="the world to run in: objects, or garments, the second one")] = "objects",
    work: Annotated[Path, typer.Option(help="folder of scenes, tables and snapshots")] = Path("runs/study"),
    threads: Annotated[int, typer.Option(min=1, help="threads of torch; 1 takes the least CPU time")] = 1,
) -> None:
    """Compare the methods on scenes: the next unfinished runs, then the report from all records.

    Several of these commands may work in one folder at the same time on one machine; they share the runs.
    """
    from dataclasses import replace

    import torch

    from training.study.arms import BY_NAME
    from training.study.data import StudyData
    from training.study.queue import work as do_runs
    from training.study.record import convert
    from training.study.regime import FULL, QUICK
    from training.study.report import write_report
    from training.study.run import Bench
    from training.study.values import RUNS
    from training.study.world import WORLDS

    if unknown := set(arm or ()) - set(BY_NAME):
        raise typer.BadParameter(f"no arm {', '.join(sorted(unknown))}; there are {', '.join(BY_NAME)}", param_hint="--arm")
    if world not in WORLDS:
        raise typer.BadParameter(f"no world {world}; there are {', '.join(WORLDS)}", param_hint="--world")
    if absent := set(arm or ()) - set(WORLDS[world].arms or BY_NAME):
        raise typer.BadParameter(f"{', '.join(sorted(absent))} is not run in the world {world}", param_hint="--arm")
    torch.set_num_threads(threads)
    plan = QUICK if quick else FULL
    regime = replace(plan, world=WORLDS[world])
    output = output or Path("runs/study/quick" if quick else RESULTS)
    for file, count in convert(output / RUNS).items():
        progress(f"converted: {count} records, one file a run before, into {file}")
    if quick or budget_minutes:
        data = StudyData(work.resolve() / regime.name, regime.size, progress, regime.world)
        bench = Bench(regime, data, work / regime.name / RUNS)
        remaining = do_runs(bench, output, budget_minutes or 1e9, extended, progress, arm or ())
        progress(f"{remaining} runs left" if remaining else "all runs are done")
    written = [file for other in WORLDS.values() for file in write_report(output, replace(plan, world=other), extended)]
    for file in written:
        progress(f"written: {file}")
    if not written:
        progress(f"{output} has no runs to report: --budget-minutes makes some")


def progress(line: str) -> None:
    """Print one line of progress."""
    (err if line.startswith("dualset:") else out).print(line, highlight=False, markup=False)
