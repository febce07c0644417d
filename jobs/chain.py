"""The chain of stages, and the ways to run it: once, continuously, or anew from a stage on."""

import time
from collections.abc import Sequence

from jobs import extract, ingest, inpaint, placebos, plan, recheck, rewrite, score, segment, variants
from jobs.engine.stream import Run, Stage, StageError, reset
from jobs.engine.versions import bring_up_to_date
from jobs.engine.writers import writing

CHAIN: tuple[Stage, ...] = tuple(module.STAGE for module in (ingest, extract, segment, plan, rewrite, inpaint, recheck, score))
NAMES = tuple(stage.name for stage in CHAIN)
SIDE_STAGES: tuple[Stage, ...] = (variants.STAGE, placebos.STAGE)  # run only by name; no stage waits for them


def stages_named(names: Sequence[str]) -> list[Stage]:
    """The stages of these names, in the order of the chain, side stages last.

    Raises:
        StageError: there is no stage of such a name.
    """
    stages = (*CHAIN, *SIDE_STAGES)
    unknown = sorted(set(names) - {stage.name for stage in stages})
    if unknown:
        side = ", ".join(stage.name for stage in SIDE_STAGES)
        raise StageError(f"no stage {', '.join(unknown)}; the chain is {', '.join(NAMES)}; side stages: {side}")
    return [stage for stage in stages if stage.name in names]


def run_chain(run: Run, names: Sequence[str] = NAMES) -> None:
    """Bring each stage up to date with its source, one after the other."""
    for stage in stages_named(names):
        bring_up_to_date(stage, run)


def run_continuously(run: Run, names: Sequence[str] = NAMES) -> None:
    """Run the chain again and again, with a pause between the rounds, until interrupted."""
    while True:
        run_chain(run, names)
        time.sleep(run.settings.spark.pause_s)


def fresh_from(run: Run, name: str) -> None:
    """Drop the tables and checkpoints of a stage and of all later ones. ``records`` stays: it is what the sources hold."""
    (first,) = stages_named([name])
    chain = CHAIN[CHAIN.index(first) :] if first in CHAIN else (first,)
    dropped = {stage.target for stage in chain}
    stages = (*chain, *(stage for stage in SIDE_STAGES if stage.source in dropped))
    with writing(run.store.root, [stage.target for stage in stages], run.say):
        reset(stages, run)
