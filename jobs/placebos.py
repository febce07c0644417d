"""placebos: originals with an object-free region inpainted, a control for training. ``dual_texts`` -> ``placebos``.

spark-submit --properties-file conf/spark-defaults.conf jobs/placebos.py --root R

Beside the chain, as ``variants``: made only by name (``dualset run --stages placebos``). A family of n >= 1 has one row.
"""

from typing import TYPE_CHECKING

from jobs.inpaint import MASKS
from jobs.schemas import PLACEBO
from jobs.stream import Batch, Stage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def transform(batch: Batch) -> "DataFrame":
    """Families with a component meet their images by broadcast; what was detected, components or not, is in the way."""
    from pyspark.sql import functions as F

    from udfs.factory import model_udf

    settings = batch.settings.inpainter
    make = model_udf("udfs.placebo:Placebos", batch.settings, PLACEBO, settings.batch_size)
    families = batch.lookup("families").where("n > 0").select("record_id", "components")
    found = batch.lookup("instances").select("record_id", "instances")
    narrow = (
        batch.rows.select("record_id")
        .join(families, on="record_id", how="inner")
        .join(found, on="record_id", how="inner")
        .select("record_id", F.expr(MASKS).alias("components"), F.col("instances.mask").alias("taken"))
    )
    images = batch.lookup("images").select("ingest_batch", "record_id", "image")
    made = images.join(F.broadcast(narrow), on="record_id", how="inner").select(
        "ingest_batch", "record_id", make(F.struct("record_id", "image", "components", "taken")).alias("made")
    )
    return made.select("ingest_batch", "record_id", "made.*", F.lit(settings.kind).alias("inpainter"))


STAGE = Stage("placebos", "dual_texts", "placebos", ("inpainter", "codec"), transform, blob_target=True)

if __name__ == "__main__":
    from jobs.cli import run_stage

    run_stage(STAGE.name)
