"""Methods against each other on public benchmarks: train each on one snapshot, evaluate all, and write one report.

What is done is not done again: a training resumes from its folder, and an evaluation is its file. Trainings are processes of
their own, started by torchrun where there are several GPUs, so that each begins with an empty device.
"""

import csv
import gzip
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.benchmarks import BenchmarkError, benchmark
from training.benchmarks.averages import Score, summarise
from training.benchmarks.encode import OpenClip
from training.benchmarks.item import Verdict
from training.evaluate import Evaluation, evaluate
from training.methods import make
from training.options import Options, OptionsError, make_options

START = "start"  # the model before any training
METHODS = ("clip", "negclip", "simclip", "ce_clip", "svlc", "laclip", "powerset", "powerset+negclip")
Say = Callable[[str], None]


class ComparisonError(RuntimeError):
    """A training failed; the message names its log."""


@dataclass(frozen=True)
class Suite:
    """A benchmark with its files."""

    name: str
    data: Path
    images: Path
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> "Suite":
        """Read "NAME=DATA[,IMAGES][,option=value...]".

        Raises:
            OptionsError: it is not of that form, or there is no such benchmark or folder.
        """
        name, equals, rest = text.partition("=")
        paths = [part for part in rest.split(",") if "=" not in part]
        options = dict(part.split("=", 1) for part in rest.split(",") if "=" in part)
        if not equals or not 1 <= len(paths) <= 2 or not paths[0]:
            raise OptionsError(f"--benchmark is NAME=DATA[,IMAGES][,option=value], not {text!r}")
        try:
            benchmark(name)
        except BenchmarkError as problem:
            raise OptionsError(str(problem)) from None
        for path in paths:
            if not Path(path).exists():
                raise OptionsError(f"benchmark {name}: there is no {path}")
        return cls(name, Path(paths[0]), Path(paths[-1]), options)

    @property
    def file(self) -> str:
        """The name of its results' file."""
        return "_".join([self.name, *(f"{key}-{value}" for key, value in sorted(self.options.items()))]) + ".json.gz"


@dataclass(frozen=True)
class Plan:
    """What is compared: training options by method, seeds, benchmarks; ``processes`` a training, one a GPU."""

    runs: dict[str, Options]
    seeds: int
    suites: list[Suite]
    output: Path
    processes: int = 1
    device: str = ""

    @classmethod
    def of(cls, common: Mapping[str, Any], methods: Sequence[str], settings: Sequence[str], **others: Any) -> "Plan":
        """Read settings: "NAME=VALUE" for all methods, "METHOD.NAME=VALUE" for one, whose own options are named likewise.

        Raises:
            OptionsError: a setting is none of any method's, or has a bad value.
        """
        values = {method: dict(common) | {"method": method, "output": "-", "method_options": {}} for method in methods}
        for text in settings:
            key, equals, value = text.partition("=")
            method, _, name = key.rpartition(".")
            if not equals or not name or (method and method not in values):
                raise OptionsError(f"--set is NAME=VALUE or METHOD.NAME=VALUE, not {text!r}; methods: {', '.join(methods)}")
            for one in [method] if method else methods:
                if name in Options.model_fields:
                    values[one][name] = value
                elif method:
                    values[one]["method_options"][name] = value
                else:
                    raise OptionsError(f"no option {name}; a method's own is METHOD.{name}=VALUE")
        runs = {method: make_options(one) for method, one in values.items()}
        for method, options in runs.items():
            try:
                make(method, **options.method_options)
            except ValueError as problem:
                raise OptionsError(str(problem)) from None
        return cls(runs, **others)

    def trained(self, method: str, seed: int) -> Path:
        """The folder of a training."""
        return self.output / "runs" / f"{method}_seed{seed}"

    def result(self, method: str, seed: int, suite: Suite) -> Path:
        """The file of an evaluation."""
        return self.output / "results" / (START if method == START else f"{method}_seed{seed}") / suite.file

    @property
    def models(self) -> list[tuple[str, int]]:
        """The start, and each method with each seed."""
        return [(START, 0), *((method, seed) for seed in range(self.seeds) for method in self.runs)]


