"""The report's pictures as SVG: the same runs give the same text, so that the files can be committed."""

import io
import re
from math import nan
from typing import Any

from training.study.arms import BY_NAME
from training.study.endpoints import ENDPOINTS
from training.study.findings import Findings

COLOURS = {"start": "#888888", "method": "#1f77b4", "control": "#ff7f0e", "curve": "#9467bd", "extended": "#2ca02c"}
STYLES = ("-", "--", ":", "-.")


def arms(findings: Findings) -> str:
    """One panel per end point: each arm's value with its interval.

    It has few elements, so that the file stays small: one line and one set of points for each part, and no tick marks.
    """
    names = list(reversed(findings.runs))
    parts = dict.fromkeys(BY_NAME[name].part for name in names)
    figure, panels = _figure(len(ENDPOINTS), (12, 0.9 + 0.26 * len(names)))
    for panel, point in zip(panels, ENDPOINTS, strict=True):
        values = [findings.value(name, [point]) for name in names]
        for part in parts:
            places = [position for position, name in enumerate(names) if BY_NAME[name].part == part]
            estimates, colour = [values[position] for position in places], COLOURS[part]
            ends = [end for value in estimates for end in (value.low, value.high, nan)]  # nan interrupts the line
            panel.plot(ends, [position for position in places for _ in range(3)], color=colour, linewidth=1.2)
            panel.plot([value.value for value in estimates], places, "o", color=colour, markersize=4, markeredgewidth=0)
        panel.set_title(f"{point.name}, %", fontsize=9)
        panel.set_yticks(range(len(names)), names)
        panel.tick_params(axis="y", left=False)
        panel.grid(axis="x", color="#dddddd")
    return _svg(figure)


def validation(findings: Findings) -> str:
    """The mean of the end points on the validation scenes by step, for each arm's first run."""
    drawn = [name for name in findings.runs if len(_validations(findings, name)) > 1]
    figure, (panel,) = _figure(1, (9, max(4.2, 0.5 + 0.17 * len(drawn))))
    for position, name in enumerate(drawn):
        rows = _validations(findings, name)
        steps, scores = [row["step"] for row in rows], [100 * row["score"] for row in rows]
        panel.plot(steps, scores, STYLES[position // 10 % len(STYLES)], color=f"C{position % 10}", label=name, linewidth=1.2)
    panel.set_xlabel("step")
    panel.set_ylabel("validation: mean of the end points, %")
    panel.grid(color="#dddddd")
    if drawn:
        panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7, frameon=False)
    return _svg(figure)


def _validations(findings: Findings, name: str) -> list[dict[str, float]]:
    return min(findings.records_of(name), key=lambda record: record.seed).validation


def _figure(panels: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    for panel in axes:
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    import matplotlib as mpl

    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "study", "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"]}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"(\.\d\d)\d+", r"\1", out.getvalue())  # hundredths of a point are fine enough
