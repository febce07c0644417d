"""recheck: the detector's second look. ``dual_images`` -> ``rechecks``, one row a dual image.

spark-submit --properties-file conf/spark-defaults.conf jobs/recheck.py --root R --set segmenter.weights=FILE
"""

from typing import TYPE_CHECKING

from jobs.schemas import DETECTION
from jobs.stream import Batch, Stage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def transform(batch: Batch) -> "DataFrame":
    """Dual images in, what the detector sees in them out; what it saw in the original comes by broadcast."""
    from pyspark.sql import functions as F

    from udfs.factory import model_udf

    fields = f"residual DOUBLE, intruder DOUBLE, detections ARRAY<{DETECTION}>"
    look = model_udf("udfs.segmenter:Detector", batch.settings, fields, batch.settings.segmenter.batch_size)
    before = batch.lookup("instances").select(
        "record_id", F.expr("array_distinct(transform(instances, i -> i.label))").alias("before")
    )
    return (
        batch.rows.select("ingest_batch", "record_id", "subset", "removed", "image")
        .join(F.broadcast(before), on="record_id", how="inner")
        .select("ingest_batch", "record_id", "subset", look(F.struct("removed", "before", "image")).alias("made"))
        .select("ingest_batch", "record_id", "subset", "made.*")
    )


STAGE = Stage("recheck", "dual_images", "rechecks", ("segmenter", "lexicon"), transform, blob_source=True)

if __name__ == "__main__":
    from jobs.cli import run_stage

    run_stage(STAGE.name)
