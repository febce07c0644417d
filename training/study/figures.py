"""The report's pictures."""

from typing import Any

from training.study.arms import BY_NAME
from training.study.endpoints import ENDPOINTS
from training.study.findings import Findings

COLOURS = {"start": "#888888", "method": "#1f77b4", "control": "#ff7f0e", "curve": "#9467bd", "extended": "#2ca02c"}


def arms(found: Findings) -> Any:
    """A panel an end point: each arm's value with its interval."""
    from plotly.subplots import make_subplots

    names = list(reversed(found.runs))
    figure = make_subplots(1, len(ENDPOINTS), shared_yaxes=True, subplot_titles=[point.name for point in ENDPOINTS])
    for place, point in enumerate(ENDPOINTS, start=1):
        values = [found.value(name, [point]) for name in names]
        figure.add_scatter(
            x=[one.value for one in values],
            y=names,
            mode="markers",
            marker_color=[COLOURS[BY_NAME[name].part] for name in names],
            error_x={
                "type": "data", "symmetric": False, "thickness": 1,
                "array": [one.high - one.value for one in values], "arrayminus": [one.value - one.low for one in values],
            },
            showlegend=False, row=1, col=place,
        )  # fmt: skip
    return figure.update_layout(height=120 + 24 * len(names), template="plotly_white", margin={"t": 40, "b": 40})


def validation(found: Findings) -> Any:
    """The mean of the end points on the validation scenes, by step, of each arm's first run."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name in found.runs:
        rows = sorted(found.records_of(name), key=lambda one: one.seed)[0].validation
        if len(rows) > 1:
            figure.add_scatter(x=[row["step"] for row in rows], y=[100 * row["score"] for row in rows], name=name)
    figure.update_layout(
        height=420, template="plotly_white", title="validation", xaxis_title="step", yaxis_title="mean of the end points, %"
    )
    return figure
