"""Use a root as nobody should, round after round, and look after each whether it still keeps its promises.

    python -m tests.torture --minutes 60 --seed 0

A round starts one to three random commands on one root at the same time, each a process of its own, and kills some of them at a
random moment, or lets one write files of a few kilobytes only, as on a full disk. Between rounds the times of files are moved, as
by a clock that was set, and on a copy of the root something is deleted or cut short, which ``check`` must notice. A command may
end with 0, or with 1 and one line. At the end nothing is left to do, and the tables hold what the same commands make one after
the other. All draws come from the seed; what the processes make of them, their timing decides.
"""

import argparse
import contextlib
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

from pyspark.sql import SparkSession

from jobs.chain import NAMES, run_chain
from jobs.engine.schemas import TABLES
from jobs.look.check import check
from jobs.retry import retry
from jobs.settings import load_settings
from tests.support import kill, roots
from tests.support.roots import Row, Source
from tests.support.two_writers import FIRST, PROFILE, SECOND, SETTINGS, opened
from udfs.errors import DualsetError

PATIENCE_S = 600  # a command that takes longer hangs
SMALL_DISK = 64 << 10  # bytes in the largest file that a command on a full disk may write
SUPPOSED_EXITS = (0, 1)
INCIDENTAL = ("ingest_batch", "attempt", "run_id", "batch_id", "seconds")


@dataclass(frozen=True)
class Command:
    """A command of a round: what is typed, when it starts, when it is killed, and whether its disk is full."""

    words: tuple[str, ...]
    start_s: float
    kill_s: float | None
    full_disk: bool

    def __str__(self) -> str:
        fate = f", killed {self.kill_s:.1f} s later" if self.kill_s is not None else ", full disk" if self.full_disk else ""
        return f"{' '.join(self.words)} (at {self.start_s:.1f} s{fate})"


