"""The report of a comparison of methods: means over seeds, and paired differences to CLIP on the same items."""

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


@dataclass(frozen=True)
class Result:
    """An evaluation that was read back."""

    scores: list[Score]
    verdicts: list[Verdict]
    missing: int
    baselines: dict[tuple[str, str, str], float]

    @classmethod
    def read(cls, file: Path) -> "Result":
        """Of the file that ``compare`` wrote."""
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            tree = json.load(stream)
        blind = {(one["baseline"], one["name"], one["metric"]): one["value"] for one in tree["baselines"]}
        scores, verdicts = [Score(**one) for one in tree["scores"]], [Verdict(**one) for one in tree["verdicts"]]
        return cls(scores, verdicts, len(tree["missing"]), blind)


def difference(suite: Suite, ones: Sequence[Result], others: Sequence[Result]) -> dict[tuple[str, str], Score]:
    """Of each row the mean over seeds of one method less another, with a bootstrap over images that are the same for both.

    Raises:
        ComparisonError: they answered different questions.
    """
    keys = [(one.key, one.group) for one in ones[0].verdicts]
    if any([(one.key, one.group) for one in result.verdicts] != keys for result in (*ones, *others)):
        raise ComparisonError(f"{suite.title}: results of different items: its files have changed; take another --output")
    made = []
    for place, first in enumerate(ones[0].verdicts):
        values = {
            metric: float(np.mean([r.verdicts[place].values[metric] for r in ones]))
            - float(np.mean([r.verdicts[place].values[metric] for r in others]))
            for metric in first.values
        }
        made.append(Verdict(first.key, first.group, first.image, values))
    rows = benchmark(suite.name).aggregate(dict(Counter(one.group for one in made)))
    return {(score.name, score.metric): score for score in summarise(made, rows, {})}


def write_report(plan: Plan) -> list[Path]:
    """``report.md``, a table a benchmark with each method's mean and its difference to CLIP; ``scores.csv``, every score."""
    report, table = plan.output / "report.md", plan.output / "scores.csv"
    results: dict[tuple[Suite, str], dict[int, Result]] = {}
    for suite in plan.suites:
        for method, seed in plan.models:
            if (file := plan.result(method, seed, suite)).is_file():
                results.setdefault((suite, method), {})[seed] = Result.read(file)
    lines = ["# Methods on benchmarks", "", *_head(plan)]
    for suite in plan.suites:
        found = {method: results[suite, method] for method in (START, *plan.runs) if (suite, method) in results}
        lines += _section(suite, found)
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
        "Percent, means over seeds at the last step, +- the standard deviation over seeds; in brackets the difference to `clip`"
        " with its 95% interval by a bootstrap over images, in which seeds are not drawn. No learning rate was tuned here:"
        " `dualset tune` does that, on families held out of training."
    )
    yield ""
    for method, options in plan.runs.items():
        changed = {key: one for key, one in options.differing().items() if key not in ("snapshot", "output", "method")}
        yield f"- `{method}`: {', '.join(f'{key} {one}' for key, one in changed.items())}"
    yield ""


def _section(suite: Suite, found: Mapping[str, Mapping[int, Result]]) -> Iterator[str]:
    first = found[START][0]
    yield f"## {suite.title}"
    yield ""
    if first.missing:
        yield f"{first.missing} images are missing; what needs them is left out."
        yield ""
    against: dict[str, dict[tuple[str, str], Score]] = {}
    for method, results in found.items():
        both = sorted(results.keys() & found.get("clip", {}).keys()) if method not in (START, "clip") else []
        if both:
            against[method] = difference(suite, [results[seed] for seed in both], [found["clip"][seed] for seed in both])
    blind = list(dict.fromkeys(name for name, _, _ in first.baselines))
    yield "| " + " | ".join(["test", "items", *blind, *found]) + " |"
    yield "|" + "---|" * (2 + len(blind) + len(found))
    for place, score in enumerate(first.scores):
        if score.detail:
            continue
        name = score.name if score.metric == "accuracy" else f"{score.name}, {score.metric}"
        cells = [name.replace("|", "/"), str(score.n)]
        cells += [
            "" if (v := first.baselines.get((one, score.name, score.metric))) is None else f"{100 * v:.1f}" for one in blind
        ]
        for method, results in found.items():
            values = np.array([100 * result.scores[place].value for result in results.values()])
            spread = f" +- {values.std(ddof=1):.1f}" if len(values) > 1 else ""
            apart = against.get(method, {}).get((score.name, score.metric))
            shown = "" if apart is None else f" ({100 * apart.value:+.1f} [{100 * apart.low:+.1f}, {100 * apart.high:+.1f}])"
            cells.append(f"{values.mean():.1f}{spread}{shown}")
        yield "| " + " | ".join(cells) + " |"
    yield ""
