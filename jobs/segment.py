"""segment: where are the objects of an image? ``components`` -> ``instances``, a row for each record.

spark-submit --properties-file jobs/engine/spark-defaults.conf jobs/segment.py --root R --set segmenter.weights=FILE
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine.schemas import INSTANCE
from jobs.engine.stream import Batch, Stage
from jobs.submit import submit
from udfs.factory import model_udf


def transform(batch: Batch) -> DataFrame:
    """Records in, instances out. Image bytes are not shuffled: the narrow side of the join is broadcast to them."""
    settings = batch.settings.segmenter
    segment = model_udf("udfs.segment.segmenter:Segmenter", batch.settings, f"instances ARRAY<{INSTANCE}>", settings.batch_size)
    images = batch.lookup("images").withColumnRenamed("captions", "texts")
    records = batch.rows.select("record_id", "captions")
    # What the model does not read, Spark does not load.
    words = ("texts", "captions") if settings.kind == "grounded" else ()
    return (
        images.join(F.broadcast(records), on="record_id", how="inner")
        .select("ingest_batch", "record_id", segment(F.struct("annotations", *words, "image")).alias("result"))
        .select("ingest_batch", "record_id", "result.*", F.lit(settings.kind).alias("segmenter"))
    )


STAGE = Stage("segment", "components", "instances", ("segmenter", "lexicon"), transform)

if __name__ == "__main__":
    submit(STAGE)