@dataclass
class Torture:
    """A root under torture and everything around it."""

    spark: SparkSession
    folder: Path
    chance: random.Random
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.root = self.folder / "root"
        self.first = Source(self.folder / "first").write(*FIRST)
        self.second = Source(self.folder / "second").write(*SECOND)
        for name in ("cwd", "tmp"):
            (self.folder / name).mkdir()

    def round(self, number: int) -> None:
        """One round: commands, then a look at what they left."""
        commands = self.draw()
        print(f"round {number}: {'; '.join(map(str, commands))}", flush=True)
        self.run(commands)
        self.look(f"round {number}")
        if (self.root / "tables" / "images").is_dir():
            if self.chance.random() < 0.3:
                self.set_clock()
            if self.chance.random() < 0.3:
                self.damage(f"round {number}")

    def draw(self) -> list[Command]:
        """The commands of a round."""
        drawn = []
        for number in range(self.chance.choice((1, 2, 2, 3))):
            words = self.words()
            start = 0.0 if number == 0 or self.chance.random() < 0.5 else self.chance.uniform(0, 4)
            fate = self.chance.random()
            kill_s = self.chance.uniform(2, 40) if fate < 0.35 else None
            drawn.append(Command(words, round(start, 1), kill_s, full_disk=fate > 0.92))
        return drawn

    def words(self) -> tuple[str, ...]:
        """A random command."""
        source = self.chance.choice((self.first, self.second))
        ingest = ("ingest", "coco", *(f"--{name}={value}" for name, value in source.options.items()))
        stage = self.chance.choice(NAMES[1:])
        return self.chance.choice(
            (
                *(ingest, ingest, ("run",), ("run",), ("run",), ("run", "--stages", ",".join(NAMES[: NAMES.index(stage) + 1]))),
                *(("run", "--fresh", stage), ("run", "--stages", "variants"), ("run", "--stages", "placebos")),
                *(("retry", "--status", "missing_file"), ("retry", "--stand-ins"), ("publish",), ("publish",)),
                *(("sql", "SELECT count(*) FROM samples"), ("status",), ("train",)),
            )
        )

    def run(self, commands: list[Command]) -> None:
        """Start the commands of a round, kill those that are to be killed, and wait for the others."""
        began, children = time.time(), []
        for command in sorted(commands, key=lambda command: command.start_s):
            if (words := self.line(command)) is None:
                continue
            time.sleep(max(0.0, began + command.start_s - time.time()))
            children.append((command, self.child(words, full_disk=command.full_disk)))
        waiting = list(children)
        while waiting:
            for command, child in tuple(waiting):
                age = time.time() - began - command.start_s
                if child.poll() is not None:
                    waiting.remove((command, child))
                elif command.kill_s is not None and age > command.kill_s:
                    kill_tree(child)
                    self.counts["killed"] += 1
                    waiting.remove((command, child))
                elif age > PATIENCE_S:
                    self.faults.append(f"{command} hangs")
                    kill_tree(child)
                    waiting.remove((command, child))
            time.sleep(0.05)
        for command, child in children:
            self.judge(command, child)
        kill.sweep(self.mark)

    def line(self, command: Command) -> list[str] | None:
        """The command line; None for training without a snapshot to train on."""
        if command.words[0] != "train":
            options = [f"--root={self.root}", f"--profile={PROFILE}", *(f"--set={value}" for value in SETTINGS)]
            return ["-m", "jobs.cli", *command.words, *options]
        if not (snapshots := sorted(path.parent for path in self.root.glob("snapshots/*/manifest.json"))):
            return None
        output = self.folder / "tmp" / uuid.uuid4().hex
        return ["-m", "jobs.cli", "train", f"--snapshot={self.chance.choice(snapshots)}", f"--output={output}", *TRAINING]

    def child(self, words: list[str], *, full_disk: bool) -> subprocess.Popen[bytes]:
        """A command in a process group of its own; what it says goes to a file."""
        environment = os.environ | {"DUALSET_MARK": self.mark, "TMPDIR": str(self.folder / "tmp"), "OMP_NUM_THREADS": "1"}

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_DISK, SMALL_DISK))

        said = (self.folder / "tmp" / f"{uuid.uuid4().hex}.said").open("wb")
        child = subprocess.Popen(
            [sys.executable, "-P", *words],
            stdout=subprocess.DEVNULL, stderr=said, cwd=self.folder / "cwd", env=environment, start_new_session=True,
            preexec_fn=limit if full_disk else None,  # noqa: PLW1509 - this process has no thread that holds a lock then
        )  # fmt: skip
        child.said = said.name  # type: ignore[attr-defined]
        return child

    def judge(self, command: Command, child: subprocess.Popen[bytes]) -> None:
        """A command that was not killed ends with 0, or with 1 and one line."""
        said = Path(child.said).read_text(errors="replace")  # type: ignore[attr-defined]
        if child.returncode is None or child.returncode < 0:
            return
        lines = [line for line in said.splitlines() if line.startswith("dualset:")]
        self.counts["done" if child.returncode == 0 else "one line"] += 1
        # On a full disk the JVM cannot always start.
        wrong = child.returncode not in SUPPOSED_EXITS or "Traceback" in said or (child.returncode == 1 and len(lines) != 1)
        if wrong and not command.full_disk:
            self.faults.append(f"{command}: exit status {child.returncode}: {said[-1500:]}")

    def look(self, where: str) -> None:
        """What ``check`` finds when nobody writes."""
        if not (self.root / "tables" / "records" / "_delta_log").is_dir():
            return
        try:
            found = [f for f in check(opened(self.spark.newSession(), self.root)) if f.breach]
        except DualsetError as problem:
            if "has no records" not in str(problem):  # the first ingest was killed
                self.faults.append(f"{where}: check: {problem}")
            return
        self.faults += [f"{where}: {finding.promise}: {finding.breach}" for finding in found]

    def set_clock(self) -> None:
        """All files were last changed at another time, as if the clock had been set."""
        step = self.chance.choice((-86_400, -3_600, 3_600, 86_400))
        for path in self.root.rglob("*"):
            if path.is_file():
                then = path.stat().st_mtime + step
                os.utime(path, (then, then))
        self.counts["clock set"] += 1

    def damage(self, where: str) -> None:
        """Delete a file that counts on a copy of the root, or cut it short, and see whether ``check`` notices."""
        files = [path for pattern in DAMAGED for path in self.root.glob(pattern)]
        for folder in self.root.glob("checkpoints/*/stream/offsets"):  # earlier ones are not read any more
            files += sorted(folder.glob("[0-9]*"), key=lambda path: int(path.name))[-1:]
        store = opened(self.spark, self.root).store
        for table in filter(store.exists, TABLES):
            names = store.read(table).inputFiles()  # a killed writer leaves others
            files += [Path(urlparse(name).path) for name in names]
        files = sorted(set(files))
        if not files:
            return
        victim, cut = self.chance.choice(files), self.chance.random() < 0.5
        copy = self.folder / "copy"
        shutil.copytree(self.root, copy)
        path = copy / victim.relative_to(self.root)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]) if cut else path.unlink()
        path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
        self.counts["damaged"] += 1
        noticed = any(finding.breach for finding in check(opened(self.spark.newSession(), copy)))
        if not noticed:
            self.faults.append(f"{where}: {victim.relative_to(self.root)} {'cut' if cut else 'deleted'}: check noticed nothing")
        shutil.rmtree(copy)

    def finish(self) -> None:
        """Do all that is left, and compare with the same commands one after the other."""
        roots.draw(FIRST[2]).save(self.first.folder / "images" / FIRST[2].name)
        with self.guarded("the end"):
            tortured, calm = self.settle(self.root), self.settle(self.folder / "calm")
            for table in roots.CHAIN_TABLES:
                self.faults += [f"{table}: {line}" for line in differences(tortured[table], calm[table])]
        self.look("the end")

    def settle(self, root: Path) -> dict[str, dict[str, Row]]:
        """Ingest both sources and run what waits; returns the current rows."""
        run = opened(self.spark.newSession(), root)
        for source in (self.first, self.second):
            roots.take(run, source)
        run_chain(run, ["ingest"])
        retry(run, "missing_file")
        run_chain(run)
        roots.check_complete(run)
        return {table: {str(k): row for k, row in roots.last_attempts(run, table).items()} for table in roots.CHAIN_TABLES}

    @contextlib.contextmanager
    def guarded(self, where: str) -> Iterator[None]:
        """Whatever is raised is a fault."""
        try:
            yield
        except Exception as problem:  # noqa: BLE001 - any is a fault that is reported
            self.faults.append(f"{where}: {type(problem).__name__}: {str(problem)[:2000]}")


