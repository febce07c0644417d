"""Two commands on one root at the same time, again and again: no key is written twice, no row is lost, and the root goes on.

    python -m tests.support.two_writers --tries 50 --seed 0
    python -m tests.support.two_writers --tries 5 --pairs run+run --processes

The two are threads with a session each, or, with ``--processes``, two runs of the command line. A failure prints what repeats it.
"""

import argparse
import itertools
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from jobs import ingest
from jobs.chain import fresh_from, run_chain
from jobs.engine.stream import Run
from jobs.engine.versions import bring_up_to_date
from jobs.publish import publish
from jobs.retry import retry
from jobs.settings import load_settings
from jobs.snapshot.manifest import MANIFEST, read_manifest
from jobs.withdraw import withdraw
from tests.support import roots
from tests.support.roots import Picture, Source
from udfs.errors import DualsetError

DOG, CAT, MAN = ("dog", (8, 10, 28, 40)), ("cat", (60, 20, 84, 50)), ("person", (55, 5, 75, 60))
FIRST = (
    Picture("pets.png", ["A dog and a cat."], (DOG, CAT), shade=1),
    Picture("walk.png", ["A man with a dog."], (DOG, MAN), shade=4),
    Picture("late.png", ["A cat."], (CAT,), shade=3, data=None),
)
SECOND = (Picture("cat.png", ["A cat."], (CAT,), shade=7), Picture("man.png", ["A man."], (MAN,), shade=9))
ACTIONS = ("ingest", "run", "fresh", "publish", "retry", "withdraw")
PAIRS = tuple(itertools.combinations_with_replacement(ACTIONS, 2))
OFFSETS_S = (0.0, 3.0)
PROFILE = "annotations"  # that of roots.open_root
SETTINGS = ("publish.shards=1",)


@dataclass
class Bench:
    """A finished root to copy, and the source that is ingested into it."""

    folder: Path
    first: Source
    second: Source
    withdrawn: str

    @classmethod
    def make(cls, spark: SparkSession, folder: Path) -> "Bench":
        """Run the chain over the first source, one of whose files is missing until then."""
        first, second = Source(folder / "first").write(*FIRST), Source(folder / "second").write(*SECOND)
        run = opened(spark, folder / "root")
        roots.take(run, first)
        run_chain(run)
        roots.draw(FIRST[2]).save(first.folder / "images" / FIRST[2].name)
        (record_id,) = [row["record_id"] for row in roots.rows(run, "images") if row["source_key"] == "walk.png"]
        return cls(folder, first, second, record_id)


@dataclass
class Try:
    """What two actions did: the lines in which a command said that it could not go on, and what is wrong with the root after."""

    actions: tuple[str, str]
    offset: float
    new: bool
    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def opened(spark: SparkSession, root: Path) -> Run:
    """A new invocation over a root."""
    return roots.open_root(spark, root, *SETTINGS)


def act(bench: Bench, run: Run, action: str) -> None:
    """What the command of that name does."""
    if action == "ingest":
        roots.take(run, bench.second)
        bring_up_to_date(ingest.STAGE, run)
    elif action == "run":
        run_chain(run)
    elif action == "fresh":
        fresh_from(run, "extract")
        run_chain(run)
    elif action == "publish":
        publish(run.store, run.settings)
    elif action == "retry":
        retry(run, "missing_file")
    else:
        withdraw(run.store, [bench.withdrawn], "asked to")


def command(bench: Bench, root: Path, action: str) -> list[str]:
    """The command line of an action."""
    options = ["--root", str(root), "--profile", PROFILE, *(f"--set={value}" for value in SETTINGS)]
    words = {
        "ingest": ["ingest", "coco", *(f"--{name}={value}" for name, value in bench.second.options.items())],
        "run": ["run"],
        "fresh": ["run", "--fresh", "extract"],
        "publish": ["publish"],
        "retry": ["retry", "--status", "missing_file"],
        "withdraw": ["withdraw", "--record-id", bench.withdrawn, "--reason", "asked to"],
    }
    return [sys.executable, "-m", "jobs.cli", *words[action], *options]


