"""``dualset evaluate``."""

import sys
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table as Grid
from rich.text import Text

from jobs.console import err, out

if TYPE_CHECKING:
    from training.evaluate import Evaluation

NAMED = 10  # missing images that are printed
# As in training.benchmarks, which needs torch.
NAMES = (
    *("sugarcrepe", "sugarcrepe_pp", "aro", "valse", "vl_checklist", "winoground", "bivlc", "hard_positives"),
    *("retrieval", "imagenet", "scenes", "custom"),
)

Pairs = Annotated[list[str] | None, typer.Option("--option", help="of the benchmark, such as seed=1 of aro or split=val")]


def evaluate(
    benchmark: Annotated[str, typer.Option(help=", ".join(NAMES))],
    data: Annotated[Path, typer.Option(help="folder of the benchmark's files, or one of them; of imagenet, of its images")],
    model: Annotated[str, typer.Option(help="open_clip model name, config file or folder; embedded:NAME")],
    images: Annotated[Path | None, typer.Option(help="folder of its images; empty: the data folder")] = None,
    checkpoint: Annotated[str, typer.Option(help="weights file, or a pretrained tag, which is downloaded")] = "",
    output: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
    limit: Annotated[int, typer.Option(min=0, help="items a group at most; 0: all")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda; empty: a GPU if there is one")] = "",
    batch_size: Annotated[int, typer.Option(min=1, help="images in one forward pass")] = 64,
    workers: Annotated[int, typer.Option(min=1, help="threads that decode images")] = 4,
    draws: Annotated[int, typer.Option(min=100, help="of the bootstrap over images")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="of the bootstrap")] = 0,
    blind: Annotated[bool, typer.Option(help="with the shorter text and a text-only probe beside each score")] = True,
    items: Annotated[bool, typer.Option("--items", help="write each item's verdicts to the JSON file as well")] = False,
    option: Pairs = None,
) -> None:
    """Score a model on a public benchmark, with intervals, ties, missing images and what text alone gets."""
    import torch

    from training.benchmarks import BenchmarkError
    from training.benchmarks.encode import OpenClip
    from training.evaluate import Options
    from training.evaluate import evaluate as evaluate_model

    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        encoder = OpenClip.load(model, checkpoint, chosen)
    except (OSError, ValueError, RuntimeError, UnpicklingError) as problem:
        _fail(f"the model cannot be loaded: {str(problem).strip().splitlines()[0]}")
    options = Options(limit, batch_size, workers, draws, seed, blind)
    try:
        found = evaluate_model(benchmark, data, images or data, encoder, options, **_pairs(option or []))
    except BenchmarkError as problem:
        _fail(str(problem))
    show(found)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(found.as_json(with_items=items) + "\n", encoding="utf-8")
        out.print(f"written to {output}", highlight=False, markup=False)


def _pairs(options: list[str]) -> dict[str, str]:
    pairs = [option.partition("=") for option in options]
    if wrong := [name for name, equals, _ in pairs if not name or not equals]:
        _fail(f"--option is NAME=VALUE, not {wrong[0]!r}")
    return {name: value for name, _, value in pairs}


def _fail(line: str) -> NoReturn:
    err.print(f"dualset: {line}", style="red", markup=False, highlight=False)
    sys.exit(1)


def show(found: "Evaluation") -> None:
    """Print the scores with the baselines, what is missing, and what others have published."""
    from training.evaluate import published

    out.print(
        f"{found.benchmark}: {found.model} ({found.version}), {found.scored} of {found.items} items",
        markup=False,
        highlight=False,
    )
    out.print(_table(found))
    for name, value in found.figures.items():
        out.print(f"{name}: {value:.3f}", highlight=False)
    if found.absent:
        out.print(f"not in the data folder: {', '.join(found.absent)}", markup=False, highlight=False)
    if found.missing:
        err.print(f"{len(found.missing)} images are missing or unusable; the first:", highlight=False)
        for path, reason in list(found.missing.items())[:NAMED]:
            err.print(f"  {path}: {reason}", markup=False, highlight=False)
    others = published(found.benchmark)
    if others:
        out.print(f"published, by another harness ({others['source']}):", markup=False, highlight=False)
        for number, column in enumerate(others["columns"]):
            known = {model: values[number] for model, values in others["models"].items() if values[number] is not None}
            line = ", ".join(f"{model} {value:.1f}" for model, value in known.items())
            out.print(f"  {column}: {line}", markup=False, highlight=False)


def _table(found: "Evaluation") -> Grid:
    """A line a row, by metric; details are in the file only."""
    grid = Grid(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    grid.add_column("", overflow="fold")
    for name in ("score", "95%", "items", "ties", "missing", *found.baselines):
        grid.add_column(name, no_wrap=True, justify="right")
    shown = [score for score in found.scores if not score.detail]
    metrics = list(dict.fromkeys(score.metric for score in shown))
    for metric in metrics:
        if len(metrics) > 1:
            grid.add_section()
            grid.add_row(Text(metric, style="bold"))
        for score in (score for score in shown if score.metric == metric):
            blind = (_percent(values.get((score.name, metric))) for values in found.baselines.values())
            interval = f"{100 * score.low:.1f}-{100 * score.high:.1f}"
            counts = (str(count) for count in (score.n, score.ties, score.missing))
            # A name is data: [b] in one is no markup.
            grid.add_row(Text(score.name), _percent(score.value), interval, *counts, *blind)
    return grid


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
