"""Does memory grow with the data? Peak memory of a whole run of the chain over few and over many photographs.

    python bench/memory.py --images DIR --captions FILE --instances FILE [--weights FILE] --counts 200,2000

The processes of ``dualset ingest`` and ``dualset run`` are sampled: the Python driver, its JVM and Spark's Python workers. RSS
counts pages that forked workers share more than once. The JVM's heap is small, as a large one grows before it is cleaned; with
``--touched`` all of it is taken at the start, so that what still grows is something else.
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
from photographs import repeat

from jobs.session import LOCAL_JVM

KINDS = ("driver", "jvm", "workers", "largest worker", "all")


def sample(driver: psutil.Process) -> dict[str, float]:
    """RSS in MiB of a child and of what it started, by kind."""
    found = dict.fromkeys(KINDS, 0.0)
    for process in [driver, *driver.children(recursive=True)]:
        try:
            size, name, command = process.memory_info().rss / 2**20, process.name(), process.cmdline()
        except psutil.Error:  # it has just ended
            continue
        kind = "driver" if process == driver else "jvm" if name == "java" else "workers" if "pyspark.daemon" in command else ""
        if kind:
            found[kind] += size
            found["all"] += size
        if kind == "workers":
            found["largest worker"] = max(found["largest worker"], size)
    return found


def peaks(arguments: list[str], folder: Path) -> dict[str, float]:
    """The highest of each kind while a command runs.

    Raises:
        subprocess.CalledProcessError: the command failed; what it wrote is in ``folder/log``.
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
    """Peaks of ingest and run over ``count`` photographs."""
    folder.mkdir()
    source = repeat(folder / "source", options.images.resolve(), count, options.captions, options.instances)
    chosen = f"segmenter.weights={options.weights.resolve()}" if options.weights else "segmenter.kind=annotations"
    sets = [chosen, f"ingest.batch_records={options.batch}", f"spark.driver_memory={options.driver_memory}"]
    if options.touched:
        java = f"{LOCAL_JVM} -Xms{options.driver_memory} -XX:+AlwaysPreTouch"
        sets.append(f"spark.conf={json.dumps({'spark.driver.extraJavaOptions': java})}")
    common = ["--root", str(folder / "root"), *(word for one in sets for word in ("--set", one))]
    given = [word for name, value in source.items() for word in (f"--{name}", value)]
    found = [peaks(["ingest", "coco", *given, *common], folder), peaks(["run", *common], folder)]
    return {kind: max(one[kind] for one in found) for kind in KINDS}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of JPEG photographs")
    parser.add_argument("--captions", type=Path, required=True, help="COCO captions JSON")
    parser.add_argument("--instances", type=Path, help="COCO instances JSON: the segmenter, unless --weights is given")
    parser.add_argument("--weights", type=Path, help="weights of a YOLO segmenter")
    parser.add_argument("--counts", default="200,2000", help="numbers of photographs, smallest first")
    parser.add_argument("--batch", type=int, default=100, help="photographs a micro-batch: the same for all counts")
    parser.add_argument("--driver-memory", default="1g", help="heap of the JVM")
    parser.add_argument("--touched", action="store_true", help="let the JVM take its whole heap at the start")
    options = parser.parse_args()
    if not options.instances and not options.weights:
        parser.error("give --instances or --weights")
    counts = [int(count) for count in options.counts.split(",")]
    with tempfile.TemporaryDirectory(prefix="dualset-bench-") as name:
        found = {count: whole_chain(Path(name) / str(count), options, count) for count in counts}
    print("peak MiB".ljust(16), *(f"{count:>10}" for count in counts), "     ratio")
    for kind in KINDS:
        sizes = [found[count][kind] for count in counts]
        print(f"{kind:<16}", *(f"{size:10.0f}" for size in sizes), f"{sizes[-1] / sizes[0]:10.2f}")


if __name__ == "__main__":
    main()
