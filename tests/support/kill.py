"""Kill the chain at chosen moments, start it again until it is done, and compare with a run that nobody disturbed.

    python -m tests.support.kill --points 10 --seed 0 --images DIR --captions FILE --weights FILE

A point is a stage, a moment in it and a victim: the Python driver and its JVM together, or one of them. Moments are seen in the
folders of tables and checkpoints, so that even short gaps are hit, such as between the commits of a table and a checkpoint.
"""

import argparse
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.originals import Originals, first_images

STAGES = {  # and the table that each fills
    "add": "records", "ingest": "images", "extract": "components", "segment": "instances", "plan": "families",
    "rewrite": "dual_texts", "inpaint": "dual_images", "recheck": "rechecks", "score": "scores",
}  # fmt: skip
MOMENTS = {
    "create": "the table's folder is there, its first commit is not",
    "note": "the checkpoint's generation is being written",
    "offset": "a micro-batch has begun",
    "data": "its files are being written, nothing is committed",
    "commit": "the table is committed, `runs` and the checkpoint are not",
    "recorded": "`runs` is committed, the checkpoint is not",
    "random": "any time between the end of the stage before and of this one",
}
VICTIMS = ("both", "both", "driver", "jvm")  # how often each is drawn
PATIENCE_S = 900  # a child that takes longer is stuck
LAST_S = 60  # seconds within which a process must end after its partner was killed


class Stuck(AssertionError):
    """The chain did not come back: a restart failed, or a process would not end."""


@dataclass(frozen=True)
class Point:
    """When to kill whom. ``batch`` counts the micro-batches of the stage, ``share`` places a random moment in it."""

    stage: str
    batch: int
    moment: str
    victim: str
    share: float

    def __str__(self) -> str:
        return f"{self.stage} batch {self.batch} {self.moment} {self.share:.2f} -> {self.victim}"

    @property
    def position(self) -> tuple[int, int, int]:
        """Where it comes in a run, for sorting."""
        return list(STAGES).index(self.stage), self.batch, list(MOMENTS).index(self.moment)


@dataclass
class Source:
    """What is run: a few originals in COCO's format, the settings, and a folder for everything that the processes leave."""

    images: Path
    captions: Path
    settings: tuple[str, ...]
    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def cut(cls, originals: Originals, folder: Path, count: int, batch: int) -> "Source":
        """The first ``count`` originals, ``batch`` of them per ingest batch."""
        for name in ("local", "cwd", "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        settings = (*originals.segmenter, f"ingest.batch_records={batch}", "spark.driver_memory=1g")
        return cls(originals.images, first_images(originals.captions, folder, count), settings, folder)

    def commands(self, root: Path) -> dict[str, list[str]]:
        """The two commands that make all tables, with the stages that each runs."""
        common = ["--root", str(root), *(word for setting in self.settings for word in ("--set", setting))]
        source = ["--images", str(self.images), "--captions", str(self.captions)]
        return {"ingest": ["ingest", "coco", *source, *common], "run": ["run", *common]}

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """A child that runs ``dualset`` in a process group of its own."""
        local, tmp = str(self.folder / "local"), str(self.folder / "tmp")
        environment = os.environ | {"SPARK_LOCAL_DIRS": local, "TMPDIR": tmp, "OMP_NUM_THREADS": "1", "DUALSET_MARK": self.mark}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "jobs.cli", *command],
                stdout=log, stderr=log, cwd=self.folder / "cwd", env=environment, start_new_session=True,
            )  # fmt: skip

    def log_tail(self) -> str:
        """The last lines that the children wrote."""
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-30:])

    def sweep(self) -> None:
        """End whatever is left of the children, Spark's Python workers included."""
        sweep(self.mark)


