"""The CLIP and judge columns of ``scores``: each distinct image and text is embedded once, similarities are computed in SQL."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.engine.stream import Batch
from udfs.factory import model_udf

EMBEDDING = "embedding ARRAY<FLOAT>"
LABEL_PROMPT = "a photo of a {}"


def add_clip(batch: Batch, pairs: DataFrame) -> DataFrame:
    """Add ``clip_true``, ``clip_original``, ``clip_drop``, ``clip_image`` (cosines, or differences) and ``embed_seconds``.

    ``clip_status`` is why one of them is missing: the status of an image or text that has no embedding; null if all have.
    ``clip_drop`` is the similarity with a removed label's prompt in the original less that in the dual image, averaged over the
    removed labels; null for the original.
    """
    images = batch.keep(_images(batch, pairs))
    texts = _texts(batch, pairs)
    originals = images.where("subset = 0").select(
        "record_id", F.col("vector").alias("vector0"), F.col("embed_status").alias("original_status")
    )
    prompts = pairs.select("record_id", "subset", F.explode("removed").alias("label")).distinct()
    drops = (
        prompts.withColumn("text", F.format_string(LABEL_PROMPT.replace("{}", "%s"), "label"))
        .join(texts, on="text", how="inner")
        .join(images, on=["record_id", "subset"], how="inner")
        .join(originals, on="record_id", how="inner")
        .groupBy("record_id", "subset")
        .agg(
            F.mean(_dot("vector0", "text_vector") - _dot("vector", "text_vector")).alias("clip_drop"),
            F.max(_not_ok("text_status")).alias("label_status"),
        )
    )
    true = texts.withColumnsRenamed({"text": "caption", "text_vector": "true_vector", "text_status": "true_status"})
    whole = texts.withColumnsRenamed({"text": "original", "text_vector": "original_vector", "text_status": "whole_status"})
    statuses = ("embed_status", "original_status", "true_status", "whole_status", "label_status")
    return (
        pairs.join(images, on=["record_id", "subset"], how="left")
        .join(originals, on="record_id", how="left")
        .join(drops, on=["record_id", "subset"], how="left")
        .join(true, on="caption", how="left")
        .join(whole, on="original", how="left")
        .withColumn("clip_true", _dot("vector", "true_vector"))
        .withColumn("clip_original", _dot("vector", "original_vector"))
        .withColumn("clip_image", _dot("vector", "vector0"))
        .withColumn("clip_status", F.coalesce(*map(_not_ok, statuses)))
        .drop("vector", "vector0", "true_vector", "original_vector", *statuses)
    )


def add_judge(batch: Batch, pairs: DataFrame) -> DataFrame:
    """Add ``judge``: the probability that an image-text matching model gives the pair; null where none is configured.

    ``judge_status`` is why the model gave none; null if it did.
    """
    if not batch.settings.judge.image_text:
        return pairs.withColumns({"judge": F.lit(None).cast("double"), "judge_status": F.lit(None).cast("string")})

    judge = model_udf("udfs.judge.image_text:ImageTextJudge", batch.settings, "probability DOUBLE", batch_size=8)
    keys = ["record_id", "subset", "caption"]
    wanted = pairs.where("caption IS NOT NULL").select(*keys).distinct()
    judged = (
        batch.lookup("dual_images")
        .select("record_id", "subset", "image")
        .join(F.broadcast(wanted), on=["record_id", "subset"], how="inner")
        .select(*keys, judge(F.struct("image", F.col("caption").alias("text"))).alias("result"))
        .select(*keys, F.col("result.probability").alias("judge"), _not_ok("result.status").alias("judge_status"))
    )
    return pairs.join(judged, on=keys, how="left")


def _images(batch: Batch, pairs: DataFrame) -> DataFrame:
    embed = model_udf("udfs.embed.clip:ImageEmbedder", batch.settings, EMBEDDING, batch.settings.embedder.batch_size)
    # With the originals, which are needed for the differences even where a retry scores only some subsets of a family.
    wanted = pairs.select("record_id", "subset")
    wanted = wanted.unionByName(pairs.select("record_id", F.lit(0).alias("subset"))).distinct()
    return (
        batch.lookup("dual_images")
        .select("record_id", "subset", "image")
        .join(F.broadcast(wanted), on=["record_id", "subset"], how="inner")
        .select("record_id", "subset", embed(F.struct("image")).alias("result"))
        .select(
            "record_id",
            "subset",
            F.col("result.embedding").alias("vector"),
            "result.status",
            "result.seconds.model",
        )
        .withColumnsRenamed({"status": "embed_status", "model": "embed_seconds"})
    )


def _texts(batch: Batch, pairs: DataFrame) -> DataFrame:
    embed = model_udf("udfs.embed.clip:TextEmbedder", batch.settings, EMBEDDING, batch.settings.embedder.batch_size)
    labels = pairs.select(F.explode("removed").alias("label"))
    texts = (
        pairs.select(F.col("caption").alias("text"))
        .unionByName(pairs.select(F.col("original").alias("text")))
        .unionByName(labels.select(F.format_string(LABEL_PROMPT.replace("{}", "%s"), "label").alias("text")))
        .where("text IS NOT NULL")
        .distinct()
    )
    embedded = texts.select("text", embed(F.struct("text")).alias("result"))
    return batch.keep(
        embedded.select("text", F.col("result.embedding").alias("text_vector"), F.col("result.status").alias("text_status"))
    )


def _not_ok(status: str) -> Column:
    """The status unless it is ok; then null."""
    return F.nullif(F.col(status), F.lit("ok"))


def _dot(left: str, right: str) -> Column:
    return F.expr(f"aggregate(zip_with({left}, {right}, (a, b) -> cast(a AS DOUBLE) * b), 0D, (total, x) -> total + x)")
