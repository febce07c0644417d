"""Two commands on one root at the same time; `python -m tests.support.two_writers` tries all pairs."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.chain import run_chain
from jobs.engine.writers import writing
from tests.support import roots
from tests.support.roots import Source
from tests.support.two_writers import FIRST, opened, together


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(tmp_path_factory.mktemp("source")).write(*FIRST)


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_two_ingests_into_a_new_root(spark: SparkSession, source: Source, tmp_path: Path, offset: float) -> None:
    def ingest() -> None:
        run = opened(spark.newSession(), tmp_path)
        roots.take(run, source)
        run_chain(run, ["ingest"])

    assert together([ingest, ingest], offset) == []
    run = opened(spark, tmp_path)
    for table in ("records", "images"):
        names = [row["source_key"] for row in roots.rows(run, table, "source_key")]
        assert sorted(names) == sorted(picture.name for picture in FIRST), table


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_two_runs_of_a_stage(spark: SparkSession, source: Source, tmp_path: Path, offset: float) -> None:
    run = opened(spark, tmp_path)
    roots.take(run, source)
    run_chain(run, ["ingest"])
    said: list[str] = []

    def extract() -> None:
        mine = opened(spark.newSession(), tmp_path)
        mine.say = said.append
        run_chain(mine, ["extract"])

    assert together([extract, extract], offset) == []
    assert len(roots.last_attempts(run, "components")) == 2, "no key twice, no row lost"
    assert len({row["generation"] for row in roots.rows(run, "runs") if row["stage"] == "extract"}) == 1
    assert len(said) <= 1 and all("components is being written by" in line for line in said)


def test_the_writers_of_runs_wait_for_each_other(spark: SparkSession, source: Source, tmp_path: Path) -> None:
    """Every stage writes to it, so no stage's own lock covers it; and on S3 Delta does not keep two sessions apart."""
    run = opened(spark, tmp_path)
    roots.take(run, source)
    with ThreadPoolExecutor(1) as thread:
        with writing(run.store.root, ["runs"]):
            done = thread.submit(run_chain, opened(spark.newSession(), tmp_path), ["ingest"])
            until = time.monotonic() + 120
            while run.store.is_empty("images") and time.monotonic() < until:
                time.sleep(0.5)
            time.sleep(1)
            assert len(roots.rows(run, "images")) == 3 and run.store.is_empty("runs") and not done.done()
        done.result()
    assert len(roots.rows(run, "runs")) == 1
