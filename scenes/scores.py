"""A line of the table of scores, and the table: stage | what | group | value [low, high] | n."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Any

import numpy as np

from scenes.score_segmenter import interval

HEADS = ("stage", "what", "group", "value [95% interval]", "n")


@dataclass(frozen=True)
class Score:
    """One number with its 95% interval. ``unit`` "%": a share, 0 to 1; else what the number counts. nan: ``note`` says why."""

    stage: str
    what: str
    group: str
    value: float
    low: float
    high: float
    n: int
    unit: str = "%"
    note: str = ""

    @property
    def shown(self) -> str:
        """The number as text; what is not there as a dash, or as the reason."""
        if isnan(self.value):
            return self.note or "-"
        if self.unit == "%":
            return f"{100 * self.value:.1f}% [{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]" + (f" {self.unit}" if self.unit else "")

    @property
    def cells(self) -> tuple[str, ...]:
        """The line of the table."""
        return self.stage, self.what, self.group, self.shown, str(self.n) if self.n else ""


def score(
    stage: str,
    what: str,
    group: str,
    values: Sequence[float],
    scenes: Sequence[int],
    unit: str = "%",
    statistic: Callable[..., Any] = np.mean,
) -> Score:
    """A statistic of values, one or more a scene, with its interval by bootstrap over ``scenes`` (the scene of each value)."""
    return Score(
        stage, what, group, *interval(values, scenes, statistic), len(values), unit, "" if values else "nothing of this kind"
    )


def not_scored(stage: str, what: str, why: str) -> Score:
    """The line of what could not be measured."""
    return Score(stage, what, "", nan, nan, nan, 0, note=f"not scored: {why}")


def markdown(scores: Iterable[Score]) -> str:
    """The table for a README."""
    rows = [HEADS, ("---",) * (len(HEADS) - 1) + ("---:",), *(score.cells for score in scores)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def show(scores: Iterable[Score], title: str = "") -> None:
    """Print the table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*HEADS[:-1], title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(HEADS[-1], justify="right")
    before = ""
    for line in scores:
        if before and line.stage != before:
            table.add_section()
        before = line.stage
        table.add_row(*line.cells)
    console = Console()
    # Into a file or a pipe lines are as long as they need to be, not cut at 80 columns.
    Console(width=console.width if console.is_terminal else 160).print(table)
