"""The report's plots: plotly figures as plain JSON trees, coloured by the page so that they read in light, dark and print."""

import html
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobs.look.report.gather import BINS, Counts, Measure
from jobs.look.report.rows import CoverageRow
from jobs.look.report.shift import Shift
from jobs.look.report.texts import LONGEST, Texts

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

KEPT, REJECTED, QUIET, ACCENT = "#3b9c8f", "#cf6679", "#9aa5b1", "#5b8def"
KINDS = (QUIET, ACCENT, KEPT)
Plots = dict[str, dict[str, Any]]


def draw_plots(counts: Counts, texts: Sequence[Texts], shifts: Sequence[Shift]) -> Plots:
    """{name of the plot: {"data": traces, "layout": layout}}; a plot with nothing to show is left out."""
    plots = {"tables": _tables(counts), "filter": _filter(counts), "reasons": _reasons(counts), "stages": _stages(counts)}
    plots |= {"sizes": _sizes(counts), "coverage": _coverage(counts), "lengths": _lengths(texts), "shift": _shift(shifts)}
    plots |= {f"measure_{measure.name}": _measure(measure) for measure in counts.measures}
    return {name: json.loads(figure.to_json()) for name, figure in plots.items() if figure is not None}


def label(text: str) -> str:
    """A name from the data, escaped for a plot: plotly would interpret tags in it."""
    return html.escape(text.replace("_", " "), quote=False)


def _figure(height: int, **layout: Any) -> "Figure":
    import plotly.graph_objects as go

    figure = go.Figure()
    # Without its default template: colours and fonts are the page's.
    margin = {"l": 8, "r": 12, "t": 8, "b": 8}
    figure.update_layout(**({"template": "none", "height": height, "margin": margin, "showlegend": False} | layout))
    figure.update_xaxes(automargin=True, zeroline=False)
    figure.update_yaxes(automargin=True, zeroline=False)
    return figure


LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}


def _tables(counts: Counts) -> "Figure":
    names = [label(row["table"]) for row in counts.tables]
    figure = _figure(300, barmode="stack", bargap=0.35)
    figure.add_bar(name="ok", orientation="h", y=names, x=[row["ok"] for row in counts.tables], marker_color=KEPT)
    bad = [row["rows"] - row["ok"] for row in counts.tables]
    figure.add_bar(name="not ok", orientation="h", y=names, x=bad, marker_color=REJECTED)
    figure.update_layout(showlegend=True, legend=LEGEND, margin_t=34)
    figure.update_yaxes(autorange="reversed").update_xaxes(title_text="rows")
    return figure


def _filter(counts: Counts) -> "Figure | None":
    if not counts.steps[0][1]:
        return None
    figure = _figure(80 + 44 * len(counts.steps))
    steps = [(label(name), count) for name, count in counts.steps]
    figure.add_funnel(
        y=[name for name, _ in steps], x=[count for _, count in steps], textinfo="value+percent initial", marker_color=KEPT,
        connector_fillcolor="rgba(59,156,143,0.18)",
    )  # fmt: skip
    return figure


def _reasons(counts: Counts) -> "Figure | None":
    if not counts.reasons:
        return None
    figure = _figure(80 + 34 * len(counts.reasons), bargap=0.35)
    pairs = [row["pairs"] for row in counts.reasons]
    names = [label(row["reason"]) for row in counts.reasons]
    figure.add_bar(orientation="h", y=names, x=pairs, text=[f"{count:,}" for count in pairs], marker_color=REJECTED)
    figure.update_yaxes(autorange="reversed").update_xaxes(title_text="pairs")
    return figure


def _measure(measure: Measure) -> "Figure":
    width = (measure.high - measure.low) / BINS or 0.05
    centres = [measure.low + (place + 0.5) * width for place in range(BINS)]
    if measure.low == measure.high:
        centres = [measure.low + place * width for place in range(BINS)]
    figure = _figure(190, barmode="stack", bargap=0.06)
    figure.add_bar(name="kept", x=centres, y=measure.kept, width=width, marker_color=KEPT)
    figure.add_bar(name="rejected", x=centres, y=measure.rejected, width=width, marker_color=REJECTED)
    if measure.limit is not None and measure.low - width <= measure.limit <= measure.high + width:
        figure.add_vline(x=measure.limit, line_dash="dot", line_color=ACCENT, line_width=2)
    figure.update_yaxes(rangemode="tozero")
    if measure.low == measure.high:
        figure.update_xaxes(range=[measure.low - 0.5, measure.low + 0.5])
    if measure.name == "text_ok":
        figure.update_traces(width=0.6, x=[measure.low, *[None] * (BINS - 2), measure.high])
        figure.update_xaxes(range=[-0.6, 1.6], tickvals=[0, 1], ticktext=["fails", "passes"], showgrid=False)
    return figure


