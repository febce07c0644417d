"""inpaint: an image without each subset of its components. ``dual_texts`` -> ``dual_images``, 2^n rows a record.

spark-submit --properties-file conf/spark-defaults.conf jobs/inpaint.py --root R
"""

from typing import TYPE_CHECKING

from jobs.schemas import DUAL
from jobs.stream import Batch, Stage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def transform(batch: Batch) -> "DataFrame":
    """Families meet their images by broadcast; a family's images are made and written together, in subset order."""
    from pyspark.sql import functions as F

    from udfs.factory import model_udf

    settings = batch.settings.inpainter
    inpaint = model_udf("udfs.inpaint:Inpainter", batch.settings, f"duals ARRAY<{DUAL}>", settings.batch_size)
    families = batch.lookup("families").select("record_id", "n", "components")
    found = batch.lookup("instances").select("record_id", "instances")
    narrow = (
        batch.rows.select("record_id")
        .join(families, on="record_id", how="inner")
        .join(found, on="record_id", how="inner")
        .select("record_id", "n", F.expr(MASKS).alias("components"))
    )
    images = batch.lookup("images").select("ingest_batch", "record_id", "image")
    made = images.join(F.broadcast(narrow), on="record_id", how="inner").select(
        "ingest_batch", "record_id", "n", inpaint(F.struct("record_id", "image", "components")).alias("made")
    )
    rows = made.select("ingest_batch", "record_id", "made", F.expr(f"inline(coalesce(made.duals, {FAILED}))"))
    lineage = [F.col(f"made.{name}").alias(name) for name in ("model", "model_version", "device", "seconds")]
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
transform(components, c -> struct(c.label AS label,
    transform(concat(c.instances, c.attached), i -> instances[i].mask) AS masks,
    transform(concat(c.instances, c.attached), i -> instances[i].box) AS boxes))
"""
DUAL_COLUMNS = (
    "subset", "removed", "edited_fraction", "seam", "reused", "seed", "width", "height", "image", "status", "error",
)  # fmt: skip
# An image that fails as a whole still has its 2^n rows, each with the reason.
_NULLS = ", ".join(
    f"cast(null AS {kind}) AS {name}"
    for name, kind in zip(
        DUAL_COLUMNS[1:9],
        ("ARRAY<STRING>", "DOUBLE", "DOUBLE", "BOOLEAN", "BIGINT", "INT", "INT", "BINARY"),
        strict=True,
    )
)
FAILED = (
    f"transform(sequence(0, (1 << n) - 1), s -> struct(cast(s AS INT) AS subset, {_NULLS},"
    " made.status AS status, made.error AS error))"
)

STAGE = Stage("inpaint", "dual_texts", "dual_images", ("inpainter", "codec"), transform, blob_target=True)

if __name__ == "__main__":
    from jobs.cli import run_stage

    run_stage(STAGE.name)
