"""One run of the study: train, ask, write its record."""

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
from training.decode import Pixels
from training.engine import Engine
from training.options import make_options
from training.study.arms import BY_NAME, Unit
from training.study.data import Made
from training.study.endpoints import ENDPOINTS, TOUCHED, group_of, untouched, value
from training.study.questions import Questions, packed, unpacked
from training.study.record import Record, Weights
from training.study.regime import Regime, Setting, run_options
from training.study.values import WEIGHTS
from training.track import read_metrics


@dataclass(frozen=True)
class Validator:
    """Validation as the study has it: the end points on other scenes, so that the best step of every method is chosen alike."""

    questions: Questions

    def measure(self, engine: Engine) -> dict[str, float]:
        """The end points, and their mean as ``score``."""
        engine.deepspeed.eval()
        network: Any = engine.model.network
        found = scores(self.questions, network)
        engine.deepspeed.train()
        return found


def scores(questions: Questions, network: Any) -> dict[str, float]:
    """The end points of a model and their mean."""
    columns = {name: unpacked(text) for name, text in packed(questions.ask(network.encode_image, network.encode_text)).items()}
    return {point.name: value(point, columns) for point in ENDPOINTS} | {"score": untouched(columns)}


@dataclass(frozen=True)
class Bench:
    """What all runs of a process share: data, and questions in memory."""

    regime: Regime
    made: Made
    work: Path  # of runs under way; the last weights of those that are done stay in ``weights``, for what asks more of them

    @cached_property
    def start(self) -> OpenClip:
        """The model that all methods begin with."""
        return OpenClip.load(**self.made.located(self.regime.world.start))

    @cached_property
    def test(self) -> Questions:
        """All questions to report."""
        return self._questions("test", ())

    @cached_property
    def validation(self) -> Questions:
        """The untouched questions to choose by."""
        groups = {group_of(name) for point in ENDPOINTS for name in point.columns}
        return self._questions("validation", tuple(groups - set(TOUCHED)))

    def run(self, unit: Unit, setting: Setting) -> Record:
        """Train a unit and ask its final and its best weights; the start is asked as it is."""
        arm = BY_NAME[unit.arm]
        began = time.process_time()
        if not arm.method:
            start = Weights(step=0, verdicts=self._asked(self.start))
            return self._record(unit, {"snapshot": ""}, setting, began, start, start, {}, [])
        from training.loop import train

        snapshot = self.made.snapshot(arm.data)
        output = self.work / unit.name
        shutil.rmtree(output, ignore_errors=True)  # of a run that was stopped: it starts anew, and is counted whole
        options = run_options(self.regime, unit, setting) | {"snapshot": snapshot.folder, "output": str(output)}
        record = train(make_options(self.made.located(options)), lambda line: None, validator=Validator(self.validation))
        rows = read_metrics(output)
        final: Weights | None = None
        best: Weights | None = None
        if unit.trial is None:
            final = Weights(step=options["steps"], verdicts=self._asked(self._trained(output / "final")))
            step = record["best"]["step"]
            best = final if step == final.step else Weights(step=step, verdicts=self._asked(self._trained(output / "best")))
        found = self._record(unit, options | {"snapshot": snapshot.id}, setting, began, final, best, record["budget"], rows)
        if unit.trial is None:
            kept = self.work / WEIGHTS / unit.name
            shutil.rmtree(kept, ignore_errors=True)
            kept.parent.mkdir(exist_ok=True)
            (output / "final").rename(kept)
        shutil.rmtree(output)
        return found

    def _record(
        self,
        unit: Unit,
        options: dict[str, Any],
        setting: Setting,
        began: float,
        final: Weights | None,
        best: Weights | None,
        budget: dict[str, float],
        rows: list[dict[str, Any]],
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
            settings={name: one for name, one in options.items() if name not in ("snapshot", "output")},
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
        return Questions.load(self.made.questions(use), pixels, self.start.tokenize, groups)


def commit() -> str:
    """The commit of this checkout, with a plus if files of it have changed; empty where it is none."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)  # noqa: S607
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],  # noqa: S607
            cwd=here, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip()[:12] + ("+" if changed.stdout.strip() else "")


def device_name() -> str:
    """The processor's model, as the system names it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    import platform

    return platform.processor() or platform.machine()
