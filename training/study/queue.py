"""The queue: runs without a record that no other process is doing, in order of priority, until the time is up."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from training.study.arms import BY_NAME, METHODS, Arm, Unit, units
from training.study.data import DataError
from training.study.questions import write_numbers
from training.study.record import Record, lock_of, questions_of, read_all, write
from training.study.regime import RATES, Regime, Setting, settled, trial_setting, tuned_by
from training.study.run import Bench
from training.study.values import RUNS
from udfs.errors import DualsetError

PAUSE = 5.0  # seconds between checks of what other processes have done


def records_of(output: Path, regime: Regime) -> Path:
    """The file of a regime's records; each regime has its own."""
    return output / RUNS / f"{regime.name}.jsonl"


class NotTunedError(DualsetError):
    """An arm's setting is not known yet, as a trial of its tuning is missing."""


def setting_of(arm: Arm, regime: Regime, done: dict[str, Record], trial: int | None = None) -> Setting:
    """The setting of an arm's runs, or of a trial of its tuning, from the records so far.

    Raises:
        NotTunedError: a trial is missing.
    """
    tuned = tuned_by(arm)
    if tuned not in METHODS or not regime.trials:
        return Setting()
    tries = range(min(trial, len(RATES)) if trial is not None else regime.trials)
    names = {number: Unit(tuned.name, trial=number).name for number in tries}
    if missing := [name for name in names.values() if name not in done]:
        raise NotTunedError(f"{arm.name} waits for {', '.join(missing)}")
    scores = {number: done[name].score for number, name in names.items()}
    return settled(tuned, scores, regime.trials) if trial is None else trial_setting(tuned, trial, scores)


def pending(regime: Regime, output: Path, extended: bool, arms: Collection[str] = ()) -> list[Unit]:
    """The runs without a record, in order, of all or of some ``arms``: see ``wanted``."""
    done = read_all(records_of(output, regime), regime.name)
    return [unit for unit in wanted(regime, extended, arms) if unit.name not in done]


def wanted(regime: Regime, extended: bool, arms: Collection[str] = ()) -> list[Unit]:
    """All runs of the regime's world in order; or those of some ``arms`` of any part, with the trials of tuning they need."""
    planned = units(regime.trials, regime.seeds, extended or bool(arms))
    tuned = {tuned_by(BY_NAME[arm]).name for arm in arms}
    requested = [unit for unit in planned if not arms or unit.arm in (arms if unit.trial is None else tuned)]
    return [unit for unit in requested if not regime.world.arms or unit.arm in regime.world.arms]


def work(
    bench: Bench, output: Path, minutes: float, extended: bool, log: Callable[[str], None], arms: Collection[str] = ()
) -> int:
    """Do runs until all are done or the next one would not finish in time; returns how many are left.

    A run is assumed to take as long as the longest so far; the first one is always started. ``arms``: do only the runs of these
    arms, extended or not; empty: all.

    Raises:
        DataError: earlier runs started from another CLIP.
    """
    records = records_of(output, bench.regime)
    records.parent.mkdir(parents=True, exist_ok=True)
    other_starts = {record.start for record in read_all(records, bench.regime.name).values()} - {bench.start.version}
    if other_starts:
        raise DataError(
            f"the runs in {records} began with another CLIP, {', '.join(sorted(other_starts))}, than there is here"
            f" ({bench.start.version}): put that one in its place, or give another --output"
        )
    with lock_of(records):
        write_numbers(bench.test, questions_of(records))
    began, longest = time.monotonic(), 0.0  # making missing data is not part of the budget
    while (time.monotonic() - began + longest) < 60 * minutes:
        with next_run(bench, records, extended, arms) as job:
            if job is None:
                break
            unit, setting = job
            start = time.monotonic()
            record = bench.run(unit, setting)
            write(record, records)
            took = time.monotonic() - start
        longest = max(longest, took)
        shown = ", ".join(f"{name} {value:g}" for name, value in asdict(setting).items() if value is not None)
        log(f"{unit.name}: {shown}, validation {record.last_score:.3f}, best {record.score:.3f}, {took:.0f} s")
    return len(pending(bench.regime, output, extended, arms))


@contextmanager
def next_run(bench: Bench, records: Path, extended: bool, arms: Collection[str]) -> Iterator[tuple[Unit, Setting] | None]:
    """The next run, locked against other processes while it is done; None: all are done, or others are doing the last ones."""
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
                waits = True  # for a trial that another process is doing
                continue
            lock = FileLock(bench.work / f"{unit.name}.lock", blocking=False)
            try:
                lock.acquire()
            except Timeout:
                continue  # another process is doing it
            try:
                if unit.name in read_all(records, bench.regime.name):
                    continue  # finished by another process in the meantime
                yield unit, setting
                return
            finally:
                lock.release()
        if not waits:
            yield None
            return
        time.sleep(PAUSE)
