"""run: the whole chain, or some stages. It is ``dualset run``, and under spark-submit:

spark-submit --properties-file jobs/engine/spark-defaults.conf jobs/run.py --root R --set segmenter.weights=FILE
"""

from typing import Annotated

import typer

from jobs.console import Profile, Root, Set, log, open_filled, run_command


def run(
    root: Root,
    profile: Profile = "photos",
    set_: Set = None,
    stages: Annotated[str, typer.Option(help="names, comma-separated; default: the whole chain")] = "",
    continuous: Annotated[bool, typer.Option("--continuous", help="repeat the chain until interrupted")] = False,
    fresh: Annotated[str, typer.Option(help="first drop the tables of this stage and of all later ones")] = "",
) -> None:
    """Run the chain over all new records: ingest, extract, segment, plan, rewrite, inpaint, recheck, score."""
    from jobs.chain import NAMES, fresh_from, run_chain, run_continuously

    invocation = open_filled(root, profile, set_)
    names = _names(stages) or list(NAMES)
    log(f"run {invocation.run_id}: {', '.join(names)}")
    log(invocation.settings.shown(exclude_defaults=True))
    if fresh:
        fresh_from(invocation, fresh)
    (run_continuously if continuous else run_chain)(invocation, names)
    store = invocation.store
    log(f"tables: {store.root}/tables    look: dualset status --root {store.root}")


def retry(
    root: Root,
    status: Annotated[str, typer.Option(help="the status to try again, such as model_error")] = "",
    stand_ins: Annotated[
        bool, typer.Option("--stand-ins", help="ask the language models again where rules stood in for them")
    ] = False,
    stages: Annotated[str, typer.Option(help="names, comma-separated; default: all")] = "",
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Retry the rows that have a given status, or that rules made in place of a language model.

    What comes after them is made, or made anew, by the next ``dualset run``.
    """
    from jobs.chain import NAMES
    from jobs.engine.stream import ORIGINS
    from jobs.retry import retry as retry_rows
    from jobs.retry import retry_stand_ins

    if bool(status) == stand_ins:
        raise typer.BadParameter("give either --status or --stand-ins")
    invocation = open_filled(root, profile, set_)
    if stand_ins:
        for stage, (asked, written) in retry_stand_ins(invocation, _names(stages) or list(ORIGINS)).items():
            log(f"{stage}: {asked} records asked again, {written} of them made anew")
        log(f"next: dualset run --root {invocation.store.root}")
        return
    for stage, count in retry_rows(invocation, status, _names(stages) or list(NAMES)).items():
        log(f"{stage}: {count} rows tried again")


def _names(stages: str) -> list[str]:
    return [name.strip() for name in stages.split(",") if name.strip()]


if __name__ == "__main__":
    run_command(run)