TRAINING = (
    *("--model=embedded:clip_objects.json", "--checkpoint=embedded:clip_objects.safetensors", "--device=cpu"),
    *("--steps=2", "--warmup=1", "--batch-size=8", "--held-out=0"),
)

# What a check of a root of any size can notice: notes and logs, and the files of snapshots.
DAMAGED = ("checkpoints/*/generation/part-*", "snapshots/*/data/**/*.parquet")


def kill_tree(child: subprocess.Popen[bytes]) -> None:
    """Kill a command and its JVM at once, as a power cut does."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        driver = psutil.Process(child.pid)
        for process in (driver, *driver.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    child.wait()


def differences(tortured: dict[str, Row], calm: dict[str, Row]) -> list[str]:
    """A line for each key and column in which current rows differ."""
    lines = [f"only under torture: {key}" for key in tortured.keys() - calm.keys()]
    lines += [f"lost: {key}" for key in calm.keys() - tortured.keys()]
    for key in tortured.keys() & calm.keys():
        for name in tortured[key].keys() - set(INCIDENTAL):
            if tortured[key][name] != calm[key][name]:
                lines.append(f"{key}.{name}: {tortured[key][name]} instead of {calm[key][name]}")
    return lines


def torture(spark: SparkSession, folder: Path, seed: int, go_on: Callable[[int], bool]) -> Torture:
    """Rounds while ``go_on(number of the next)``, then the comparison."""
    root = Torture(spark, folder, random.Random(seed))
    try:
        number = 0
        while go_on(number) and not root.faults:
            root.round(number)
            number += 1
        if not root.faults:
            root.finish()
        root.counts["rounds"] = number
    finally:
        kill.sweep(root.mark)
    return root


def main() -> None:
    """The command; exits with 1 after the first round with a fault, and leaves the root."""
    from jobs.engine.session import open_session

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder, began = Path(tempfile.mkdtemp(prefix="dualset-torture-")), time.time()
    spark = open_session(load_settings(PROFILE, ["spark.driver_memory=1g"]))
    done = torture(spark, folder, options.seed, lambda number: time.time() - began < options.minutes * 60)
    spark.stop()
    print(f"seed {options.seed}: {dict(done.counts)}, {len(done.faults)} faults, {time.time() - began:.0f} s")
    for fault in done.faults:
        print(f"FAULT {fault}")
    if done.faults:
        sys.exit(f"the root is kept in {folder}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
