"""``dualset study``."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.console import err, out

Output = Annotated[
    Path | None, typer.Option(help="folder of the runs' records and the report; empty: study, or runs/study/quick with --quick")
]


def study(
    output: Output = None,
    quick: Annotated[bool, typer.Option("--quick", help="every method and control in small, to see that it works")] = False,
    budget_minutes: Annotated[float, typer.Option(min=0, help="do further runs for so long; 0: only the report")] = 0.0,
    extended: Annotated[bool, typer.Option("--extended", help="also the runs beyond the main regime")] = False,
    arm: Annotated[list[str] | None, typer.Option(help="do runs of this arm alone, of any part; may be given again")] = None,
    world: Annotated[str, typer.Option(help="whose runs are done: objects, or garments for the second world")] = "objects",
    work: Annotated[Path, typer.Option(help="folder of scenes, tables and snapshots")] = Path("runs/study"),
    threads: Annotated[int, typer.Option(min=1, help="of torch; one is least CPU time")] = 1,
) -> None:
    """Compare the methods on scenes: the next unfinished runs, then the report from all records.

    The same command may run several times at once, on one machine: a run is done by one of them.
    """
    from dataclasses import replace

    import torch

    from training.study.arms import BY_NAME
    from training.study.data import Made
    from training.study.queue import work as do_runs
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
    output = output or Path("runs/study/quick" if quick else "study")
    if quick or budget_minutes:
        made = Made(work.resolve() / regime.name, regime.size, say, regime.world)
        bench = Bench(regime, made, work / regime.name / RUNS)
        left = do_runs(bench, output, budget_minutes or 1e9, extended, say, arm or ())
        say(f"{left} runs left" if left else "all runs are done")
    for one in WORLDS.values():
        for file in write_report(output, replace(plan, world=one), extended):
            say(f"written: {file}")


def say(line: str) -> None:
    """One line of progress."""
    (err if line.startswith("dualset:") else out).print(line, highlight=False, markup=False)
