"""Which run is next: the first in order of priority that has no record and that no other process is at, until the time is up."""

import fcntl
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from training.study.arms import BY_NAME, METHODS, Arm, Unit, units
from training.study.data import DataError
from training.study.questions import write_numbers
from training.study.record import Record, read_all, write
from training.study.regime import RATES, Regime, Setting, settled, trial_setting, tuned_by
from training.study.run import Bench
from training.study.values import RUNS

NUMBERS = "questions.json"
PAUSE = 5.0  # seconds between two looks at what other processes have done


def records_of(output: Path, regime: Regime) -> Path:
    """Where a regime's records are, and what is known of its questions: no regime touches another's."""
    return output / RUNS / regime.name


class NotTunedError(RuntimeError):
    """An arm's setting is not known yet: a try of its tuning is missing."""


def setting_of(arm: Arm, regime: Regime, done: dict[str, Record], trial: int | None = None) -> Setting:
    """What an arm is run with, or what a try of its tuning is run with, by the records so far.

    Raises:
        NotTunedError: a try is missing.
    """
    tuned = tuned_by(arm)
    if tuned not in METHODS or not regime.trials:
        return Setting()
    wanted = range(min(trial, len(RATES)) if trial is not None else regime.trials)
    names = {one: Unit(tuned.name, trial=one).name for one in wanted}
    if missing := [name for name in names.values() if name not in done]:
        raise NotTunedError(f"{arm.name} waits for {', '.join(missing)}")
    scores = {one: done[name].score for one, name in names.items()}
    return settled(tuned, scores, regime.trials) if trial is None else trial_setting(tuned, trial, scores)


def pending(regime: Regime, output: Path, extended: bool, arms: Collection[str] = ()) -> list[Unit]:
    """The runs of all or of some ``arms`` that have no record yet, in order: see ``wanted``."""
    done = read_all(records_of(output, regime), regime.name)
    return [unit for unit in wanted(regime, extended, arms) if unit.name not in done]


def wanted(regime: Regime, extended: bool, arms: Collection[str] = ()) -> list[Unit]:
    """All runs of the regime's world in order; or those of some ``arms`` of any part, with the tries of tuning they wait for."""
    every = units(regime.trials, regime.seeds, extended or bool(arms))
    tuned = {tuned_by(BY_NAME[arm]).name for arm in arms}
    some = [unit for unit in every if not arms or unit.arm in (arms if unit.trial is None else tuned)]
    return [unit for unit in some if not regime.world.arms or unit.arm in regime.world.arms]


def work(
    bench: Bench, output: Path, minutes: float, extended: bool, say: Callable[[str], None], arms: Collection[str] = ()
) -> int:
    """Do runs until all are done or the next one would not end in time; returns how many are left.

    A run takes as long as the longest so far, it is assumed; the first one is begun in any case. ``arms`` are the only ones whose
    runs are done, extended or not; none: all.
    """
    records = records_of(output, bench.regime)
    records.mkdir(parents=True, exist_ok=True)
    others = {record.start for record in read_all(records, bench.regime.name).values()} - {bench.start.version}
    if others:
        raise DataError(
            f"the runs in {records} began with another CLIP, {', '.join(sorted(others))}, than there is here"
            f" ({bench.start.version}): put that one in its place, or give another --output"
        )
    write_numbers(bench.test, records / NUMBERS)
    began, longest = time.monotonic(), 0.0  # making what is missing is not part of the budget
    while (time.monotonic() - began + longest) < 60 * minutes:
        with next_run(bench, records, extended, arms) as found:
            if found is None:
                break
            unit, setting = found
            start = time.monotonic()
            record = bench.run(unit, setting)
            write(record, records / f"{unit.name}.json")
            took = time.monotonic() - start
        longest = max(longest, took)
        chosen = ", ".join(f"{name} {one:g}" for name, one in asdict(setting).items() if one is not None)
        say(f"{unit.name}: {chosen}, validation {record.last_score:.3f}, best {record.score:.3f}, {took:.0f} s")
    return len(pending(bench.regime, output, extended, arms))


@contextmanager
def next_run(bench: Bench, records: Path, extended: bool, arms: Collection[str]) -> Iterator[tuple[Unit, Setting] | None]:
    """The next run, held against other processes while it is done; None: all are done, or others do the last."""
    bench.work.mkdir(parents=True, exist_ok=True)
    while True:
        waits = False
        done = read_all(records, bench.regime.name)
        for unit in wanted(bench.regime, extended, arms):
            if unit.name in done:
                continue
            try:
                setting = setting_of(BY_NAME[unit.arm], bench.regime, done, unit.trial)
            except NotTunedError:
                waits = True  # for a try that another process is at
                continue
            with (bench.work / f"{unit.name}.lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if unit.name in read_all(records, bench.regime.name):
                    continue  # done since we looked
                yield unit, setting
                return
        if not waits:
            yield None
            return
        time.sleep(PAUSE)