def _sizes(counts: Counts) -> "Figure | None":
    if not counts.sizes:
        return None
    shades = (QUIET, "#b4bcc6", "#7f8c9a", "#c9ced6", "#687685", "#dde1e6")
    figure = _figure(300, barmode="stack", bargap=0.3)
    for place, row in enumerate(counts.sizes):
        figure.add_bar(
            name=label(row["reason"] or f"n = {row['n']}"), x=[row["n"]], y=[row["families"]],
            marker_color=KEPT if row["n"] else shades[place % len(shades)],
            hovertemplate="%{y} families<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="components n", dtick=1).update_yaxes(title_text="families")
    return figure


def _coverage(counts: Counts) -> "Figure | None":
    if not counts.coverage:
        return None
    across = sorted({row["removed_count"] for row in counts.coverage})
    down = sorted({row["n"] for row in counts.coverage})
    cells = {(row["n"], row["removed_count"]): row for row in counts.coverage}
    shares = [[_share(cells.get((n, removed))) for removed in across] for n in down]
    labels = [[_cell_label(cells.get((n, removed))) for removed in across] for n in down]
    figure = _figure(120 + 56 * len(down))
    figure.add_heatmap(
        z=shares, x=across, y=[f"n = {n}" for n in down], text=labels, texttemplate="%{text}", zmin=0, zmax=1, xgap=3, ygap=3,
        colorscale=[[0, "rgba(59,156,143,0.08)"], [1, KEPT]], showscale=False, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title_text="components removed", dtick=1, showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def _share(row: CoverageRow | None) -> float | None:
    return row["kept_images"] / row["images"] if row else None


def _cell_label(row: CoverageRow | None) -> str:
    return f"{row['kept_images'] / row['images']:.0%}<br>{row['kept_images']:,} of {row['images']:,}" if row else ""


def _lengths(texts: Sequence[Texts]) -> "Figure | None":
    if not texts:
        return None
    figure = _figure(300, showlegend=True, legend=LEGEND, hovermode="x unified")
    for kind, colour in zip(texts, KINDS, strict=False):
        shares = [count / kind.texts for count in kind.lengths]
        last = max((place for place, count in enumerate(kind.lengths) if count), default=0)
        line = {"shape": "hvh", "color": colour, "width": 2}
        figure.add_scatter(name=kind.kind, x=list(range(last + 1)), y=shares[: last + 1], mode="lines", line=line)
    figure.update_layout(margin_t=34)
    figure.update_xaxes(title_text=f"words ({LONGEST}: or more)").update_yaxes(title_text="share of texts", tickformat=".0%")
    return figure


def _shift(shifts: Sequence[Shift]) -> "Figure | None":
    if not shifts:
        return None
    figure = _figure(320, showlegend=True, legend=LEGEND)
    of_all = [shift for shift in shifts if not shift.kept]
    figure.add_scatter(
        name="floor: halves of the originals", mode="markers",
        x=[shift.removed for shift in of_all], y=[shift.floor[1] for shift in of_all],
        marker={"color": QUIET, "symbol": "line-ew-open", "size": 26},
        error_y=_interval([(shift.floor[1], shift.floor[0], shift.floor[2]) for shift in of_all], QUIET, 10),
    )  # fmt: skip
    for kept, name, colour, offset in ((False, "all duals", ACCENT, -0.08), (True, "kept duals", KEPT, 0.08)):
        part = [shift for shift in shifts if shift.kept == kept]
        figure.add_scatter(
            name=name, mode="markers", x=[shift.removed + offset for shift in part], y=[shift.distance for shift in part],
            marker={"color": colour, "size": 10}, text=[f"{shift.records} records" for shift in part],
            error_y=_interval([(shift.distance, shift.low, shift.high) for shift in part], colour, 2),
        )  # fmt: skip
    figure.update_layout(margin_t=34)
    figure.update_xaxes(title_text="components removed", dtick=1).update_yaxes(title_text="CMMD to the originals")
    return figure


def _interval(values: Sequence[tuple[float, float, float]], colour: str, width: float) -> dict[str, Any]:
    return {
        "type": "data", "symmetric": False, "color": colour, "thickness": width, "width": 0,
        "array": [high - middle for middle, _, high in values], "arrayminus": [middle - low for middle, low, _ in values],
    }  # fmt: skip


def _stages(counts: Counts) -> "Figure | None":
    if not counts.stages:
        return None
    figure = _figure(300, bargap=0.35)
    seconds = [row["wall"] or 0.0 for row in counts.stages]
    names = [label(row["stage"]) for row in counts.stages]
    figure.add_bar(orientation="h", y=names, x=seconds, text=[f"{value:,.1f} s" for value in seconds], marker_color=ACCENT)
    figure.update_yaxes(autorange="reversed").update_xaxes(title_text="wall seconds")
    return figure
