"""inpaint: an image without each subset of its components. ``dual_texts`` -> ``dual_images``, 2^n rows for each record.

spark-submit --properties-file jobs/engine/spark-defaults.conf jobs/inpaint.py --root R
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine.schemas import DUAL
from jobs.engine.stream import Batch, Stage
from jobs.submit import submit
from udfs.factory import model_udf


def transform(batch: Batch) -> DataFrame:
    """Families are broadcast to their images. The images of a family are made and written together, by ascending subset."""
    settings = batch.settings.inpainter
    inpaint = model_udf("udfs.inpaint.inpainter:Inpainter", batch.settings, f"duals ARRAY<{DUAL}>", settings.batch_size)
    families = batch.lookup("families").select("record_id", "n", "components")
    instances = batch.lookup("instances").select("record_id", "instances")
    narrow = (
        batch.rows.select("record_id")
        .join(families, on="record_id", how="inner")
        .join(instances, on="record_id", how="inner")
        .select("record_id", "n", F.expr(MASKS).alias("components"))
    )
    images = batch.lookup("images").select("ingest_batch", "record_id", "image")
    results = images.join(F.broadcast(narrow), on="record_id", how="inner").select(
        "ingest_batch", "record_id", "n", inpaint(F.struct("record_id", "image", "components")).alias("result")
    )
    rows = results.select("ingest_batch", "record_id", "result", F.expr(f"inline(coalesce(result.duals, {FAILED}))"))
    lineage = [F.col(f"result.{name}").alias(name) for name in ("model", "model_version", "device", "seconds")]
    columns = [name for name in DUAL_COLUMNS if name not in ("status", "error")]
    return rows.select(
        "ingest_batch",
        "record_id",
        *columns,
        "status",
        "error",
        *lineage,
        F.lit(settings.kind).alias("inpainter"),
    )


MASKS = """
transform(components, c -> struct(coalesce(c.name, c.label) AS label,
    transform(concat(c.instances, c.attached), i -> instances[i].mask) AS masks,
    transform(concat(c.instances, c.attached), i -> instances[i].box) AS boxes))
"""
DUAL_COLUMNS = (
    "subset", "removed", "edited_fraction", "seam", "smear", "reused", "seed", "width", "height", "image", "status", "error",
)  # fmt: skip
# An image that fails as a whole still gets its 2^n rows, each with the reason.
_NULLS = ", ".join(
    f"cast(null AS {kind}) AS {name}"
    for name, kind in zip(
        DUAL_COLUMNS[1:10],
        ("ARRAY<STRING>", "DOUBLE", "DOUBLE", "DOUBLE", "BOOLEAN", "BIGINT", "INT", "INT", "BINARY"),
        strict=True,
    )
)
FAILED = (
    f"transform(sequence(0, (1 << n) - 1), s -> struct(cast(s AS INT) AS subset, {_NULLS},"
    " result.status AS status, result.error AS error))"
)

STAGE = Stage("inpaint", "dual_texts", "dual_images", ("inpainter", "codec"), transform, blob_target=True)

if __name__ == "__main__":
    submit(STAGE)
