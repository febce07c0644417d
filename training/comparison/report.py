"""The report of a comparison: means over seeds, and paired differences to CLIP on the same items."""

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.benchmarks import benchmark
from training.benchmarks.averages import Score, summarise
from training.benchmarks.item import Verdict
from training.comparison.plan import START, ComparisonError, Plan, Suite
from training.tables import markdown_table


@dataclass(frozen=True)
class Result:
    """An evaluation, read back from its file."""

    scores: list[Score]
    verdicts: list[Verdict]
    missing: int
    baselines: dict[tuple[str, str, str], float]

    @classmethod
    def read(cls, file: Path) -> "Result":
        """Read a file that ``compare`` wrote."""
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            tree = json.load(stream)
        baselines = {(entry["baseline"], entry["name"], entry["metric"]): entry["value"] for entry in tree["baselines"]}
        scores, verdicts = [Score(**entry) for entry in tree["scores"]], [Verdict(**entry) for entry in tree["verdicts"]]
        return cls(scores, verdicts, len(tree["missing"]), baselines)


def difference(suite: Suite, ours: Sequence[Result], theirs: Sequence[Result]) -> dict[tuple[str, str], Score]:
    """The paired difference between two methods in each row: a method's mean over seeds minus the other's.

    The interval is a bootstrap over images, with the same draws for both methods.

    Raises:
        ComparisonError: the results are of different items.
    """
    keys = [(verdict.key, verdict.group) for verdict in ours[0].verdicts]
    if any([(verdict.key, verdict.group) for verdict in result.verdicts] != keys for result in (*ours, *theirs)):
        raise ComparisonError(
            f"{suite.title}: results are of different items, as its files have changed; choose another --output"
        )
    differences = []
    for place, first in enumerate(ours[0].verdicts):
        values = {
            metric: float(np.mean([result.verdicts[place].values[metric] for result in ours]))
            - float(np.mean([result.verdicts[place].values[metric] for result in theirs]))
            for metric in first.values
        }
        differences.append(Verdict(first.key, first.group, first.image, values))
    rows = benchmark(suite.name).aggregate(dict(Counter(verdict.group for verdict in differences)))
    return {(score.name, score.metric): score for score in summarise(differences, rows, {})}


def write_report(plan: Plan) -> list[Path]:
    """Write ``report.md``, one table per benchmark with means and differences to CLIP, and ``scores.csv`` with all scores."""
    report, table = plan.output / "report.md", plan.output / "scores.csv"
    results: dict[tuple[Suite, str], dict[int, Result]] = {}
    for suite in plan.suites:
        for method, seed in plan.models:
            if (file := plan.result(method, seed, suite)).is_file():
                results.setdefault((suite, method), {})[seed] = Result.read(file)
    lines = ["# Methods on benchmarks", "", *_head(plan)]
    for suite in plan.suites:
        by_method = {method: results[suite, method] for method in (START, *plan.runs) if (suite, method) in results}
        lines += _section(suite, by_method)
    report.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["benchmark", "method", "seed", "row", "metric", "value", "low", "high", "items", "ties", "missing"])
        for (suite, method), seeds in results.items():
            for seed, result in seeds.items():
                for s in result.scores:
                    cells = (s.name, s.metric, s.value, s.low, s.high, s.n, s.ties, s.missing)
                    writer.writerow([suite.title, method, seed, *cells])
    return [report, table]


def _head(plan: Plan) -> Iterator[str]:
    common = next(iter(plan.runs.values()))
    yield f"Model {common.model}, {common.checkpoint or 'no checkpoint'}; {plan.seeds} seeds; snapshot {common.snapshot}."
    yield ""
    yield (
        "Percent: means over seeds at the last step, +- the standard deviation over seeds; in brackets the difference to `clip`"
        " with its 95% interval, by a bootstrap over images but not over seeds. No learning rate was tuned here; `dualset tune`"
        " tunes it on held-out families."
    )
    yield ""
    for method, options in plan.runs.items():
        changed = {name: value for name, value in options.differing().items() if name not in ("snapshot", "output", "method")}
        yield f"- `{method}`: {', '.join(f'{name} {value}' for name, value in changed.items())}"
    yield ""


def _section(suite: Suite, by_method: Mapping[str, Mapping[int, Result]]) -> Iterator[str]:
    first = by_method[START][0]
    yield f"## {suite.title}"
    yield ""
    if first.missing:
        yield f"{first.missing} images are missing; their items are left out."
        yield ""
    to_clip: dict[str, dict[tuple[str, str], Score]] = {}
    for method, results in by_method.items():
        seeds = sorted(results.keys() & by_method.get("clip", {}).keys()) if method not in (START, "clip") else []
        if seeds:
            to_clip[method] = difference(suite, [results[seed] for seed in seeds], [by_method["clip"][seed] for seed in seeds])
    blind = list(dict.fromkeys(name for name, _, _ in first.baselines))
    rows = []
    for place, score in enumerate(first.scores):
        if score.detail:
            continue
        name = score.name if score.metric == "accuracy" else f"{score.name}, {score.metric}"
        cells = [name, str(score.n)]
        for baseline in blind:
            value = first.baselines.get((baseline, score.name, score.metric))
            cells.append("" if value is None else f"{100 * value:.1f}")
        for method, results in by_method.items():
            values = np.array([100 * result.scores[place].value for result in results.values()])
            spread = f" +- {values.std(ddof=1):.1f}" if len(values) > 1 else ""
            gap = to_clip.get(method, {}).get((score.name, score.metric))
            gap_cell = "" if gap is None else f" ({100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}])"
            cells.append(f"{values.mean():.1f}{spread}{gap_cell}")
        rows.append(cells)
    yield from markdown_table(("test", "items", *blind, *by_method), rows)
    yield ""