class Watch:
    """Sees a moment coming in the folders of a root, for one child."""

    def __init__(self, root: Path, point: Point, timeline: dict[str, tuple[float, float]]) -> None:
        self.point, self.started = point, time.time()
        self.table, self.runs = root / "tables" / STAGES[point.stage], root / "tables" / "runs" / "_delta_log"
        self.log, self.checkpoint = self.table / "_delta_log", root / "checkpoints" / point.stage
        self.batches, self.files = commits(self.log), _names(self.table)
        self.recorded: int | None = None
        self.delay = point.share * timeline[point.stage][1]
        before = list(STAGES)[max(0, list(STAGES).index(point.stage) - 1)]
        self.before = root / "tables" / STAGES[before] / "_delta_log", timeline[before][0]
        if point.stage == "add" or commits(self.before[0]) >= self.before[1]:
            self.delay += timeline["start"][1]  # the child gets there at once, but has to start first

    def is_due(self) -> bool:
        """Whether the moment has come."""
        point, done = self.point, commits(self.log) - 1  # the first commit makes the table
        if point.moment == "random":
            return self._is_late_enough()
        if point.moment == "create":
            return self.log.is_dir() and done < 0
        if point.moment == "note":
            return (self.checkpoint / "generation").is_dir() and not (self.checkpoint / "stream").is_dir()
        if point.moment == "offset":
            return str(point.batch) in _names(self.checkpoint / "stream" / "offsets") and done <= point.batch
        if point.moment == "data":
            return done == point.batch and any(name.endswith(".parquet") for name in _names(self.table) - self.files)
        if done <= point.batch or str(point.batch) in _names(self.checkpoint / "stream" / "commits"):
            return False
        if self.recorded is None:
            self.recorded = commits(self.runs)
        return point.moment == "commit" or commits(self.runs) > self.recorded

    def _is_late_enough(self) -> bool:
        if self.point.stage != "add" and commits(self.before[0]) < self.before[1]:
            self.started = time.time()
        return time.time() - self.started >= self.delay


def marked(mark: str) -> list[psutil.Process]:
    """The living processes that were started with ``DUALSET_MARK=mark``, and all that they started."""
    return [process for process in psutil.process_iter() if _environment(process).get("DUALSET_MARK") == mark]


def sweep(mark: str) -> None:
    """End all marked processes, by their ids."""
    processes = marked(mark)
    for process in processes:
        _kill(process)
    psutil.wait_procs(processes, timeout=LAST_S)


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself, or with its partner
        process.kill()


def commits(log: Path) -> int:
    """How many commits a Delta log holds."""
    return sum(name.endswith(".json") and not name.startswith(".") for name in _names(log))


def undisturbed(source: Source, root: Path) -> dict[str, tuple[float, float]]:
    """Run everything once; returns (commits, seconds) by stage, and under ``start`` the seconds before anything is written."""
    began = time.time()
    for command in source.commands(root).values():
        _finish(source, source.start(command))
    return timeline_of(root, began)


def timeline_of(root: Path, began: float) -> dict[str, tuple[float, float]]:
    """What ``undisturbed`` returns, of a root that was begun then."""
    timeline: dict[str, tuple[float, float]] = {}
    previous = began
    for stage, table in STAGES.items():
        written = sorted(path.stat().st_mtime for path in (root / "tables" / table / "_delta_log").glob("*.json"))
        timeline[stage] = (len(written), written[-1] - previous)
        if stage == "add":
            timeline["start"] = (0, written[0] - began)
        previous = written[-1]
    return timeline


def draw(count: int, seed: int, timeline: dict[str, tuple[float, float]], moments: Sequence[str] = tuple(MOMENTS)) -> list[Point]:
    """``count`` points, as evenly over the stages as can be."""
    generator, points, stages = random.Random(seed), [], [""]
    for _ in range(count):
        stages = stages[1:] or generator.sample(list(STAGES), len(STAGES))
        stage = stages[0]
        # Adding records is one commit without a checkpoint.
        fitting = [moment for moment in moments if stage != "add" or moment in ("create", "data", "random")] or ["random"]
        moment, batches = generator.choice(fitting), int(timeline[stage][0]) - 1
        batch = 0 if moment in ("create", "note", "random") else generator.randrange(batches)
        points.append(Point(stage, batch, moment, generator.choice(VICTIMS), generator.random()))
    return sorted(points, key=lambda point: point.position)


def disturbed(source: Source, root: Path, points: Sequence[Point], timeline: dict[str, tuple[float, float]]) -> list[Point]:
    """Run everything, with a kill at each point and a restart after it; returns the points that were hit.

    What the root has already is not ingested again.
    """
    hit: list[Point] = []
    for name, command in source.commands(root).items():
        if name == "ingest" and root.exists():
            continue
        targets = [point for point in points if (point.stage in ("add", "ingest")) == (name == "ingest")]
        hit += [point for point in targets if attack(source, root, command, point, timeline)]
        _finish(source, source.start(command))
    return hit


