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
    """Dual images in, detections out. What was removed from them, and detected in the originals, comes by broadcast."""
    fields = f"residual DOUBLE, intruder DOUBLE, detections ARRAY<{DETECTION}>"
    detect = model_udf("udfs.segment.segmenter:Detector", batch.settings, fields, batch.settings.segmenter.batch_size)
    plans = batch.lookup("families").select("record_id", "components", "others")
    before = batch.lookup("instances").select("record_id", "instances")
    expected = (
        batch.rows.select("record_id", "subset")
        .join(plans, on="record_id", how="inner")
        .join(before, on="record_id", how="inner")
        .select("record_id", "subset", "instances", F.expr(GONE), F.expr(LEFT), F.expr(TAKEN))
        .select("record_id", "subset", *map(F.expr, EXPECTED))
    )
    return (
        batch.rows.select("ingest_batch", "record_id", "subset", "image")
        .join(F.broadcast(expected), on=["record_id", "subset"], how="inner")
        .select("ingest_batch", "record_id", "subset", detect(F.struct("removed", "before", "places", "image")).alias("result"))
        .select("ingest_batch", "record_id", "subset", "result.*")
    )


# The classes of the components that are removed and of those that are left (others among them), and the removed instances.
GONE = "transform(filter(components, (c, i) -> subset & (1 << i) <> 0), c -> c.label) AS gone"
LEFT = """concat(transform(filter(components, (c, i) -> subset & (1 << i) = 0), c -> c.label), transform(
    filter(coalesce(others, array()), o -> o.goes_with < 0 OR subset & (1 << o.goes_with) = 0), o -> o.label)) AS left"""
TAKEN = (
    """flatten(transform(filter(components, (c, i) -> subset & (1 << i) <> 0), c -> concat(c.instances, c.attached))) AS taken"""
)
# What is left of a class is looked for by its place, not by its label alone.
EXPECTED = (
    "array_except(gone, left) AS removed",
    "array_distinct(transform(instances, i -> i.label)) AS before",
    """filter(transform(instances, (s, j) -> struct(s.label AS label, s.box AS box, array_contains(taken, j) AS removed)),
        p -> array_contains(array_intersect(gone, left), p.label)) AS places""",
)

STAGE = Stage("recheck", "dual_images", "rechecks", ("segmenter", "lexicon"), transform, blob_source=True)

if __name__ == "__main__":
    submit(STAGE)
