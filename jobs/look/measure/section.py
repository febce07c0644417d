"""A section of the measurements: a title, what is counted, and a table of finished lines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame

QUERIES = Path(__file__).parent / "queries"


@dataclass(frozen=True)
class Section:
    """One table of the report: what is counted, as prose, then columns and rows as they are printed."""

    title: str
    counted: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def markdown(root: str, sections: Sequence[Section]) -> str:
    """The sections as one Markdown text."""
    lines = [f"# Measured over {root}", ""]
    for section in sections:
        lines += [f"## {section.title}", "", section.counted, ""]
        lines += [_line(section.columns), _line(["---"] * len(section.columns)), *map(_line, section.rows), ""]
    return "\n".join(lines)


def printed(rows: DataFrame, total: str = "") -> tuple[tuple[str, ...], ...]:
    """The rows as text, a few dozen at most. A null in the first column, a rollup's key, is ``total``; any other is empty."""
    return tuple(
        tuple(str(value) if value is not None else (total if place == 0 else "") for place, value in enumerate(row))
        for row in rows.collect()
    )


def _line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
