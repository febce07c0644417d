"""placebos: originals with an object-free region inpainted, a control for training. ``dual_texts`` -> ``placebos``.

spark-submit --properties-file jobs/engine/spark-defaults.conf jobs/placebos.py --root R

A side stage like ``variants``: it runs only by name (``dualset run --stages placebos``). A family of n >= 1 has one row.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine.schemas import PLACEBO
from jobs.engine.stream import Batch, Stage
from jobs.inpaint import MASKS
from jobs.submit import submit
from udfs.factory import model_udf


def transform(batch: Batch) -> DataFrame:
    """Families with a component are broadcast to their images. A placebo keeps clear of all detected instances."""
    settings = batch.settings.inpainter
    inpaint = model_udf("udfs.inpaint.placebo:Placebos", batch.settings, PLACEBO, settings.batch_size)
    families = batch.lookup("families").where("n > 0").select("record_id", "components")
    instances = batch.lookup("instances").select("record_id", "instances")
    narrow = (
        batch.rows.select("record_id")
        .join(families, on="record_id", how="inner")
        .join(instances, on="record_id", how="inner")
        .select("record_id", F.expr(MASKS).alias("components"), F.col("instances.mask").alias("taken"))
    )
    images = batch.lookup("images").select("ingest_batch", "record_id", "image")
    results = images.join(F.broadcast(narrow), on="record_id", how="inner").select(
        "ingest_batch", "record_id", inpaint(F.struct("record_id", "image", "components", "taken")).alias("result")
    )
    return results.select("ingest_batch", "record_id", "result.*", F.lit(settings.kind).alias("inpainter"))


STAGE = Stage("placebos", "dual_texts", "placebos", ("inpainter", "codec"), transform, blob_target=True)

if __name__ == "__main__":
    submit(STAGE)
