"""Methods against each other on public benchmarks: train each on one snapshot, evaluate all, and write one report.

What is done is not done again: a training resumes from its folder, and an evaluation is its file. Trainings are processes of
their own, started by torchrun where there are several GPUs, so that each begins with an empty device.
"""

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from training.benchmarks.encode import OpenClip
from training.comparison.plan import START, ComparisonError, Plan, Suite
from training.comparison.report import write_report
from training.evaluate import Evaluation, evaluate
from training.options import Options

Say = Callable[[str], None]
DONE = "asked.json"  # in the folder of a training that has ended well


def compare(plan: Plan, say: Say) -> list[Path]:
    """Train and evaluate what is missing, seed by seed, then write ``report.md`` and ``scores.csv``.

    A training that fails is said and left out of the report; the same command tries it again.

    Raises:
        ComparisonError: a training failed; all else was done and reported.
        BenchmarkError: a benchmark has no item whose images are there.
    """
    failed = []
    for method, seed in plan.models:
        try:
            if method != START:
                _train(plan, method, seed, say)
        except ComparisonError as problem:
            failed.append(str(problem))
            say(str(problem))
            continue
        if left := [suite for suite in plan.suites if not plan.result(method, seed, suite).is_file()]:
            _evaluate(plan, method, seed, left, say)
    files = write_report(plan)
    if failed:
        raise ComparisonError(
            f"{len(failed)} of {len(plan.models) - 1} trainings failed; the report is of the others: {failed[0]}"
        )
    return files


def _evaluate(plan: Plan, method: str, seed: int, suites: list[Suite], say: Say) -> None:
    """Its model leaves the device with the function: the next training has it for itself."""
    import torch

    model = next(iter(plan.runs.values()))
    where = (model.model, model.checkpoint) if method == START else (str(plan.trained(method, seed) / "final"), "")
    encoder = OpenClip.load(*where, plan.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    for suite in suites:
        found = evaluate(suite.name, suite.data, suite.images, encoder, None, **suite.options)
        _write(plan.result(method, seed, suite), found)
        shown = next(score for score in reversed(found.scores) if not score.detail)
        say(f"{method}, seed {seed}: {suite.title}, {shown.name} {100 * shown.value:.1f}, {len(found.missing)} images missing")
    del encoder
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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
    folder, options = plan.trained(method, seed), plan.options(method, seed)
    if (folder / DONE).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    say(f"{method}, seed {seed}: {options.steps} steps, log in {log}")
    with log.open("ab") as stream:
        code = subprocess.run(command(options, plan.processes), stdout=stream, stderr=stream, check=False).returncode  # noqa: S603
    if code:
        raise ComparisonError(f"training {method}, seed {seed}, ended with {code}; the end of {log}:\n{_tail(log)}")
    (folder / DONE).write_text(options.model_dump_json(indent=1), encoding="utf-8")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])


def _write(file: Path, found: Evaluation) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part")
    with gzip.open(partial, "wt", encoding="utf-8") as stream:
        stream.write(found.as_json(with_items=True))
    partial.rename(file)
