"""With a catalog configured, tables and views are names in it, and only checkpoints and locks are written to a path."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.chain import run_chain
from jobs.engine.views import VIEWS, create_views
from tests.support import roots
from tests.support.roots import Picture, Source

PETS = Picture("pets.png", ["A dog and a cat."], (("dog", (8, 10, 28, 40)), ("cat", (60, 20, 84, 50))))


@pytest.fixture
def schema_name(spark: SparkSession) -> Iterator[str]:
    name = f"dualset_{uuid.uuid4().hex[:8]}"
    yield name
    spark.sql(f"DROP SCHEMA IF EXISTS spark_catalog.{name} CASCADE")


def test_the_chain_fills_a_catalog_schema(spark: SparkSession, tmp_path: Path, schema_name: str) -> None:
    run = roots.open_root(spark, tmp_path / "root", "catalog=spark_catalog", f"schema_name={schema_name}")
    source = Source(tmp_path / "source").write(PETS)
    assert roots.take(run, source) == 1
    run_chain(run)
    assert roots.take(run, source) == 0, "the same record is known by the catalog's table"
    roots.check_complete(run)

    create_views(run.store, run.settings)
    spark.range(1).createOrReplaceTempView("of_the_session")  # temporary views are listed under every schema
    shown = spark.sql(f"SHOW TABLES IN spark_catalog.{schema_name}").collect()
    listed = {row["tableName"] for row in shown if not row["isTemporary"]}
    assert listed == {*roots.CHAIN_TABLES, "runs", *VIEWS}
    names = f"spark_catalog.{schema_name}"
    pairs = spark.sql(f"SELECT removed, caption FROM {names}.augmented WHERE size(removed) < 2").collect()
    texts = {"": "A dog and a cat.", "dog": "A cat.", "cat": "A dog."}
    assert {("".join(row["removed"]), row["caption"]) for row in pairs} == set(texts.items())
    sample_captions = {row["caption"] for row in spark.sql(f"SELECT caption FROM {names}.samples").collect()}
    assert sample_captions <= set(texts.values()) and texts[""] in sample_captions
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == ["checkpoints", "locks"]
