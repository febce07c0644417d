"""Comparison of methods: train each on the same snapshot, evaluate all on public benchmarks, and write one report.

Nothing is done twice: a training resumes from its folder, and an evaluation is skipped if its file exists. Each training is its
own process, or several started by torchrun for several GPUs, so that it starts with an empty device. It reads its options from
a JSON file.
"""

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from training.benchmarks.encode import OpenClip
from training.benchmarks.evaluate import Evaluation, evaluate
from training.comparison.plan import START, ComparisonError, Plan, Suite
from training.comparison.report import write_report
from training.options import Options, make_options
from training.run_file import write_options
from udfs.files import write_whole

Log = Callable[[str], None]
OPTIONS = "options.json"  # in a training's folder: its options
DONE = "asked.json"  # in a training's folder, once it has succeeded


def compare(plan: Plan, log: Log) -> list[Path]:
    """Train and evaluate what is missing, seed by seed, then write ``report.md`` and ``scores.csv``.

    A failed training is logged and left out of the report; the same command tries it again.

    Raises:
        ComparisonError: a training failed; everything else was done and reported.
        BenchmarkError: no item of a benchmark has its images.
    """
    failed = []
    for method, seed in plan.models:
        try:
            if method != START:
                _train(plan, method, seed, log)
        except ComparisonError as problem:
            failed.append(str(problem))
            log(str(problem))
            continue
        if missing := [suite for suite in plan.suites if not plan.result(method, seed, suite).is_file()]:
            _evaluate(plan, method, seed, missing, log)
    files = write_report(plan)
    if failed:
        raise ComparisonError(
            f"{len(failed)} of {len(plan.models) - 1} trainings failed; the report is of the others: {failed[0]}"
        )
    return files


def _evaluate(plan: Plan, method: str, seed: int, suites: list[Suite], log: Log) -> None:
    """Evaluate one model on suites. The model is freed at the end, so that the next training has the whole device."""
    import torch

    common = next(iter(plan.runs.values()))
    weights = (common.model, common.checkpoint) if method == START else (str(plan.trained(method, seed) / "final"), "")
    encoder = OpenClip.load(*weights, plan.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    for suite in suites:
        evaluation = evaluate(suite.name, suite.data, suite.images, encoder, None, **suite.options)
        _write(plan.result(method, seed, suite), evaluation)
        score = next(score for score in reversed(evaluation.scores) if not score.detail)
        missing = len(evaluation.missing)
        log(f"{method}, seed {seed}: {suite.title}, {score.name} {100 * score.value:.1f}, {missing} images missing")
    del encoder
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def command(file: Path, processes: int) -> list[str]:
    """The command that trains with the options in a JSON file."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    return [sys.executable, *launcher, "-m", "training.run_file", str(file)]


def with_typed_values(options: Options) -> Options:
    """Options with typed values: a plan keeps a method's options as text, which names its folders; a training needs numbers."""
    typed = {name: yaml.safe_load(str(value)) for name, value in options.method_options.items()}
    return make_options(options.model_dump() | {"method_options": typed})


def _train(plan: Plan, method: str, seed: int, log: Log) -> None:
    folder, options = plan.trained(method, seed), plan.options(method, seed)
    if (folder / DONE).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    file, log_file = folder / OPTIONS, folder / "log.txt"
    write_options(with_typed_values(options), file)
    log(f"{method}, seed {seed}: {options.steps} steps, log in {log_file}")
    with log_file.open("ab") as stream:
        code = subprocess.run(command(file, plan.processes), stdout=stream, stderr=stream, check=False).returncode  # noqa: S603
    if code:
        raise ComparisonError(f"training {method}, seed {seed}, ended with {code}; the end of {log_file}:\n{_tail(log_file)}")
    (folder / DONE).write_text(options.model_dump_json(indent=1), encoding="utf-8")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])


def _write(file: Path, evaluation: Evaluation) -> None:
    write_whole(file, gzip.compress(evaluation.as_json(with_items=True).encode("utf-8")))
