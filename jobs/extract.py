"""extract: what do the captions of an image name? ``images`` -> ``components``, one row a record.

spark-submit --properties-file conf/spark-defaults.conf jobs/extract.py --root R
"""

from typing import TYPE_CHECKING

from jobs.schemas import PARSED_CAPTION
from jobs.stream import Batch, Stage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROWS_A_CALL = 32  # records given to the extractor at a time: some 160 captions


def transform(batch: Batch) -> "DataFrame":
    """Captions in, parsed captions out; image bytes are never read (Parquet reads only the named columns)."""
    from pyspark.sql import functions as F

    from udfs.factory import model_udf

    kind = batch.settings.extractor.kind
    role = "udfs.extract_rules:RulesExtractor" if kind == "rules" else "udfs.extract_llm:LanguageModelExtractor"
    extract = model_udf(role, batch.settings, f"captions ARRAY<{PARSED_CAPTION}>", ROWS_A_CALL)
    return (
        batch.rows.select("ingest_batch", "record_id", "captions")
        .withColumn("made", extract(F.struct("captions")))
        .select("ingest_batch", "record_id", "made.*", F.lit(kind).alias("extractor"))
    )


STAGE = Stage("extract", "images", "components", ("extractor", "lexicon"), transform, blob_source=True)

if __name__ == "__main__":
    from jobs.cli import run_stage

    run_stage(STAGE.name)
