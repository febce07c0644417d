"""extract: what do the captions of an image name? ``images`` -> ``components``, a row for each record.

spark-submit --properties-file jobs/engine/spark-defaults.conf jobs/extract.py --root R
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine.schemas import PARSED_CAPTION
from jobs.engine.stream import Batch, Stage
from jobs.submit import submit
from udfs.factory import model_udf

ROWS_PER_CALL = 32  # records passed to the extractor at a time: some 160 captions


def transform(batch: Batch) -> DataFrame:
    """Captions in, parsed captions out. Image bytes are never read: Parquet reads only the columns that are named."""
    kind = batch.settings.extractor.kind
    role = "udfs.extract.rules:RulesExtractor" if kind == "rules" else "udfs.extract.llm:LanguageModelExtractor"
    extract = model_udf(role, batch.settings, f"captions ARRAY<{PARSED_CAPTION}>", ROWS_PER_CALL)
    return (
        batch.rows.select("ingest_batch", "record_id", "captions")
        .withColumn("result", extract(F.struct("captions")))
        .select("ingest_batch", "record_id", "result.*", F.lit(kind).alias("extractor"))
    )


STAGE = Stage("extract", "images", "components", ("extractor", "lexicon"), transform, blob_source=True)

if __name__ == "__main__":
    submit(STAGE)
