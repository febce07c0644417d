"""plan: which components make the family of an image? ``instances`` -> ``families``, one row a record.

spark-submit --properties-file conf/spark-defaults.conf jobs/plan.py --root R
"""

from typing import TYPE_CHECKING

from jobs.schemas import COMPONENT, NAMING
from jobs.stream import Batch, Stage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FAMILY = f"n INT, reason STRING, components ARRAY<{COMPONENT}>, captions ARRAY<{NAMING}>"


def transform(batch: Batch) -> "DataFrame":
    """What the captions name meets what the segmenter found; the rule itself is ``udfs.plan.plan_family``."""
    from pyspark.sql import functions as F

    from udfs.factory import model_udf

    plan = model_udf("udfs.plan:Planner", batch.settings, FAMILY, batch_size=256)
    named = batch.lookup("components").select("record_id", "captions")
    texts = batch.lookup("images").select("record_id", F.col("captions").alias("texts"))
    return (
        batch.rows.select("ingest_batch", "record_id", "instances")
        .repartition(batch.partitions, "record_id")
        .join(F.broadcast(named), on="record_id", how="inner")
        .join(F.broadcast(texts), on="record_id", how="inner")
        .select("ingest_batch", "record_id", plan(F.struct("captions", "texts", "instances")).alias("made"))
        .select("ingest_batch", "record_id", "made.*")
    )


STAGE = Stage("plan", "instances", "families", ("components", "plan", "lexicon"), transform)

if __name__ == "__main__":
    from jobs.cli import run_stage

    run_stage(STAGE.name)
