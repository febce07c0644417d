"""The cost of Spark and Delta: images a second of ``segment`` in the engine, against a bare loop over the same model.

    python -m tests.bench.engine --images DIR --weights FILE --count 2000 --repeat 3

Both use two processes with one thread each and a preloaded model, decode the same photographs, run the same role and write the
results. The loop reads files and writes one Parquet file; the engine reads its ``images`` table and commits. Runs alternate, and
medians are printed. The fixed cost of a micro-batch is measured as a run over one image.
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

from jobs import ingest
from jobs.chain import fresh_from, run_chain
from jobs.engine.session import open_session
from jobs.engine.stream import Run
from jobs.engine.tables import Store
from jobs.engine.versions import bring_up_to_date
from jobs.settings import Settings, load_settings
from jobs.sources import records
from tests.bench.photographs import repeat

ROLE, PROCESSES = "udfs.segment.segmenter:Segmenter", 2
Times = dict[int, list[float]]  # seconds of each run, by the number of photographs
PARTS = ("load", "decode", "model", "encode")


def prepare(run: Run, folder: Path, images: Path, count: int) -> list[Path]:
    """Ingest and extract ``count`` photographs, so that ``segment`` is next; returns their files."""
    options = repeat(folder, images, count)
    ingest.add(run, records(run.store.spark, "coco", options, run.settings.ingest))
    bring_up_to_date(ingest.STAGE, run)
    run_chain(run, ["extract"])
    return sorted(Path(options["images"]).iterdir())


def through_spark(run: Run) -> float:
    """Seconds that ``segment`` takes for all images of a root."""
    fresh_from(run, "segment")
    started = time.perf_counter()
    run_chain(run, ["segment"])
    return time.perf_counter() - started


@contextmanager
def loop_processes(tree: str) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes have loaded the model."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(PROCESSES, get_context("spawn"), _load, (tree,)) as pool:
        list(pool.map(_ready, range(4 * PROCESSES)))
        yield pool


def through_loop(pool: ProcessPoolExecutor, files: list[Path], batch_size: int, output: Path) -> tuple[float, dict[str, float]]:
    """Seconds that the bare loop takes, and the seconds of its processes by part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    started = time.perf_counter()
    chunks = [files[at : at + batch_size] for at in range(0, len(files), batch_size)]
    rows = [row for segmented in pool.map(_segment, chunks) for row in segmented]
    pq.write_table(pa.Table.from_pylist(rows), output)
    spent = time.perf_counter() - started
    assert all(row["status"] == "ok" for row in rows), "the loop failed on a photograph"
    return spent, {part: sum(row["seconds"][part] for row in rows) for part in PARTS}


def _load(tree: str) -> None:
    global _worker  # noqa: PLW0603 - one model a process
    from udfs import clock
    from udfs.worker import Worker

    _worker = Worker(ROLE, tree)
    clock.collect()  # discards the time of loading, which the engine's workers also spend before the measurement


def _ready(number: int) -> int:
    time.sleep(0.2)  # long enough for each process to get a task
    return number


def _segment(files: list[Path]) -> list[dict[str, Any]]:
    rows = [{"image": path.read_bytes(), "annotations": None} for path in files]
    return [{"name": path.name} | row for path, row in zip(files, _worker(rows), strict=True)]


def spent_in_spark(run: Run) -> dict[str, float]:
    """The last ``segment`` in the table ``runs``: seconds of the workers by part, and the number of micro-batches."""
    from pyspark.sql import functions as F

    segment_runs = run.store.read("runs").where(F.col("stage") == "segment")
    last = segment_runs.orderBy(F.desc("started_at")).first()
    assert last is not None, "segment has not run"
    sums = [*(F.sum(f"seconds.{part}").alias(part) for part in PARTS), F.count("*").alias("batches")]
    row = segment_runs.where(F.col("generation") == last["generation"]).agg(*sums)
    return row.first().asDict()  # type: ignore[union-attr]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of JPEG photographs")
    parser.add_argument("--weights", required=True, help="weights of a YOLO segmenter")
    parser.add_argument("--count", type=int, default=2000, help="number of photographs; those in --images are repeated")
    parser.add_argument("--batch", type=int, default=1000, help="photographs a micro-batch")
    parser.add_argument("--repeat", type=int, default=3, help="number of alternating runs")
    options = parser.parse_args()
    sets = [f"segmenter.weights={Path(options.weights).resolve()}", f"ingest.batch_records={options.batch}"]
    settings = load_settings("photos", [*sets, f"spark.master=local[{PROCESSES}]", f"spark.partitions={PROCESSES}"])
    with tempfile.TemporaryDirectory(prefix="dualset-bench-") as name:
        measure(Path(name), options.images.resolve(), settings, options.count, options.repeat)


def measure(folder: Path, images: Path, settings: Settings, count: int, rounds: int) -> None:
    """Alternate the engine and the loop; print rates, their ratio, and the time by part."""
    os.chdir(folder)
    spark, batch_size = open_session(settings), settings.segmenter.batch_size
    try:
        runs = {size: Run(Store.of(spark, str(folder / f"root{size}"), settings), settings) for size in (1, 8, count)}
        files = {size: prepare(run, folder / f"photographs{size}", images, size) for size, run in runs.items()}
        engine: Times = {1: [], count: []}
        loop: Times = {1: [], count: []}
        with loop_processes(settings.model_dump_json()) as pool:
            for number in range(rounds):
                through_spark(runs[8])  # both workers load the model again: Spark stops workers after a minute without work
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
    """Print medians, and the seconds by part of the last run of each."""
    single, full = (statistics.median(engine[size]) for size in (1, count))
    loop_single, loop_full = (statistics.median(loop[size]) for size in (1, count))
    fixed = (single - loop_single) * spark["batches"]
    print(f"\n{count} photographs, {PROCESSES} processes with one thread each, median of {len(engine[count])} runs")
    print(f"bare loop                      {count / loop_full:8.2f} images/s")
    print(f"engine                         {count / full:8.2f} images/s   ratio {loop_full / full:.3f}")
    print(f"engine without fixed costs     {count / (full - fixed):8.2f} images/s   ratio {loop_full / (full - fixed):.3f}")
    print(f"fixed cost of a micro-batch    {single - loop_single:8.2f} s          ({spark['batches']:.0f} micro-batches here)")
    print("\nseconds of both workers together, last run         engine     loop")
    for part in PARTS:
        print(f"  {part:<46} {spark[part]:8.1f} {bare[part]:8.1f}")
    rest = [PROCESSES * times[count][-1] - sum(spent[part] for part in PARTS) for times, spent in ((engine, spark), (loop, bare))]
    print(f"  {'the rest: transport, waiting, write, commits':<46} {rest[0]:8.1f} {rest[1]:8.1f}")


if __name__ == "__main__":
    main()
