"""The command line ``dualset``, put together from the commands of all parts. No module imports this one."""

import sys
from typing import Annotated

import typer

from jobs import ingest
from jobs.console import Profile, Root, Set, log, open_run, run_app
from jobs.lexicon import lexicon_app
from jobs.look.commands import check, measure, report, sheet, sql, status
from jobs.look.review.commands import review_app
from jobs.publish import publish_command
from jobs.run import retry, run
from jobs.settings import describe, load_settings
from jobs.unlock import unlock_command
from jobs.withdraw import withdraw_command
from training.commands import add_commands as add_training
from training.comparison.commands import compare
from training.evaluate import evaluate
from training.tables import markdown_table

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turn an image-caption data set into its power set, on Spark and Delta.",
)
app.add_typer(ingest.app(), name="ingest")
for command in (run, retry, status, check, sql, measure, sheet, report):
    app.command()(command)
app.command("publish")(publish_command)
app.command("withdraw")(withdraw_command)
app.command("unlock")(unlock_command)
app.add_typer(review_app, name="review")
app.add_typer(lexicon_app, name="lexicon")
add_training(app)
app.command()(evaluate)
app.command()(compare)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an expected failure is one line on stderr and exit code 1."""
    run_app(app, arguments)


@app.command()
def settings(
    profile: Profile = "photos",
    set_: Set = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="print a table of all settings with default and meaning")] = False,
) -> None:
    """Print every setting with its value; run nothing."""
    if markdown:
        rows = [(f"`{name}`", f"`{default}`", text) for name, default, text in describe()]
        sys.stdout.write("\n".join(markdown_table(("setting", "default", "meaning"), rows)) + "\n")
    else:
        sys.stdout.write(load_settings(profile, set_ or ()).shown(indent=2) + "\n")


@app.command()
def demo(
    root: Root,
    photographs: Annotated[
        bool, typer.Option("--photographs", help="use photographs from installed packages, without models, instead of scenes")
    ] = False,
    scenes: Annotated[int, typer.Option(min=8, help="number of scenes to draw")] = 48,
    set_: Set = None,
) -> None:
    """Run everything on drawn scenes with the models that come with the project: no network, a few minutes, a report."""
    from jobs.demo import photographs as photograph_demo
    from jobs.demo import scenes as scene_demo
    from training.demo import train_briefly

    if photographs:
        photograph_demo.run_photographs(open_run(root, photograph_demo.PROFILE, set_), log)
    else:
        scene_demo.run_demo(open_run(root, scene_demo.PROFILE, set_), log, train_briefly, scenes)


if __name__ == "__main__":
    main()
