"""Two commands on one root at the same time; `python -m tests.support.two_writers` tries all pairs."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.chain import run_chain
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
