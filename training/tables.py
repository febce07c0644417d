"""Markdown tables."""

from collections.abc import Iterable, Iterator, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[int] = ()) -> Iterator[str]:
    """The lines of a table.

    Args:
        head: titles of the columns.
        rows: of cells as ``str`` shows them; a | in one is escaped, a line break becomes a space.
        right: columns that are aligned to the right, by number; negative ones count from the end.

    Yields:
        The head, the line under it, and a line a row, without line breaks.

    Raises:
        ValueError: a row does not have as many cells as the head.
    """
    aligned = {place % len(head) for place in right}
    yield _line(head)
    yield "|" + "".join("---:|" if place in aligned else "---|" for place in range(len(head)))
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"a row of {len(row)} cells under a head of {len(head)}: {row}")
        yield _line(row)


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(" ".join(str(cell).splitlines()).replace("|", "\\|") for cell in cells) + " |"
