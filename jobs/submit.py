"""A single stage under spark-submit: what ``jobs/<stage>.py`` does as a program."""

import time
from typing import Annotated

import typer

from jobs.console import Profile, Root, Set, log, open_run, run_command
from jobs.engine.stream import Stage
from jobs.engine.versions import bring_up_to_date


def submit(stage: Stage) -> None:
    """Bring a stage up to date, with options from the command line. To run several stages, or a stage anew: ``jobs/run.py``."""

    def command(
        root: Root,
        profile: Profile = "photos",
        set_: Set = None,
        continuous: Annotated[bool, typer.Option("--continuous", help="repeat for new rows until interrupted")] = False,
    ) -> None:
        run = open_run(root, profile, set_)
        log(f"run {run.run_id}: {stage.name}")
        bring_up_to_date(stage, run)
        while continuous:
            time.sleep(run.settings.spark.pause_s)
            bring_up_to_date(stage, run)
        log(f"tables: {run.store.root}/tables")

    run_command(command, help=f"Run the stage {stage.name}: {stage.source} -> {stage.target}.")