def compare(plan: Plan, say: Say) -> list[Path]:
    """Train and evaluate what is missing, seed by seed, then write ``report.md`` and ``scores.csv``.

    Raises:
        ComparisonError: a training failed.
        BenchmarkError: a benchmark has no item whose images are there.
    """
    for method, seed in plan.models:
        if method != START:
            _train(plan, method, seed, say)
        left = [suite for suite in plan.suites if not plan.result(method, seed, suite).is_file()]
        if not left:
            continue
        start = plan.runs[next(iter(plan.runs))]
        where = (start.model, start.checkpoint) if method == START else (str(plan.trained(method, seed) / "final"), "")
        encoder = OpenClip.load(*where, plan.device or _device())
        for suite in left:
            found = evaluate(suite.name, suite.data, suite.images, encoder, None, **suite.options)
            _write(plan.result(method, seed, suite), found)
            shown = next(score for score in reversed(found.scores) if not score.detail)
            say(f"{method}, seed {seed}: {suite.name}, {shown.name} {100 * shown.value:.1f}, {len(found.missing)} images missing")
    return write_report(plan)


def command(options: Options, processes: int) -> list[str]:
    """The command line of a training: a list of arguments, never a shell's."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    words = [sys.executable, *launcher, "-m", "training.loop"]
    for name, value in options.differing().items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif name == "method_options":
            words += [word for key, one in value.items() for word in (flag, f"{key}={one}")]
        else:
            words += [flag, str(value)]
    return words


def _train(plan: Plan, method: str, seed: int, say: Say) -> None:
    folder = plan.trained(method, seed)
    options = make_options(plan.runs[method].model_dump() | {"seed": seed, "output": str(folder)})
    asked = folder / "asked.json"
    if (folder / "final").is_dir() and asked.is_file():
        if json.loads(asked.read_text(encoding="utf-8")) == options.model_dump(mode="json"):
            return
        raise ComparisonError(f"{folder} was trained with other options: take another --output, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    say(f"{method}, seed {seed}: {options.steps} steps, log in {log}")
    with log.open("ab") as stream:
        code = subprocess.run(command(options, plan.processes), stdout=stream, stderr=stream, check=False).returncode  # noqa: S603
    if code:
        raise ComparisonError(f"training {method}, seed {seed}, ended with {code}; the end of {log}:\n{_tail(log)}")
    asked.write_text(options.model_dump_json(indent=1), encoding="utf-8")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _write(file: Path, found: Evaluation) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part")
    with gzip.open(partial, "wt", encoding="utf-8") as stream:
        stream.write(found.as_json(with_items=True))
    partial.rename(file)


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
        raise ComparisonError(f"{suite.name}: results of different items; remove the older of them")
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
    results: dict[tuple[str, str], list[Result]] = {}
    for suite in plan.suites:
        for method, seed in plan.models:
            results.setdefault((suite.file, method), []).append(Result.read(plan.result(method, seed, suite)))
    lines = ["# Methods on benchmarks", "", *_head(plan)]
    for suite in plan.suites:
        lines += _section(suite, {method: results[suite.file, method] for method in (START, *plan.runs)})
    report.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["benchmark", "method", "seed", "row", "metric", "value", "low", "high", "items", "ties", "missing"])
        for (name, method), found in results.items():
            for seed, result in enumerate(found):
                for s in result.scores:
                    cells = (s.name, s.metric, s.value, s.low, s.high, s.n, s.ties, s.missing)
                    writer.writerow([name.removesuffix(".json.gz"), method, seed, *cells])
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


def _section(suite: Suite, found: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    first = found[START][0]
    yield f"## {suite.name}"
    yield ""
    if first.missing:
        yield f"{first.missing} images are missing; what needs them is left out."
        yield ""
    against = {
        method: difference(suite, results, found["clip"])
        for method, results in found.items()
        if "clip" in found and method not in (START, "clip")
    }
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
            values = np.array([100 * result.scores[place].value for result in results])
            spread = f" +- {values.std(ddof=1):.1f}" if len(values) > 1 else ""
            apart = against.get(method, {}).get((score.name, score.metric))
            shown = "" if apart is None else f" ({100 * apart.value:+.1f} [{100 * apart.low:+.1f}, {100 * apart.high:+.1f}])"
            cells.append(f"{values.mean():.1f}{spread}{shown}")
        yield "| " + " | ".join(cells) + " |"
    yield ""
