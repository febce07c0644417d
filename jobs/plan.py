"""plan: which components make the family of an image? ``instances`` -> ``families``, a row for each record.

spark-submit --properties-file jobs/engine/spark-defaults.conf jobs/plan.py --root R
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine.schemas import COMPONENT, NAMING, OTHER
from jobs.engine.stream import Batch, Stage
from jobs.submit import submit
from udfs.factory import model_udf

FAMILY = f"n INT, reason STRING, components ARRAY<{COMPONENT}>, captions ARRAY<{NAMING}>, others ARRAY<{OTHER}>"


def transform(batch: Batch) -> DataFrame:
    """Parsed captions and instances in, families out; the rule itself is ``udfs.plan.planner.plan_family``."""
    plan = model_udf("udfs.plan.planner:Planner", batch.settings, FAMILY, batch_size=256)
    parsed = batch.lookup("components").select("record_id", "captions")
    texts = batch.lookup("images").select("record_id", F.col("captions").alias("texts"))
    return (
        batch.rows.select("ingest_batch", "record_id", "instances")
        .repartition(batch.partitions, "record_id")
        .join(F.broadcast(parsed), on="record_id", how="inner")
        .join(F.broadcast(texts), on="record_id", how="inner")
        .select("ingest_batch", "record_id", plan(F.struct("captions", "texts", "instances")).alias("result"))
        .select("ingest_batch", "record_id", "result.*")
    )


STAGE = Stage("plan", "instances", "families", ("components", "plan", "lexicon"), transform)

if __name__ == "__main__":
    submit(STAGE)
