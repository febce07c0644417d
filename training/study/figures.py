"""The report's pictures, as SVG: the same text for the same runs, so that a repository can hold them."""

import io
from typing import Any

from training.study.arms import BY_NAME
from training.study.endpoints import ENDPOINTS
from training.study.findings import Findings

COLOURS = {"start": "#888888", "method": "#1f77b4", "control": "#ff7f0e", "curve": "#9467bd", "extended": "#2ca02c"}
STYLES = ("-", "--", ":", "-.")


def arms(found: Findings) -> str:
    """A panel an end point: each arm's value with its interval."""
    names = list(reversed(found.runs))
    figure, panels = _figure(len(ENDPOINTS), (12, 0.9 + 0.26 * len(names)))
    for panel, point in zip(panels, ENDPOINTS, strict=True):
        for place, name in enumerate(names):
            one, colour = found.value(name, [point]), COLOURS[BY_NAME[name].part]
            panel.plot([one.low, one.high], [place, place], color=colour, linewidth=1.2)
            panel.plot(one.value, place, "o", color=colour, markersize=4)
        panel.set_title(f"{point.name}, %", fontsize=9)
        panel.set_yticks(range(len(names)), names)
        panel.grid(axis="x", color="#dddddd")
    return _svg(figure)


def validation(found: Findings) -> str:
    """The mean of the end points on the validation scenes, by step, of each arm's first run."""
    figure, (panel,) = _figure(1, (9, 4.2))
    drawn = [name for name in found.runs if len(_validations(found, name)) > 1]
    for place, name in enumerate(drawn):
        rows = _validations(found, name)
        steps, scores = [row["step"] for row in rows], [100 * row["score"] for row in rows]
        panel.plot(steps, scores, STYLES[place // 10 % len(STYLES)], color=f"C{place % 10}", label=name, linewidth=1.2)
    panel.set_xlabel("step")
    panel.set_ylabel("validation: mean of the end points, %")
    panel.grid(color="#dddddd")
    if drawn:
        panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7, frameon=False)
    return _svg(figure)


def _validations(found: Findings, name: str) -> list[dict[str, float]]:
    return min(found.records_of(name), key=lambda one: one.seed).validation


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
    with mpl.rc_context({"svg.hashsalt": "study", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
