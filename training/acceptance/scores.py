"""The table of scores and its rows: stage | what | group | value [low, high] | n."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Any

import numpy as np

from training.statistics import interval
from training.tables import markdown_table

HEADS = ("stage", "what", "group", "value [95% interval]", "n")


@dataclass(frozen=True)
class Score:
    """One number with its 95% interval. ``unit`` "%": a share, 0 to 1; else the number's unit. For nan ``note`` says why."""

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
        """The number as text; for nan the note or a dash."""
        if isnan(self.value):
            return self.note or "-"
        if self.unit == "%":
            return f"{100 * self.value:.1f}% [{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]" + (f" {self.unit}" if self.unit else "")

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
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
    """A statistic of values, one or more per scene, with a bootstrap interval over ``scenes`` (the scene of each value)."""
    return Score(
        stage, what, group, *interval(values, scenes, statistic), len(values), unit, "" if values else "nothing of this kind"
    )


def not_scored(stage: str, what: str, why: str) -> Score:
    """The row for something that could not be measured."""
    return Score(stage, what, "", nan, nan, nan, 0, note=f"not scored: {why}")


def markdown(scores: Iterable[Score]) -> str:
    """The table in Markdown."""
    return "\n".join(markdown_table(HEADS, (score.cells for score in scores), right=(-1,)))


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
    # In a file or a pipe lines may be long; they are not cut at 80 columns.
    Console(width=console.width if console.is_terminal else 160).print(table)