def attempt(spark: SparkSession, bench: Bench, actions: tuple[str, str], offset: float, *, new: bool, processes: bool) -> Try:
    """Start one action, ``offset`` seconds later the other, then bring the root up to date and look at it."""
    this, root = Try(actions, offset, new), bench.folder / "tried"
    shutil.rmtree(root, ignore_errors=True)
    if not new:
        shutil.copytree(bench.folder / "root", root)
    (_by_commands if processes else _by_threads)(spark, bench, root, this)
    run = opened(spark.newSession(), root)
    this.faults += _failure("then ingest", lambda: act(bench, run, "ingest"))
    this.faults += _failure("then run", lambda: run_chain(run))
    this.faults += _failure("then look", lambda: roots.check_complete(run))
    names = Counter(row["source_key"] for row in roots.rows(run, "images") if row["attempt"] == 0)
    expected = {picture.name for picture in (SECOND if new else (*FIRST, *SECOND))}
    if names != Counter(expected):
        this.faults.append(f"images holds {dict(names)}")
    for manifest in sorted(root.glob(f"snapshots/*/{MANIFEST}")):
        this.faults += _failure("a snapshot", lambda manifest=manifest: read_manifest(str(manifest.parent)))
    return this


def _by_threads(spark: SparkSession, bench: Bench, root: Path, this: Try) -> None:
    def work(action: str) -> None:
        try:
            act(bench, opened(spark.newSession(), root), action)
        except DualsetError as problem:
            this.lines.append(f"{action}: {problem}")

    this.faults += together([partial(work, action) for action in this.actions], this.offset)


def together(actions: Sequence[Callable[[], object]], offset: float) -> list[str]:
    """Run actions in threads, each ``offset`` seconds after the one before; returns what they raised."""
    raised: list[str] = []

    def work(action: Callable[[], object], delay: float) -> None:
        time.sleep(delay)
        raised.extend(_failure("at the same time", action))

    threads = [threading.Thread(target=work, args=(action, number * offset)) for number, action in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def _by_commands(spark: SparkSession, bench: Bench, root: Path, this: Try) -> None:  # noqa: ARG001 - as with threads
    children = []
    for action, delay in zip(this.actions, (0, this.offset), strict=True):
        time.sleep(delay)
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        children.append(subprocess.Popen(command(bench, root, action), text=True, **streams))  # type: ignore[call-overload]
    for action, child in zip(this.actions, children, strict=True):
        said = [line for line in child.communicate()[1].splitlines() if line.startswith("dualset:")]
        if child.returncode == 1 and len(said) == 1:
            this.lines.append(f"{action}: {said[0]}")
        elif child.returncode:
            this.faults.append(f"{action}: exit status {child.returncode}: {said}")


def _failure(what: str, action: Callable[[], object]) -> list[str]:
    try:
        action()
    except Exception as problem:  # noqa: BLE001 - any is a fault that is reported
        return [f"{what}: {type(problem).__name__}: {str(problem)[:2000]}"]
    return []


def tries(seed: int, number: int, pairs: tuple[tuple[str, str], ...] = PAIRS) -> list[tuple[tuple[str, str], float, bool]]:
    """Which actions, how many seconds apart, and whether in a new root: every pair ``number`` times, in a random order."""
    chance = random.Random(seed)
    drawn = []
    for first, second in pairs * number:
        actions = (first, second) if chance.random() < 0.5 else (second, first)
        new = first == "ingest" and chance.random() < 0.5
        drawn.append((actions, round(chance.uniform(*OFFSETS_S) if chance.random() < 0.7 else 0.0, 2), new))
    chance.shuffle(drawn)
    return drawn


def main() -> None:
    """Try all pairs, print what each try came to, and exit with 1 if there was a fault."""
    from jobs.engine.session import open_session

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=1, help="of each pair")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pairs", default="", help="such as run+run,ingest+publish; default: all")
    parser.add_argument("--processes", action="store_true")
    options = parser.parse_args()
    pairs = tuple(tuple(sorted(pair.split("+"), key=ACTIONS.index)) for pair in options.pairs.split(",") if pair) or PAIRS
    spark = open_session(load_settings(PROFILE, ["spark.driver_memory=2g"]))
    faults, counts, started = 0, Counter(), time.time()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench.make(spark, Path(folder))
        for number, (actions, offset, new) in enumerate(tries(options.seed, options.tries, pairs)):
            done = attempt(spark, bench, actions, offset, new=new, processes=options.processes)
            counts["stopped with a line"] += bool(done.lines)
            for line in (*done.lines, *(f"FAULT {fault}" for fault in done.faults)) or ("ok",):
                print(f"{number} {'+'.join(actions)} {offset} s{' new root' if new else ''}: {line}", flush=True)
            faults += bool(done.faults)
        print(f"{number + 1} tries, {faults} with a fault, {dict(counts)}, {time.time() - started:.0f} s, seed {options.seed}")
    spark.stop()
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
