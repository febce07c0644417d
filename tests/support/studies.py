"""Small studies: records as runs write them, with random verdicts."""

from pathlib import Path

import numpy as np
import pytest

from training.benchmarks.item import Verdict
from training.study.endpoints import ENDPOINTS, TOUCHED
from training.study.questions import Numbers, packed
from training.study.queue import records_of
from training.study.record import Record, Weights, questions_of, write
from training.study.regime import QUICK, Regime


def record(
    arm: str, share: float = 0.5, score: float = 0.5, seed: int = 0, trial: int | None = None, regime: Regime = QUICK
) -> Record:
    """A record as ``run`` makes it, with random verdicts."""
    weights = None
    if trial is None:
        rng = np.random.default_rng(seed + 1)
        names = {name for point in ENDPOINTS for name in point.columns} | {f"{group}/group" for group in TOUCHED}
        verdicts = [
            Verdict(f"{name}_{i}", name.partition("/")[0], "", {name.partition("/")[2]: float(rng.random() < share)})
            for name in sorted(names)
            for i in range(60)
        ]
        weights = Weights(step=40, verdicts=packed(verdicts))
    return Record(
        regime=regime.name, arm=arm, seed=seed, trial=trial, snapshot="s", questions="q",
        start="c", commit="abc", device="a CPU", cpu_seconds=3600, settings={}, setting={"lr": 3e-4, "weight": None},
        budget=dict.fromkeys(("image_passes_a_step", "originals_a_step", "texts_a_step", "epochs", "cpu_seconds"), 1.0),
        pairs={"negative": 10, "true_but_negative": 1}, validation=[{"step": 20, "score": score}, {"step": 40, "score": score}],
        final=weights, best=weights,
    )  # fmt: skip


SHARES = {"clip": 0.5, "powerset": 0.8, "shuffled": 0.8, "grey_box": 0.8, "negclip": 0.6, "powerset+negclip": 0.9}


def write_study(folder: Path, regime: Regime, shares: dict[str, float]) -> None:
    for arm, share in shares.items():
        for seed in range(5):
            write(record(arm, share, seed=seed, regime=regime), records_of(folder, regime))
    groups = {name.partition("/")[0] for point in ENDPOINTS for name in point.columns} | set(TOUCHED)
    numbers = Numbers("q", {group: np.arange(60, dtype=np.int32) for group in groups}, {"chance": {}, "shorter": {}, "probe": {}})
    questions_of(records_of(folder, regime)).write_text(numbers.as_json(), encoding="utf-8")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_study(tmp_path, QUICK, SHARES)
    return tmp_path
