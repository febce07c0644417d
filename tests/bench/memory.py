"""Whether memory grows with the data: peak memory of the whole chain over few and over many photographs.

    python -m tests.bench.memory --images DIR --captions FILE --instances FILE [--weights FILE] --counts 200,2000

Samples the processes of ``dualset ingest`` and ``dualset run``: the Python driver, its JVM and Spark's Python workers. RSS counts
pages that forked workers share more than once. The JVM's heap is small, because a large one grows before it is collected. With
``--touched`` the JVM takes its whole heap at the start, so any further growth is not the heap's.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from jobs.engine.session import LOCAL_JVM
from tests.bench.photographs import repeat

KINDS = ("driver", "jvm", "workers", "largest worker", "all")


def sample(driver: psutil.Process) -> dict[str, float]:
    """RSS in MiB of a process and its descendants, by kind."""
    sizes = dict.fromkeys(KINDS, 0.0)
    for process in [driver, *driver.children(recursive=True)]:
        try:
            size, name, command = process.memory_info().rss / 2**20, process.name(), process.cmdline()
        except psutil.Error:  # the process has just ended
            continue
        kind = "driver" if process == driver else "jvm" if name == "java" else "workers" if "pyspark.daemon" in command else ""
        if kind:
            sizes[kind] += size
            sizes["all"] += size
        if kind == "workers":
            sizes["largest worker"] = max(sizes["largest worker"], size)
    return sizes


def peaks(arguments: list[str], folder: Path) -> dict[str, float]:
    """The highest memory of each kind while a command runs, in MiB.

    Raises:
        subprocess.CalledProcessError: the command failed; its output is in ``folder/log``.
    """
    highest = dict.fromkeys(KINDS, 0.0)
    environment = os.environ | {"SPARK_LOCAL_DIRS": str(folder / "local"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "jobs.cli", *arguments]
    with (folder / "log").open("ab") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    driver = psutil.Process(child.pid)
    while child.poll() is None:
        try:
            highest = {kind: max(highest[kind], size) for kind, size in sample(driver).items()}
        except psutil.NoSuchProcess:
            break
        time.sleep(0.2)
    if child.wait():
        sys.stderr.write((folder / "log").read_text(errors="replace")[-3000:])
        raise subprocess.CalledProcessError(child.returncode, command)
    return highest


def whole_chain(folder: Path, options: argparse.Namespace, count: int) -> dict[str, float]:
    """Peaks of ingest and run over ``count`` photographs, in MiB."""
    folder.mkdir()
    source = repeat(folder / "source", options.images.resolve(), count, options.captions, options.instances)
    segmenter = f"segmenter.weights={options.weights.resolve()}" if options.weights else "segmenter.kind=annotations"
    sets = [segmenter, f"ingest.batch_records={options.batch}", f"spark.driver_memory={options.driver_memory}"]
    if options.touched:
        java = f"{LOCAL_JVM} -Xms{options.driver_memory} -XX:+AlwaysPreTouch"
        sets.append(f"spark.conf={json.dumps({'spark.driver.extraJavaOptions': java})}")
    common = ["--root", str(folder / "root"), *(argument for setting in sets for argument in ("--set", setting))]
    files = [argument for name, value in source.items() for argument in (f"--{name}", value)]
    commands = [peaks(["ingest", "coco", *files, *common], folder), peaks(["run", *common], folder)]
    return {kind: max(peak[kind] for peak in commands) for kind in KINDS}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of JPEG photographs")
    parser.add_argument("--captions", type=Path, required=True, help="COCO captions JSON")
    parser.add_argument("--instances", type=Path, help="COCO instances JSON, used as the segmenter unless --weights is given")
    parser.add_argument("--weights", type=Path, help="weights of a YOLO segmenter")
    parser.add_argument("--counts", default="200,2000", help="numbers of photographs, smallest first")
    parser.add_argument("--batch", type=int, default=100, help="photographs a micro-batch, the same for all counts")
    parser.add_argument("--driver-memory", default="1g", help="heap of the JVM")
    parser.add_argument("--touched", action="store_true", help="let the JVM take its whole heap at the start")
    options = parser.parse_args()
    if not options.instances and not options.weights:
        parser.error("give --instances or --weights")
    counts = [int(count) for count in options.counts.split(",")]
    with tempfile.TemporaryDirectory(prefix="dualset-bench-") as name:
        by_count = {count: whole_chain(Path(name) / str(count), options, count) for count in counts}
    print("peak MiB".ljust(16), *(f"{count:>10}" for count in counts), "     ratio")
    for kind in KINDS:
        sizes = [by_count[count][kind] for count in counts]
        print(f"{kind:<16}", *(f"{size:10.0f}" for size in sizes), f"{sizes[-1] / sizes[0]:10.2f}")


if __name__ == "__main__":
    main()