def attack(source: Source, root: Path, command: Sequence[str], point: Point, timeline: dict[str, tuple[float, float]]) -> bool:
    """Start a command and kill it at the point; false if it was done before the moment came."""
    watch, child = Watch(root, point, timeline), source.start(command)
    while not watch.is_due():
        if child.poll() is not None:
            _finish(source, child)
            return False
        if time.time() - watch.started > PATIENCE_S:
            source.sweep()
            raise Stuck(f"waited in vain for {point}\n{source.log_tail()}")
        time.sleep(0.002)
    with (source.folder / "log").open("a") as log:
        log.write(f"--- kill: {point}\n")
    driver = psutil.Process(child.pid)
    jvm = [process for process in driver.children() if process.name() == "java"]
    for process in [driver] * (point.victim != "jvm") + jvm * (point.victim != "driver"):
        _kill(process)
    ended, alive = psutil.wait_procs([driver, *jvm], timeout=LAST_S)
    child.wait() if driver in ended else None
    source.sweep()
    if alive:
        raise Stuck(f"{[process.name() for process in alive]} outlived its partner by {LAST_S} s at {point}")
    return True


def _finish(source: Source, child: subprocess.Popen[bytes]) -> None:
    try:
        code = child.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        code = -1
    finally:
        source.sweep()
    if code:
        raise Stuck(f"{' '.join(map(str, child.args[3:5]))} ended with {code}\n{source.log_tail()}")  # type: ignore[index]


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return set()


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def main() -> int:
    """The command; exit code 1 if the tables differ, or a point was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--points", type=int, default=10, help="kills in all")
    parser.add_argument("--per-root", type=int, default=5, help="kills that one root suffers before its tables are compared")
    parser.add_argument("--seed", type=int, default=0, help="of the points")
    parser.add_argument(
        "--moments", default=",".join(MOMENTS), help="comma-separated: " + "; ".join(f"{k}: {v}" for k, v in MOMENTS.items())
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of COCO photographs")
    parser.add_argument("--captions", type=Path, required=True, help="captions JSON")
    parser.add_argument("--weights", required=True, help="weights of the segmenter")
    parser.add_argument("--count", type=int, default=12, help="photographs taken")
    parser.add_argument("--batch", type=int, default=6, help="photographs in an ingest batch")
    parser.add_argument("--keep", type=Path, help="leave roots and logs in this folder")
    options = parser.parse_args()
    folder = (options.keep or Path(tempfile.mkdtemp(prefix="dualset-kill-"))).resolve()
    segmenter = (f"segmenter.weights={Path(options.weights).resolve()}",)
    originals = Originals("photographs", options.images.resolve(), options.captions, options.captions, (), segmenter)
    source = Source.cut(originals, folder, options.count, options.batch)
    try:
        return _all_points(source, folder, options)
    finally:
        source.sweep()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _all_points(source: Source, folder: Path, options: argparse.Namespace) -> int:
    from tests.support.same_tables import differences

    timeline = undisturbed(source, folder / "whole")
    print("undisturbed:", ", ".join(f"{stage} {spent[1]:.0f} s" for stage, spent in timeline.items()), flush=True)
    points = draw(options.points, options.seed, timeline, options.moments.split(","))
    rounds, missed = -(-len(points) // options.per_root), 0
    for number in range(rounds):
        hit = disturbed(source, folder / f"killed{number}", points[number::rounds], timeline)
        missed += len(points[number::rounds]) - len(hit)
        for point in points[number::rounds]:
            print(f"round {number}: {'killed' if point in hit else 'missed'}: {point}", flush=True)
    os.chdir(folder / "cwd")
    from jobs.engine.session import open_session
    from jobs.settings import load_settings

    spark, unequal = open_session(load_settings("photos", ["spark.driver_memory=1g"])), []
    for number in range(rounds):
        lines = differences(spark, str(folder / "whole"), str(folder / f"killed{number}"))
        print(*(f"round {number}: {line}" for line in lines[:25]), sep="\n")
        unequal += lines
    spark.stop()
    print(f"{len(unequal)} differences" if unequal else f"all tables of {rounds} killed roots equal the undisturbed one's")
    print(f"killed at {len(points) - missed} of {len(points)} points" + ("; take another seed" if missed else ""))
    return int(bool(unequal or missed))


if __name__ == "__main__":
    sys.exit(main())
