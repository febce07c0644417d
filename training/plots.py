"""The plot of a run: loss, validation and learning rate over steps, as one self-contained HTML file."""

from pathlib import Path
from typing import Any

from training.track import MetricsRow, read_metrics


def write_plot(output: Path) -> Path:
    """Plot the ``metrics.jsonl`` of a run's folder into its ``run.html``; returns that file."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    rows = read_metrics(output)
    parts = sorted({name for row in rows for name in row.get("parts", {})})
    checks = [row for row in rows if "validation" in row]
    peak = max((row["lr"] for row in rows), default=1.0)
    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, subplot_titles=("loss", "validation", "learning rate and logit scale")
    )
    _line(figure, go, 1, "loss", rows, lambda row: row["loss"])
    for name in parts if len(parts) > 1 else ():
        _line(figure, go, 1, name, rows, lambda row, name=name: row["parts"].get(name))
    for name in sorted({name for row in checks for name in row["validation"]}):
        _line(figure, go, 2, f"validation {name}", checks, lambda row, name=name: row["validation"][name])
    _line(figure, go, 3, "learning rate / peak", rows, lambda row: row["lr"] / peak)
    _line(figure, go, 3, "logit scale / 100", rows, lambda row: row["scale"] / 100)
    figure.update_xaxes(title_text="step", row=3, col=1)
    figure.update_layout(height=900, title=f"run {output.name}", template="plotly_white")
    file = output / "run.html"
    figure.write_html(file, include_plotlyjs=True)
    return file


def _line(figure: Any, go: Any, subplot: int, name: str, rows: list[MetricsRow], value: Any) -> None:
    mode = "lines+markers" if len(rows) < 50 else "lines"
    x, y = [row["step"] for row in rows], [value(row) for row in rows]
    figure.add_trace(go.Scatter(x=x, y=y, name=name, mode=mode), subplot, 1)
