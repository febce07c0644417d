"""variants: negatives and rewrites of an image's texts, for methods that train on them. ``dual_texts`` -> ``text_variants``.

spark-submit --properties-file conf/spark-defaults.conf jobs/variants.py --root R

Beside the chain: no stage waits for it, and ``dualset run`` makes it only by name (``--stages variants``).
"""

from typing import TYPE_CHECKING

from jobs.schemas import VARIANT
from jobs.stream import Batch, Stage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROWS_A_CALL = 16  # records given to the role at a time: some 300 texts


def transform(batch: Batch) -> "DataFrame":
    """Texts in, their variants out: the captions as they came, and every dual text that is ok."""
    from pyspark.sql import functions as F

    from udfs.factory import model_udf

    vary = model_udf("udfs.variants:Variants", batch.settings, f"variants ARRAY<{VARIANT}>", ROWS_A_CALL)
    duals = batch.rows.select("ingest_batch", "record_id", F.col("texts").alias("duals"))
    images = batch.lookup("images").select("record_id", "captions")
    families = batch.lookup("families").select("record_id", F.expr("transform(components, c -> c.label)").alias("labels"))
    instances = batch.lookup("instances").select("record_id", F.col("instances.label").alias("seen"))
    joined = duals
    for looked_up in (images, families, instances):
        joined = joined.join(F.broadcast(looked_up), on="record_id", how="inner")
    joined = joined.join(F.broadcast(_used(batch)), on="ingest_batch", how="left")
    return (
        joined.select("ingest_batch", "record_id", "labels", "seen", F.expr(USED).alias("used"), F.expr(TEXTS).alias("texts"))
        # Also keeps Spark from merging the lambdas above into the model's arguments, where it cannot run them.
        .repartition(batch.partitions, "record_id")
        .sortWithinPartitions("record_id")
        .select("ingest_batch", "record_id", vary(F.struct("record_id", "labels", "seen", "used", "texts")).alias("made"))
        .select("ingest_batch", "record_id", "made.*")
    )


def _used(batch: Batch) -> "DataFrame":
    """Of each ingest batch the labels of its families and the adjectives in its captions that may replace others."""
    from pyspark.sql import functions as F

    from udfs.variant_words import ALTERNATIVES

    families = batch.lookup("families").select("ingest_batch", F.explode("components.label").alias("word"))
    captions = batch.lookup("images").select("ingest_batch", F.explode("captions.caption").alias("caption"))
    words = captions.select("ingest_batch", F.explode(F.split(F.lower("caption"), "[^a-z]+")).alias("word"))
    adjectives = words.where(F.col("word").isin(sorted(frozenset().union(*ALTERNATIVES))))
    return families.union(adjectives).groupBy("ingest_batch").agg(F.array_sort(F.collect_set("word")).alias("found"))


USED = "coalesce(found, array())"  # none where no family has a component
TEXTS = """
concat(
    transform(filter(captions, c -> c.status = 'ok'), c -> struct(c.caption_id AS caption_id, 0 AS subset, c.caption AS caption)),
    transform(filter(coalesce(duals, array()), t -> t.status = 'ok'),
        t -> struct(t.caption_id AS caption_id, t.subset AS subset, t.caption AS caption)))
"""

STAGE = Stage("variants", "dual_texts", "text_variants", ("variants", "lexicon"), transform)

if __name__ == "__main__":
    from jobs.cli import run_stage

    run_stage(STAGE.name)
