"""rewrite: a caption without each subset of what it names. ``families`` -> ``dual_texts``, a row for each record.

spark-submit --properties-file jobs/engine/spark-defaults.conf jobs/rewrite.py --root R
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine.schemas import TEXT
from jobs.engine.stream import Batch, Stage
from jobs.submit import submit
from udfs.factory import model_udf

ROWS_PER_CALL = 16  # records passed to the rewriter at a time: some 80 captions, 300 texts


def transform(batch: Batch) -> DataFrame:
    """Families in, texts out: 2^c - 1 texts, ok or failed, for a caption that names c of the components."""
    rewrite = model_udf("udfs.rewrite.rewriter:Rewriter", batch.settings, f"texts ARRAY<{TEXT}>", ROWS_PER_CALL)
    families = batch.rows.select(
        "ingest_batch",
        "record_id",
        F.expr(NAMED_BY),
        "others",
        F.col("captions").alias("namings"),
    )
    parsed = batch.lookup("components").select("record_id", F.col("captions").alias("parsed"))
    images = batch.lookup("images").select("record_id", F.col("captions").alias("texts"))
    requests = families.join(F.broadcast(parsed), on="record_id", how="inner").join(
        F.broadcast(images), on="record_id", how="inner"
    )
    return (
        requests.select("ingest_batch", "record_id", "components", "others", F.expr(CAPTIONS).alias("captions"))
        # The shuffle also keeps Spark from merging the lambdas above into the model's arguments, where it cannot run them.
        .repartition(batch.partitions, "record_id")
        .sortWithinPartitions("record_id")
        .select("ingest_batch", "record_id", rewrite(F.struct("components", "others", "captions")).alias("result"))
        .select("ingest_batch", "record_id", "result.*")
    )


# What names each component of a family.
NAMED_BY = """transform(components, c -> struct(c.label AS label, c.name AS name, c.carries AS carries, c.traits AS traits,
    size(c.instances) AS things)) AS components"""
# The three arrays hold the captions of a record in the same order, that of the source.
CAPTIONS = """
transform(namings, (naming, i) -> struct(
    naming.caption_id AS caption_id, texts[i].caption AS caption, naming.status AS status, naming.monotone AS monotone,
    naming.names AS names, naming.may_name AS may_name, coalesce(parsed[i].components, array()) AS mentions))
"""

STAGE = Stage("rewrite", "families", "dual_texts", ("rewriter", "judge.text", "lexicon"), transform)

if __name__ == "__main__":
    submit(STAGE)
