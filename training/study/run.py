"""One run of the study: train a model, ask it the questions, and return the record."""

import shutil
import subprocess
import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from training.benchmarks.encode import OpenClip
from training.data.decode import Pixels
from training.engine import Engine
from training.options import make_options
from training.study.arms import BY_NAME, Unit
from training.study.data import StudyData
from training.study.endpoints import ENDPOINTS, TOUCHED, group_of, untouched, value
from training.study.questions import Questions, packed, unpacked
from training.study.record import Record, Weights
from training.study.regime import Regime, Setting, run_options
from training.study.values import WEIGHTS
from training.track import MetricsRow, read_metrics


@dataclass(frozen=True)
class Validator:
    """The study's validation: the end points on other scenes, so that the best step is chosen in the same way for all methods."""

    questions: Questions

    def measure(self, engine: Engine) -> dict[str, float]:
        """The end points, and their mean as ``score``."""
        engine.deepspeed.eval()
        network: Any = engine.model.network
        values = scores(self.questions, network)
        engine.deepspeed.train()
        return values


def scores(questions: Questions, network: Any) -> dict[str, float]:
    """The end points of a model and their mean."""
    columns = {name: unpacked(text) for name, text in packed(questions.ask(network.encode_image, network.encode_text)).items()}
    return {point.name: value(point, columns) for point in ENDPOINTS} | {"score": untouched(columns)}


@dataclass(frozen=True)
class Bench:
    """What all runs of a process share: the data, and the questions in memory."""

    regime: Regime
    data: StudyData
    work: Path  # folder of runs in progress; the last weights of finished runs stay in ``weights``, for further measurements

    @cached_property
    def start(self) -> OpenClip:
        """The model that all methods start from."""
        return OpenClip.load(**self.data.located(self.regime.world.start))

    @cached_property
    def test(self) -> Questions:
        """All questions of the report."""
        return self._questions("test", ())

    @cached_property
    def validation(self) -> Questions:
        """The untouched questions, by which tuning and the best step are chosen."""
        groups = {group_of(name) for point in ENDPOINTS for name in point.columns}
        return self._questions("validation", tuple(groups - set(TOUCHED)))

    def run(self, unit: Unit, setting: Setting) -> Record:
        """Train a unit, and ask its final and its best weights; the start is asked without training."""
        arm = BY_NAME[unit.arm]
        began = time.process_time()
        if not arm.method:
            start = Weights(step=0, verdicts=self._asked(self.start))
            return self._record(unit, {"snapshot": ""}, setting, began, start, start, {}, [])
        from training.loop import train

        snapshot = self.data.snapshot(arm.data)
        output = self.work / unit.name
        shutil.rmtree(output, ignore_errors=True)  # left by an interrupted run, which restarts from the beginning
        options = run_options(self.regime, unit, setting) | {"snapshot": snapshot.folder, "output": str(output)}
        record = train(make_options(self.data.located(options)), lambda line: None, validator=Validator(self.validation))
        rows = read_metrics(output)
        final: Weights | None = None
        best: Weights | None = None
        if unit.trial is None:
            final = Weights(step=options["steps"], verdicts=self._asked(self._trained(output / "final")))
            step = record["best"]["step"]
            best = final if step == final.step else Weights(step=step, verdicts=self._asked(self._trained(output / "best")))
        finished = self._record(unit, options | {"snapshot": snapshot.id}, setting, began, final, best, record["budget"], rows)
        if unit.trial is None:
            weights = self.work / WEIGHTS / unit.name
            shutil.rmtree(weights, ignore_errors=True)
            weights.parent.mkdir(exist_ok=True)
            (output / "final").rename(weights)
        shutil.rmtree(output)
        return finished

    def _record(
        self,
        unit: Unit,
        options: dict[str, Any],
        setting: Setting,
        began: float,
        final: Weights | None,
        best: Weights | None,
        budget: dict[str, float],
        rows: list[MetricsRow],
    ) -> Record:
        checks = [{"step": row["step"] + 1, **row["validation"]} for row in rows if "validation" in row]
        if not rows:
            checks = [{"step": 0, **scores(self.validation, self.start.model)}]
        return Record(
            regime=self.regime.name,
            arm=unit.arm,
            seed=unit.seed,
            trial=unit.trial,
            snapshot=options["snapshot"],
            questions=self.test.version,
            start=self.start.version,
            commit=commit(),
            device=f"{device_name()}, {torch.get_num_threads()} threads",
            cpu_seconds=round(time.process_time() - began, 1),
            settings={name: value for name, value in options.items() if name not in ("snapshot", "output")},
            setting=asdict(setting),
            budget=budget,
            pairs=dict(sum((Counter(row["counts"]) for row in rows), Counter())),
            validation=checks,
            final=final,
            best=best,
        )

    @staticmethod
    def _trained(folder: Path) -> OpenClip:
        return OpenClip.load(str(folder), "")

    def _asked(self, clip: OpenClip) -> dict[str, str]:
        return packed(self.test.ask(clip.model.encode_image, clip.model.encode_text))

    def _questions(self, use: str, groups: tuple[str, ...]) -> Questions:
        pixels = Pixels.of(self.start.model.visual, augment=False)
        return Questions.load(self.data.questions(use), pixels, self.start.tokenize, groups)


def commit() -> str:
    """The commit of this checkout, with a plus if tracked files have changed; empty outside a checkout."""
    folder = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)  # noqa: S607
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],  # noqa: S607
            cwd=folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip()[:12] + ("+" if changed.stdout.strip() else "")


def device_name() -> str:
    """The processor's model name, from the system."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    import platform

    return platform.processor() or platform.machine()
