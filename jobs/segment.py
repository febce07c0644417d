"""segment: where are the objects of an image? ``components`` -> ``instances``, one row a record.

spark-submit --properties-file conf/spark-defaults.conf jobs/segment.py --root R --set segmenter.weights=FILE
"""

from typing import TYPE_CHECKING

from jobs.schemas import INSTANCE
from jobs.stream import Batch, Stage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def transform(batch: Batch) -> "DataFrame":
    """Records in, instances out. The bytes stay where they lie: the narrow side of the join is broadcast to them."""
    from pyspark.sql import functions as F

    from udfs.factory import model_udf

    settings = batch.settings.segmenter
    segment = model_udf("udfs.segmenter:Segmenter", batch.settings, f"instances ARRAY<{INSTANCE}>", settings.batch_size)
    images = batch.lookup("images").select("ingest_batch", "record_id", "annotations", "image")
    wanted = batch.rows.select("record_id")
    return (
        images.join(F.broadcast(wanted), on="record_id", how="inner")
        .select("ingest_batch", "record_id", segment(F.struct("annotations", "image")).alias("made"))
        .select("ingest_batch", "record_id", "made.*", F.lit(settings.kind).alias("segmenter"))
    )


STAGE = Stage("segment", "components", "instances", ("segmenter", "lexicon"), transform)

if __name__ == "__main__":
    from jobs.cli import run_stage

    run_stage(STAGE.name)
