"""What Spark and Delta cost: images a second of ``segment`` through the engine against a bare loop over the same model.

    python bench/engine.py --images DIR --weights FILE --count 2000 --repeat 3

Both have two processes with one thread each and their model loaded beforehand, decode the same photographs with the same role and
write what they found. The loop reads files and writes one Parquet file, the engine reads its ``images`` table and commits.
Runs alternate, medians count. The fixed cost of a micro-batch is that of a run over one image.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from photographs import repeat

from jobs import ingest
from jobs.chain import fresh_from, run_chain
from jobs.session import open_session
from jobs.settings import Settings, load_settings
from jobs.sources import records
from jobs.stream import Run, finish, start
from jobs.tables import Store

ROLE, PROCESSES = "udfs.segmenter:Segmenter", 2
Times = dict[int, list[float]]  # seconds of each run, by the number of photographs
PARTS = ("load", "decode", "model", "encode")


def prepare(run: Run, folder: Path, images: Path, count: int) -> list[Path]:
    """A root that stands before ``segment``, with ``count`` photographs; returns their files."""
    options = repeat(folder, images, count)
    ingest.add(run, records(run.store.spark, "coco", options, run.settings.ingest))
    finish(start(ingest.STAGE, run), ingest.STAGE)
    run_chain(run, ["extract"])
    return sorted(Path(options["images"]).iterdir())


def through_spark(run: Run) -> float:
    """Seconds that ``segment`` takes over everything in a root."""
    fresh_from(run, "segment")
    begun = time.perf_counter()
    run_chain(run, ["segment"])
    return time.perf_counter() - begun


@contextmanager
def loop_processes(tree: str) -> Iterator[ProcessPoolExecutor]:
    """Processes that have loaded the model."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(PROCESSES, get_context("spawn"), _load, (tree,)) as pool:
        list(pool.map(_ready, range(4 * PROCESSES)))
        yield pool


def through_loop(pool: ProcessPoolExecutor, files: list[Path], batch_size: int, output: Path) -> tuple[float, dict[str, float]]:
    """Seconds that the bare loop takes, and where its processes spent theirs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    begun = time.perf_counter()
    chunks = [files[at : at + batch_size] for at in range(0, len(files), batch_size)]
    rows = [row for done in pool.map(_segment, chunks) for row in done]
    pq.write_table(pa.Table.from_pylist(rows), output)
    spent = time.perf_counter() - begun
    assert all(row["status"] == "ok" for row in rows), "the loop failed on a photograph"
    return spent, {part: sum(row["seconds"][part] for row in rows) for part in PARTS}


def _load(tree: str) -> None:
    global _worker  # noqa: PLW0603 - one model a process
    from udfs import clock
    from udfs.factory import Worker

    _worker = Worker(ROLE, tree)
    clock.collect()  # the engine's workers have loaded it before the measurement, too


def _ready(number: int) -> int:
    time.sleep(0.2)  # long enough for each process to get one
    return number


def _segment(files: list[Path]) -> list[dict[str, Any]]:
    rows = [{"image": path.read_bytes(), "annotations": None} for path in files]
    return [{"name": path.name} | row for path, row in zip(files, _worker(rows), strict=True)]


def spent_in_spark(run: Run) -> dict[str, float]:
    """What ``runs`` says of the last ``segment``: seconds of the workers by part, and how many micro-batches it had."""
    from pyspark.sql import functions as F

    mine = run.store.read("runs").where(F.col("stage") == "segment")
    last = mine.orderBy(F.desc("started_at")).first()
    assert last is not None, "segment has not run"
    sums = [*(F.sum(f"seconds.{part}").alias(part) for part in PARTS), F.count("*").alias("batches")]
    row = mine.where(F.col("generation") == last["generation"]).agg(*sums)
    return row.first().asDict()  # type: ignore[union-attr]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of JPEG photographs")
    parser.add_argument("--weights", required=True, help="weights of the segmenter")
    parser.add_argument("--count", type=int, default=2000, help="photographs; those that are there, repeated with changed bytes")
    parser.add_argument("--batch", type=int, default=1000, help="photographs a micro-batch")
    parser.add_argument("--repeat", type=int, default=3, help="alternating runs of each")
    options = parser.parse_args()
    sets = [f"segmenter.weights={Path(options.weights).resolve()}", f"ingest.batch_records={options.batch}"]
    settings = load_settings("photos", [*sets, f"spark.master=local[{PROCESSES}]", f"spark.partitions={PROCESSES}"])
    with tempfile.TemporaryDirectory(prefix="dualset-bench-") as name:
        measure(Path(name), options.images.resolve(), settings, options.count, options.repeat)


def measure(folder: Path, images: Path, settings: Settings, count: int, rounds: int) -> None:
    """Alternate the engine and the loop, and print rates, their ratio, and where the time went."""
    os.chdir(folder)
    spark, batch_size = open_session(settings), settings.segmenter.batch_size
    try:
        runs = {size: Run(Store.of(spark, str(folder / f"root{size}"), settings), settings) for size in (1, 8, count)}
        files = {size: prepare(run, folder / f"photographs{size}", images, size) for size, run in runs.items()}
        engine: Times = {1: [], count: []}
        loop: Times = {1: [], count: []}
        with loop_processes(settings.model_dump_json()) as pool:
            for number in range(rounds):
                through_spark(runs[8])  # both workers load the model: Spark ends workers that were idle for a minute
                for size in (1, count):
                    engine[size].append(through_spark(runs[size]))
                for size in (1, count):
                    seconds, parts = through_loop(pool, files[size], batch_size, folder / "loop.parquet")
                    loop[size].append(seconds)
                rates = [count / times[count][-1] for times in (engine, loop)]
                print(f"round {number}: engine {rates[0]:.2f}, loop {rates[1]:.2f} images/s", flush=True)
        in_spark = spent_in_spark(runs[count])
    finally:
        spark.stop()
    report(count, engine, loop, in_spark, parts)


def report(count: int, engine: Times, loop: Times, spark: dict[str, float], bare: dict[str, float]) -> None:
    """Print medians and, of the last run of each, the seconds by part."""
    (one, whole), (loop_one, loop_whole) = ([statistics.median(times[size]) for size in (1, count)] for times in (engine, loop))
    fixed = (one - loop_one) * spark["batches"]
    print(f"\n{count} photographs, {PROCESSES} processes with one thread each, median of {len(engine[count])} runs")
    print(f"bare loop                      {count / loop_whole:8.2f} images/s")
    print(f"engine                         {count / whole:8.2f} images/s   ratio {loop_whole / whole:.3f}")
    print(f"engine without fixed costs     {count / (whole - fixed):8.2f} images/s   ratio {loop_whole / (whole - fixed):.3f}")
    print(f"fixed cost of a micro-batch    {one - loop_one:8.2f} s          ({spark['batches']:.0f} micro-batches here)")
    print("\nseconds of both workers together, last run         engine     loop")
    for part in PARTS:
        print(f"  {part:<46} {spark[part]:8.1f} {bare[part]:8.1f}")
    rest = [PROCESSES * times[count][-1] - sum(spent[part] for part in PARTS) for times, spent in ((engine, spark), (loop, bare))]
    print(f"  {'all else: transport, waiting, write, commits':<46} {rest[0]:8.1f} {rest[1]:8.1f}")


if __name__ == "__main__":
    main()
