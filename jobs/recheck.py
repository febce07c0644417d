"""recheck: what does the detector see in a dual image? ``dual_images`` -> ``rechecks``, a row for each dual image.

spark-submit --properties-file jobs/engine/spark-defaults.conf jobs/recheck.py --root R --set segmenter.weights=FILE
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine.schemas import DETECTION
from jobs.engine.stream import Batch, Stage
from jobs.submit import submit
from udfs.factory import model_udf


def transform(batch: Batch) -> DataFrame:
    """Dual images in, detections out. The labels that were detected in the originals come by broadcast."""
    fields = f"residual DOUBLE, intruder DOUBLE, detections ARRAY<{DETECTION}>"
    detect = model_udf("udfs.segment.segmenter:Detector", batch.settings, fields, batch.settings.segmenter.batch_size)
    before = batch.lookup("instances").select(
        "record_id", F.expr("array_distinct(transform(instances, i -> i.label))").alias("before")
    )
    return (
        batch.rows.select("ingest_batch", "record_id", "subset", "removed", "image")
        .join(F.broadcast(before), on="record_id", how="inner")
        .select("ingest_batch", "record_id", "subset", detect(F.struct("removed", "before", "image")).alias("result"))
        .select("ingest_batch", "record_id", "subset", "result.*")
    )


STAGE = Stage("recheck", "dual_images", "rechecks", ("segmenter", "lexicon"), transform, blob_source=True)

if __name__ == "__main__":
    submit(STAGE)
