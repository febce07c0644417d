"""``dualset evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table as Grid
from rich.text import Text

from jobs.console import err, log, out, output_file
from training.options import OptionsError

if TYPE_CHECKING:
    from training.benchmarks.evaluate import Evaluation

LISTED = 10  # missing images that are printed
# The names of training.benchmarks, which would import torch.
NAMES = (
    *("sugarcrepe", "sugarcrepe_pp", "aro", "valse", "vl_checklist", "winoground", "bivlc", "hard_positives"),
    *("retrieval", "imagenet", "scenes", "custom"),
)

Pairs = Annotated[
    list[str] | None,
    typer.Option("--option", help="option of the benchmark, such as seed=1 for aro or split=val; repeat for several"),
]


def evaluate(
    benchmark: Annotated[str, typer.Option(help=", ".join(NAMES))],
    data: Annotated[
        Path, typer.Option(help="folder of the benchmark's files, or one of them; for imagenet the folder of its images")
    ],
    model: Annotated[str, typer.Option(help="open_clip model name, config file or folder; embedded:NAME")],
    images: Annotated[Path | None, typer.Option(help="folder of the benchmark's images; empty: the data folder")] = None,
    checkpoint: Annotated[str, typer.Option(help="weights file, or a pretrained tag, which is downloaded")] = "",
    output: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
    limit: Annotated[int, typer.Option(min=0, help="largest number of items per group; 0: all")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda; empty: a GPU if there is one")] = "",
    batch_size: Annotated[int, typer.Option(min=1, help="images in one forward pass")] = 64,
    workers: Annotated[int, typer.Option(min=1, help="threads that decode images")] = 4,
    draws: Annotated[int, typer.Option(min=100, help="draws of the bootstrap over images")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="seed of the bootstrap")] = 0,
    blind: Annotated[bool, typer.Option(help="report blind baselines: the shorter text, and a text-only probe")] = True,
    items: Annotated[bool, typer.Option("--items", help="also write each item's verdicts to the JSON file")] = False,
    option: Pairs = None,
) -> None:
    """Score a model on a public benchmark, with intervals, ties, missing images and blind baselines."""
    import torch

    from training.benchmarks import benchmark as benchmark_of
    from training.benchmarks.encode import OpenClip
    from training.benchmarks.evaluate import Options
    from training.benchmarks.evaluate import evaluate as evaluate_model

    # Slips are said before the model is loaded, let alone asked.
    benchmark_of(benchmark)
    if output:
        output_file(str(output))
    try:
        encoder = OpenClip.load(model, checkpoint, device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except (OSError, ValueError, RuntimeError) as problem:
        raise OptionsError(f"the model cannot be loaded: {str(problem).strip().splitlines()[0]}") from problem
    options = Options(limit, batch_size, workers, draws, seed, blind)
    evaluation = evaluate_model(benchmark, data, images or data, encoder, options, **_pairs(option or []))
    show(evaluation)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(evaluation.as_json(with_items=items) + "\n", encoding="utf-8")
        log(f"written to {output}")


def _pairs(options: list[str]) -> dict[str, str]:
    pairs = [option.partition("=") for option in options]
    if malformed := [name for name, equals, _ in pairs if not name or not equals]:
        raise OptionsError(f"--option is NAME=VALUE, not {malformed[0]!r}")
    return {name: value for name, _, value in pairs}


def show(evaluation: "Evaluation") -> None:
    """Print the scores with the baselines, missing images and files, and published numbers."""
    from training.benchmarks.evaluate import published

    log(f"{evaluation.benchmark}: {evaluation.model} ({evaluation.version}), {evaluation.scored} of {evaluation.items} items")
    out.print(_table(evaluation))
    for name, value in evaluation.figures.items():
        log(f"{name}: {value:.3f}")
    if evaluation.absent:
        log(f"not in the data folder: {', '.join(evaluation.absent)}")
    if evaluation.missing:
        err.print(f"{len(evaluation.missing)} images are missing or unusable; the first:", highlight=False)
        for path, reason in list(evaluation.missing.items())[:LISTED]:
            err.print(f"  {path}: {reason}", markup=False, highlight=False)
    others = published(evaluation.benchmark)
    if others:
        log(f"published, by another harness ({others['source']}):")
        for number, column in enumerate(others["columns"]):
            shown = {model: values[number] for model, values in others["models"].items() if values[number] is not None}
            line = ", ".join(f"{model} {accuracy:.1f}" for model, accuracy in shown.items())
            log(f"  {column}: {line}")


def _table(evaluation: "Evaluation") -> Grid:
    """One line per row, by metric; details are only in the file."""
    grid = Grid(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    grid.add_column("", overflow="fold")
    for name in ("score", "95%", "items", "ties", "missing", *evaluation.baselines):
        grid.add_column(name, no_wrap=True, justify="right")
    shown = [score for score in evaluation.scores if not score.detail]
    metrics = list(dict.fromkeys(score.metric for score in shown))
    for metric in metrics:
        if len(metrics) > 1:
            grid.add_section()
            grid.add_row(Text(metric, style="bold"))
        for score in (score for score in shown if score.metric == metric):
            blind = (_percent(values.get((score.name, metric))) for values in evaluation.baselines.values())
            interval = f"{100 * score.low:.1f}-{100 * score.high:.1f}"
            counts = (str(count) for count in (score.n, score.ties, score.missing))
            # Names are data: [b] in a name is not markup.
            grid.add_row(Text(score.name), _percent(score.value), interval, *counts, *blind)
    return grid


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
