"""The page: the template filled with the aggregates, as one HTML file that loads nothing else."""

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from jobs.look.report.gallery import SIDES, Cell, Family
from jobs.look.report.gather import Counts
from jobs.look.report.plots import Plots
from jobs.look.report.shift import Shift
from jobs.look.report.texts import Texts
from jobs.settings import Settings
from udfs.redact import without_secrets

HERE = Path(__file__).parent
GAP = 18  # CSS pixels between the cells of a lattice
EDGES = 34  # height of the lines between two levels


class Edges(TypedDict):
    """Lines between two levels of a lattice: (x above, x below, bit of the removed component), in CSS pixels."""

    width: float
    lines: list[tuple[float, float, int]]


@dataclass(frozen=True)
class Report:
    """Everything on the page. ``no_shift`` says why ``shifts`` is empty."""

    root: str
    counts: Counts
    texts: list[Texts]
    families: list[Family]
    model: str
    shifts: list[Shift]
    no_shift: str
    policy: str
    settings: list[tuple[str, Any, Any]]
    seed: int


def render(report: Report, plots: Plots) -> str:
    """The HTML. Everything from the data is escaped, and a script without this page's nonce does not run."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    templates = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"count": _count, "share": _share, "number": _number, "seconds": _seconds}
    return templates.get_template("page.html.j2").render(
        report=report,
        counts=report.counts,
        totals=report.counts.totals,
        plots=plots,
        plotly_js=get_plotlyjs(),
        style=(HERE / "style.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"),
        nonce=secrets.token_urlsafe(18),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        clip=any(measure.name.startswith("clip") for measure in report.counts.measures),
        example=_example(report.families),
        image=_image,
        lines=lines,
        best_caption=best_caption,
        cell_side=_cell_side,
        EDGES=EDGES,
    )


def best_caption(family: Family) -> str:
    """The id of the caption to show first: the first of those with the most distinct texts over the family's images."""
    spread: dict[str, set[str]] = {}
    for cell in family.cells:
        for pair in cell.pairs:
            spread.setdefault(pair.caption_id, set()).add(pair.text)
    return min(spread, key=lambda caption: (-len(spread[caption]), caption), default="")


def lines(family: Family, level: int) -> Edges:
    """Lines of the lattice from ``level`` to the next."""
    pitch = _cell_side(family) + GAP
    above, below = family.levels[level], family.levels[level + 1]
    width = pitch * max(len(cells) for cells in family.levels)

    def middle(place: int, count: int) -> float:
        return width / 2 + (place - (count - 1) / 2) * pitch

    drawn = [
        (middle(i, len(above)), middle(j, len(below)), (upper.subset ^ lower.subset).bit_length() - 1)
        for i, upper in enumerate(above)
        for j, lower in enumerate(below)
        if upper.subset & lower.subset == upper.subset
    ]
    return {"width": width, "lines": drawn}


def shown_settings(stages: Sequence[tuple[str, Sequence[str], str]]) -> list[tuple[str, Any, Any]]:
    """(setting, value, default) of what differs from the defaults, for (stage, its sections, its settings as JSON).

    Addresses are shown without user and query. Spark's own settings may hold keys; they belong to no stage and are not shown.
    """
    default = _flat(Settings().model_dump(mode="json"))
    values: dict[str, Any] = {}
    for _, sections, text in stages:
        tree = json.loads(text)
        for section in sections:
            first, _, rest = section.partition(".")
            part = tree.get(first, {})
            values |= _flat({first: {rest: part.get(rest)} if rest else part})
    changed = {name: value for name, value in values.items() if default.get(name) != value}
    return [(name, without_secrets(value), default.get(name)) for name, value in sorted(changed.items())]


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}": value}
    return flat


def _example(families: Sequence[Family]) -> list[Cell]:
    """For the first screen, of the family that kept most: the original, an image without each component, and the plate."""

    def kept(family: Family) -> float:
        return sum(any(not pair.reasons for pair in cell.pairs) for cell in family.cells) / len(family.cells)

    drawn = [family for family in families if all(cell.picture for cell in family.cells)]
    if not drawn:
        return []
    family = max(drawn, key=lambda family: (not family.doubtful, min(len(family.labels), 3), kept(family)))
    cells = [cell for cell in family.cells if cell.subset.bit_count() <= 1][:4]
    return cells + family.cells[-1:] * (len(family.labels) > 1)


def _cell_side(family: Family) -> int:
    return min(208, SIDES[len(family.labels)])


def _image(picture: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")


def _count(value: float | None) -> str:
    return f"{int(value or 0):,}"


def _share(part: float | None, whole: float | None) -> str:
    if not whole:
        return "–"
    share = (part or 0) / whole
    return f"{share:.0%}" if share in (0, 1) or 0.01 <= share <= 0.99 else f"{share:.1%}"


def _number(value: float | None, places: int = 2) -> str:
    return "–" if value is None else f"{value:.{places}f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g} s" if value < 100 else f"{value:,.0f} s"
