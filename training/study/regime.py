"""What all arms of the study have in common, and how long they run."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from training.study.arms import BY_NAME, Arm, Unit
from training.study.data import Size
from training.study.world import OBJECTS, World

RATES = (3e-4, 1e-3, 3e-3)  # tried first, the middle one being the default
BETWEEN = 3**0.5  # an arm without a weight of its own also tries the best rate times and divided by this


@dataclass(frozen=True)
class Regime:
    """World, steps, batch and data of all runs; ``trials``: how many settings tuning tries for each tuned arm."""

    steps: int = 300
    batch_size: int = 128
    warmup: int = 30
    validations: int = 4  # a run
    trials: int = 5
    tuning_steps: int = 150
    seeds: int = 5
    size: Size = field(default_factory=Size)
    world: World = OBJECTS

    @property
    def name(self) -> str:
        """Eight hexadecimal digits, a hash of all fields: runs of different regimes are never mixed."""
        tree = {name: value for name, value in asdict(self).items() if name != "world"}
        # The first world is identified by its start alone, as when it was the only one, so its runs keep their names.
        tree |= self.world.start if self.world == OBJECTS else self.world.identity
        return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:8]


FULL = Regime()
QUICK = Regime(40, 32, 4, 2, 0, 0, 1, Size(originals=100, questions=40, validation=20))


@dataclass(frozen=True)
class Setting:
    """What tuning chooses for an arm."""

    lr: float = RATES[1]
    weight: float | None = None  # None: the method's own default

    def options(self, arm: Arm) -> dict[str, Any]:
        """The arm's options of its method, with the weight in them."""
        if self.weight is None:
            return arm.options
        if arm.weight is None:
            raise ValueError(f"{arm.name} has no weight, and was given one")
        return arm.options | {arm.weight.name: self.weight}


def trial_setting(arm: Arm, trial: int, scores: dict[int, float]) -> Setting:
    """The setting of a tuning trial: first the rates, then values around the best by ``scores`` of the earlier trials.

    Every arm gets as many trials: one with a weight of its own tries two more weights, the others two more rates.
    """
    if trial < len(RATES):
        return Setting(RATES[trial])
    best = RATES[max(range(len(RATES)), key=lambda number: scores[number])]
    second = trial - len(RATES)
    if arm.weight is not None:
        return Setting(best, arm.weight.values[second])
    return Setting(best * BETWEEN if second else best / BETWEEN)


def settled(arm: Arm, scores: dict[int, float], trials: int) -> Setting:
    """The setting of the best try, the first of equals; the default where nothing is tuned."""
    if not trials:
        return Setting()
    return trial_setting(arm, max(range(trials), key=lambda number: scores[number]), scores)


def tuned_by(arm: Arm) -> Arm:
    """The arm whose tuned setting this arm uses."""
    return BY_NAME[arm.tuned_as] if arm.tuned_as else arm


def run_options(regime: Regime, unit: Unit, setting: Setting) -> dict[str, Any]:
    """A run's options, all but its folders."""
    arm = BY_NAME[unit.arm]
    steps = regime.steps if unit.trial is None else regime.tuning_steps
    return {
        **regime.world.start,
        "method": arm.method,
        "method_options": setting.options(arm),
        "steps": steps,
        "batch_size": regime.batch_size,
        "warmup": min(regime.warmup, steps // 10),
        "lr": setting.lr,
        "seed": unit.seed,
        "held_out": 0.0,
        "eval_every": max(1, steps // regime.validations),
        "save_every": 0,
        "device": "cpu",
        "workers": 1,
        **arm.run,
    }
