"""A pair that lacks a measure, because a model had no answer for a part of it, says so: the policy would pass over a null."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import score
from jobs.engine import similarity
from jobs.settings import validate_settings

# record, subset, image, removed labels, caption, original caption; where the embedder has no answer stands "bad".
PAIRS = {
    ("whole", 0, "image", ("dog",), "a dog", "a dog"): "ok",
    ("whole", 1, "image", ("dog",), "a lawn", "a dog on a lawn"): "ok",
    ("caption", 1, "image", ("dog",), "a bad lawn", "a dog on a lawn"): "worker_died",
    ("original", 1, "image", ("dog",), "a lawn", "a bad dog on a lawn"): "worker_died",
    ("pixels", 0, "bad image", ("dog",), "a dog", "a dog"): "worker_died",
    ("pixels", 1, "image", ("dog",), "a lawn", "a dog on a lawn"): "worker_died",  # its original has no vector
    ("label", 1, "image", ("bad dog", "cat"), "a lawn", "a lawn"): "worker_died",
    ("untold", 1, "image", ("dog",), None, "a dog"): "not_rewritable",
}


def fails_where_bad(role: str, *_: object, **__: object) -> Callable[[Column], Column]:
    """A model that has no answer for rows with "bad" in them, as a column."""
    part = "text" if role.endswith("TextEmbedder") else "image"

    def answer(row: Column) -> Column:
        bad = row[part].contains("bad")
        return F.struct(
            F.when(~bad, F.array(F.lit(0.6).cast("float"), F.lit(0.8).cast("float"))).alias("embedding"),
            F.when(~bad, F.lit(0.9)).alias("probability"),
            F.when(bad, "worker_died").otherwise("ok").alias("status"),
            F.struct(F.lit(0.1).alias("model")).alias("seconds"),
        )

    return answer


@pytest.fixture
def pairs(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> DataFrame:
    monkeypatch.setattr(similarity, "model_udf", fails_where_bad)
    columns = "record_id STRING, subset INT, image STRING, removed ARRAY<STRING>, caption STRING, original STRING"
    rows = spark.createDataFrame([(*row[:3], list(row[3]), *row[4:]) for row in PAIRS], columns)
    status = {"caption_status": F.lit("ok"), "text_status": F.when(F.isnull("caption"), "not_rewritable").otherwise("ok")}
    return rows.withColumns(status)


def batch_of(pairs: DataFrame, *settings: str) -> SimpleNamespace:
    missing = pairs.select("record_id", F.lit(0).alias("subset"), F.lit("image").alias("image"))
    originals = missing.join(pairs, on=["record_id", "subset"], how="left_anti").distinct()
    images = pairs.select("record_id", "subset", "image").unionByName(originals)
    tree = {"embedder": {"model": "fake", "checkpoint": "fake"}, "judge": {"image_text": "fake" if settings else ""}}
    return SimpleNamespace(settings=validate_settings(tree), lookup=lambda table: images, keep=lambda rows: rows)


def statuses(scored: DataFrame) -> dict[tuple[str, int], str]:
    rows = scored.withColumn("status", F.expr(score.STATUS)).collect()
    return {(row["record_id"], row["subset"]): row["status"] for row in rows}


def test_a_pair_with_a_part_that_has_no_embedding_is_not_ok(pairs: DataFrame) -> None:
    batch = batch_of(pairs)
    scored = similarity.add_judge(batch, similarity.add_clip(batch, pairs))  # type: ignore[arg-type]
    assert statuses(scored) == {(row[0], row[1]): status for row, status in PAIRS.items()}
    assert all(row["clip_true"] == pytest.approx(1.0) for row in scored.where("record_id = 'whole'").collect())


def test_a_pair_that_the_judge_has_no_answer_for_is_not_ok(pairs: DataFrame) -> None:
    batch = batch_of(pairs, "judge")
    unmeasured = pairs.withColumn("clip_status", F.lit(None).cast("string"))
    judged = statuses(similarity.add_judge(batch, unmeasured))  # type: ignore[arg-type]
    assert judged == dict.fromkeys(judged, "ok") | {("pixels", 0): "worker_died", ("untold", 1): "not_rewritable"}
