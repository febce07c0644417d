"""The CLIP and judge columns of ``scores``: embeddings once a distinct image and text, similarities in SQL."""

from typing import TYPE_CHECKING

from jobs.stream import Batch

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

EMBEDDING = "embedding ARRAY<FLOAT>"
LABEL_PROMPT = "a photo of a {}"


def add_clip(batch: Batch, pairs: "DataFrame") -> "DataFrame":
    """Add ``clip_true``, ``clip_original``, ``clip_drop``, ``clip_image`` (cosines, or differences) and ``embed_seconds``.

    ``clip_drop`` is the mean over the removed labels of how much the similarity with the label's prompt falls from the original
    to the dual image; null for the original.
    """
    from pyspark.sql import functions as F

    images = batch.keep(_images(batch, pairs))
    texts = _texts(batch, pairs)
    originals = images.where("subset = 0").select("record_id", F.col("vector").alias("vector0"))
    prompts = pairs.select("record_id", "subset", F.explode("removed").alias("label")).distinct()
    drops = (
        prompts.withColumn("text", F.format_string(LABEL_PROMPT.replace("{}", "%s"), "label"))
        .join(texts, on="text", how="inner")
        .join(images, on=["record_id", "subset"], how="inner")
        .join(originals, on="record_id", how="inner")
        .groupBy("record_id", "subset")
        .agg(F.mean(_dot("vector0", "text_vector") - _dot("vector", "text_vector")).alias("clip_drop"))
    )
    true = texts.select(F.col("text").alias("caption"), F.col("text_vector").alias("true_vector"))
    whole = texts.select(F.col("text").alias("original"), F.col("text_vector").alias("original_vector"))
    return (
        pairs.join(images, on=["record_id", "subset"], how="left")
        .join(originals, on="record_id", how="left")
        .join(drops, on=["record_id", "subset"], how="left")
        .join(true, on="caption", how="left")
        .join(whole, on="original", how="left")
        .withColumn("clip_true", _dot("vector", "true_vector"))
        .withColumn("clip_original", _dot("vector", "original_vector"))
        .withColumn("clip_image", _dot("vector", "vector0"))
        .drop("vector", "vector0", "true_vector", "original_vector")
    )


def add_judge(batch: Batch, pairs: "DataFrame") -> "DataFrame":
    """Add ``judge``: the probability that an image-text matching model gives the pair; null where none is configured."""
    from pyspark.sql import functions as F

    if not batch.settings.judge.image_text:
        return pairs.withColumn("judge", F.lit(None).cast("double"))
    from udfs.factory import model_udf

    judge = model_udf("udfs.judge_image_text:ImageTextJudge", batch.settings, "probability DOUBLE", batch_size=8)
    keys = ["record_id", "subset", "caption"]
    wanted = pairs.where("caption IS NOT NULL").select(*keys).distinct()
    judged = (
        batch.lookup("dual_images")
        .select("record_id", "subset", "image")
        .join(F.broadcast(wanted), on=["record_id", "subset"], how="inner")
        .select(*keys, judge(F.struct("image", F.col("caption").alias("text"))).alias("made"))
        .select(*keys, F.col("made.probability").alias("judge"))
    )
    return pairs.join(judged, on=keys, how="left")


def _images(batch: Batch, pairs: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions as F

    from udfs.factory import model_udf

    embed = model_udf("udfs.embed_clip:ImageEmbedder", batch.settings, EMBEDDING, batch.settings.embedder.batch_size)
    # The originals come along, also where a retry scores only some subsets of a family.
    wanted = pairs.select("record_id", "subset")
    wanted = wanted.unionByName(pairs.select("record_id", F.lit(0).alias("subset"))).distinct()
    return (
        batch.lookup("dual_images")
        .select("record_id", "subset", "image")
        .join(F.broadcast(wanted), on=["record_id", "subset"], how="inner")
        .select("record_id", "subset", embed(F.struct("image")).alias("made"))
        .select(
            "record_id",
            "subset",
            F.col("made.embedding").alias("vector"),
            "made.status",
            "made.seconds.model",
        )
        .withColumnsRenamed({"status": "embed_status", "model": "embed_seconds"})
    )


def _texts(batch: Batch, pairs: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions as F

    from udfs.factory import model_udf

    embed = model_udf("udfs.embed_clip:TextEmbedder", batch.settings, EMBEDDING, batch.settings.embedder.batch_size)
    labels = pairs.select(F.explode("removed").alias("label"))
    texts = (
        pairs.select(F.col("caption").alias("text"))
        .unionByName(pairs.select(F.col("original").alias("text")))
        .unionByName(labels.select(F.format_string(LABEL_PROMPT.replace("{}", "%s"), "label").alias("text")))
        .where("text IS NOT NULL")
        .distinct()
    )
    embedded = texts.select("text", embed(F.struct("text")).alias("made"))
    return batch.keep(embedded.select("text", F.col("made.embedding").alias("text_vector")))


def _dot(left: str, right: str) -> "Column":
    from pyspark.sql import functions as F

    return F.expr(f"aggregate(zip_with({left}, {right}, (a, b) -> cast(a AS DOUBLE) * b), 0D, (total, x) -> total + x)")
