"""variants: negatives and rewrites of an image's texts, for methods that train on them. ``dual_texts`` -> ``text_variants``.

spark-submit --properties-file jobs/engine/spark-defaults.conf jobs/variants.py --root R

A side stage: no other stage waits for it, and ``dualset run`` runs it only by name (``--stages variants``).
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine.schemas import VARIANT
from jobs.engine.stream import Batch, Stage
from jobs.rewrite import NAMED_BY
from jobs.submit import submit
from udfs.factory import model_udf

ROWS_PER_CALL = 16  # records passed to the role at a time: some 300 texts


def transform(batch: Batch) -> DataFrame:
    """Texts in (the original captions, and every dual text that is ok), their variants out."""
    vary = model_udf("udfs.variants.generator:VariantGenerator", batch.settings, f"variants ARRAY<{VARIANT}>", ROWS_PER_CALL)
    duals = batch.rows.select("ingest_batch", "record_id", F.col("texts").alias("duals"))
    images = batch.lookup("images").select("record_id", "captions")
    families = batch.lookup("families").selectExpr("record_id", NAMED_BY, "others")
    instances = batch.lookup("instances").select("record_id", F.col("instances.label").alias("seen"))
    joined = duals
    for narrow in (images, families, instances):
        joined = joined.join(F.broadcast(narrow), on="record_id", how="inner")
    joined = joined.join(F.broadcast(_used(batch)), on="ingest_batch", how="left")
    return (
        joined.select(
            "ingest_batch", "record_id", "components", "others", "seen", F.expr(USED).alias("used"), F.expr(TEXTS).alias("texts")
        )
        # The shuffle also keeps Spark from merging the lambdas above into the model's arguments, where it cannot run them.
        .repartition(batch.partitions, "record_id")
        .sortWithinPartitions("record_id")
        .select(
            "ingest_batch",
            "record_id",
            vary(F.struct("record_id", "components", "others", "seen", "used", "texts")).alias("result"),
        )
        .select("ingest_batch", "record_id", "result.*")
    )


def _used(batch: Batch) -> DataFrame:
    """For each ingest batch the labels of its families, and the adjectives in its captions that may replace others."""
    from udfs.variants.substitutions import ALTERNATIVES

    families = batch.lookup("families").select("ingest_batch", F.explode("components.label").alias("word"))
    captions = batch.lookup("images").select("ingest_batch", F.explode("captions.caption").alias("caption"))
    words = captions.select("ingest_batch", F.explode(F.split(F.lower("caption"), "[^a-z]+")).alias("word"))
    adjectives = words.where(F.col("word").isin(sorted(frozenset().union(*ALTERNATIVES))))
    return families.union(adjectives).groupBy("ingest_batch").agg(F.array_sort(F.collect_set("word")).alias("words"))


USED = "coalesce(words, array())"  # empty where no family of the batch has a component
TEXTS = """
concat(
    transform(filter(captions, c -> c.status = 'ok'), c -> struct(c.caption_id AS caption_id, 0 AS subset, c.caption AS caption)),
    transform(filter(coalesce(duals, array()), t -> t.status = 'ok'),
        t -> struct(t.caption_id AS caption_id, t.subset AS subset, t.caption AS caption)))
"""

STAGE = Stage("variants", "dual_texts", "text_variants", ("variants", "lexicon"), transform)

if __name__ == "__main__":
    submit(STAGE)
