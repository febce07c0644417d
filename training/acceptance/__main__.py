"""Scores of every stage against the known truth of scenes: one command, with a chapter for each stage.

python -m training.acceptance                                   all stages in one table: a few minutes on two cores
python -m training.acceptance --count 250 --markdown            as Markdown tables
python -m training.acceptance filter --count 250 --seed 900     one stage in depth, with its own options
python -m training.acceptance --help                            the chapters; CHAPTER --help: options
"""

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from training.acceptance import clip, clip_policy, extraction, filter, inpainting, judges, rewriting, segmentation, stages

ALL = "all"


class AllByDefault(TyperGroup):
    """Without a chapter, the options are those of the table of all stages."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the default chapter's name if there is none."""
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = [ALL, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=AllByDefault,
    add_completion=False,
    help="Score the stages on scenes, whose truth is known. Without a chapter: all, with its options.",
)
CHAPTERS: dict[str, Callable[..., None]] = {
    ALL: stages.main,
    "extraction": extraction.main,
    "segmentation": segmentation.main,
    "rewriting": rewriting.main,
    "judges": judges.main,
    "inpainting": inpainting.main,
    "filter": filter.main,
    "clip": clip.main,
    "clip-policy": clip_policy.main,
}
for name, chapter in CHAPTERS.items():
    app.command(name)(chapter)


if __name__ == "__main__":
    app(prog_name="python -m training.acceptance")
