"""Hyperparameter search with optuna: learning rate, weight decay and, if asked for, the method's own options.

Each trial is a complete short run of ``steps`` steps, so all trials have the same budget, and its score is the best validation.
The study is a file in the output folder: the same command continues it.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

from training.options import Options, OptionsError, make_options

STUDY = "study.log"


class BestTrial(TypedDict):
    """The trial with the highest score."""

    score: float
    values: dict[str, float]  # by hyperparameter
    output: str  # folder of the run


def search(options: Options, trials: int, weights: Sequence[str] = (), log: Callable[[str], None] = print) -> BestTrial:
    """Run trials until ``trials`` are complete; returns the best one.

    The learning rate is drawn from a tenth to ten times that of the options, the weight decay from 0.001 to 1, both on a log
    scale; each of ``weights``, such as "rank=0.1:3", from its range.

    Raises:
        OptionsError: a range is malformed or empty, there is no validation, or this is one of several processes.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    ranges = dict(_range(text) for text in weights)
    if not options.eval_every:
        raise OptionsError("trials are compared by validation: set --eval-every above 0")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise OptionsError("tune runs its trials in one process: start it without a launcher")
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # of a failed trial it would print the traceback
    study = optuna.create_study(
        study_name=options.run_hash,
        storage=JournalStorage(JournalFileBackend(str(output / STUDY))),
        direction="maximize",
        load_if_exists=True,
    )

    def objective(trial: optuna.Trial) -> float:
        return _trial(trial, options, ranges, log)

    while (complete := len(study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)))) < trials:
        # Seeded by the number of complete trials: a continued search draws what an uninterrupted one would have drawn.
        study.sampler = optuna.samplers.TPESampler(seed=options.seed + complete, n_startup_trials=max(3, trials // 3))
        study.optimize(objective, n_trials=1)
    best = study.best_trial
    assert best.value is not None, "a complete trial has a value"
    log(f"best of {trials}: score {best.value:.4f} with {best.params}")
    return {"score": best.value, "values": best.params, "output": str(best.user_attrs["output"])}


def _trial(trial: Any, options: Options, ranges: dict[str, tuple[float, float]], log: Callable[[str], None]) -> float:
    from training.loop import train

    lr = trial.suggest_float("lr", options.lr / 10, options.lr * 10, log=True)
    decay = trial.suggest_float("weight_decay", 1e-3, 1.0, log=True)
    of_method = {name: trial.suggest_float(name, low, high) for name, (low, high) in ranges.items()}
    output = str(Path(options.output) / f"trial-{trial.number:03d}")
    trial.set_user_attr("output", output)
    changed: dict[str, Any] = {"lr": lr, "weight_decay": decay, "output": output, "save_every": 0}
    changed["method_options"] = options.method_options | of_method
    try:
        score = float(train(make_options(options.model_dump() | changed), lambda line: None)["best"]["score"])
    except FloatingPointError as problem:
        log(f"trial {trial.number}: {problem}, at lr {lr:.3g}")
        score = 0.0  # the lowest score: the run diverged
    log(f"trial {trial.number}: score {score:.4f} with {trial.params}")
    return score


def _range(text: str) -> tuple[str, tuple[float, float]]:
    name, _, limits = text.partition("=")
    try:
        low, high = (float(limit) for limit in limits.split(":"))
    except ValueError:
        raise OptionsError(f"--weights takes name=low:high, not {text!r}") from None
    if not low < high:
        raise OptionsError(f"--weights {text!r}: the range is empty")
    return name, (low, high)
