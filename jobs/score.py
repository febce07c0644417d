r"""score: how good is each dual image with the text that is exact for it? ``rechecks`` -> ``scores``.

    spark-submit --properties-file jobs/engine/spark-defaults.conf jobs/score.py --root R \
        --set embedder.model=ViT-B-32-quickgelu ...

For a dual image with R removed and a caption that names C, the exact text is the caption without C & R (the caption itself where
C & R is 0). Every ok dual image gets a row for each ok caption.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine import similarity
from jobs.engine.policy import describe, reasons_sql
from jobs.engine.stream import Batch, Stage
from jobs.engine.tables import later_columns
from jobs.submit import submit
from udfs.truth import relation_sql

CLIP = ("clip_true", "clip_original", "clip_drop", "clip_image")


def transform(batch: Batch) -> DataFrame:
    """Rechecked dual images in, scored pairs out. Embeddings and scores leave the tasks that read pixels; pixels never do."""
    settings = batch.settings
    pairs = batch.keep(_pairs(batch))
    if settings.embedder.model:
        scored = similarity.add_clip(batch, pairs)
    else:
        nulls = {name: F.lit(None).cast("double") for name in (*CLIP, "embed_seconds")}
        scored = pairs.withColumns(nulls).withColumn("clip_status", F.lit(None).cast("string"))
    scored = similarity.add_judge(batch, scored)
    measured = {
        "status": F.expr(STATUS),
        "error": F.lit(None).cast("string"),
        "model": F.lit(settings.embedder.model or None).cast("string"),
        "model_version": F.lit(settings.embedder.checkpoint or None).cast("string"),
        "device": F.lit(None).cast("string"),
        "seconds": F.expr(SECONDS),
        "policy": F.lit(describe(settings.policy, embedder=bool(settings.embedder.model))),
    }
    reasons = F.when(F.col("status") == "ok", F.expr(reasons_sql(settings.policy)))
    return scored.withColumns(measured).withColumn("reject_reasons", reasons).withColumn("keep", F.expr(KEEP))


def _pairs(batch: Batch) -> DataFrame:
    images = batch.lookup("images").select("record_id", F.col("captions").alias("written"))
    families = batch.lookup("families").select("record_id", "components", "captions")
    rewritten = batch.lookup("dual_texts").select("record_id", "texts")
    duals = batch.lookup("dual_images")
    lacks = later_columns(duals, "dual_images")  # where an older version made the images
    duals = duals.withColumns({name: F.lit(None).cast(kind) for name, kind in lacks.items()})
    facts = duals.select("record_id", "subset", "removed", "edited_fraction", "seam", "smear")
    captions = (
        families.join(images, on="record_id", how="inner")
        .join(rewritten, on="record_id", how="inner")
        .select("record_id", F.expr("transform(components, c -> c.label) AS labels"), F.expr(USABLE))
    )
    rows = batch.rows.select("ingest_batch", "record_id", "subset", "residual", "intruder", "detections")
    return (
        rows.join(facts, on=["record_id", "subset"], how="inner")
        .join(captions, on="record_id", how="inner")
        .withColumn("survivor", F.expr(SURVIVOR))
        .withColumn("text_subset", F.expr("names & subset"))
        .withColumn("text", F.expr(TEXT))
        .select(*COLUMNS, *[F.expr(column) for column in DERIVED])
    )


# The lowest score of a label that should still be there; a label that the detector does not see at all scores 0. Null where there
# is no detector (residual is null then). Of a class whose instances are told apart any is as good.
SURVIVOR = """CASE WHEN residual IS NOT NULL THEN array_min(transform(
    filter(labels, (l, i) -> subset & (1 << i) = 0),
    l -> coalesce(array_max(transform(filter(detections, d -> d.label = l), d -> d.score)), 0D))) END"""

# A row for each usable caption: its original text, what it names, and its rewritten texts.
USABLE = """inline(filter(transform(captions, (c, i) -> struct(
    c.caption_id AS caption_id, c.status AS caption_status, c.names AS names, c.may_name AS may_name,
    written[i].caption AS original, filter(texts, t -> t.caption_id = c.caption_id) AS texts)),
    c -> c.caption_status IN ('ok', 'not_monotone')))"""

# The exact text of the pair: the original caption where nothing that it names is removed, else its rewritten text for the subset.
# A caption that does not stay true when objects go has no rewritten text.
TEXT = """CASE
    WHEN text_subset = 0 THEN struct(original AS caption, names AS mentions, may_name AS may_mention, 'original' AS rewriter,
        true AS ok, cast(null AS DOUBLE) AS agreement, 'ok' AS status)
    ELSE element_at(transform(filter(texts, t -> t.subset = text_subset), t -> struct(t.caption AS caption,
        t.mentions AS mentions, t.may_mention AS may_mention, t.rewriter AS rewriter, t.status = 'ok' AS ok,
        t.agreement AS agreement, t.status AS status)), 1) END"""

COLUMNS = (
    "ingest_batch", "record_id", "subset", "caption_id", "text_subset", "removed", "residual", "intruder",
    "survivor", "edited_fraction", "seam", "smear", "original", "caption_status", "names",
)  # fmt: skip
DERIVED = (
    "text.caption AS caption",
    "text.rewriter AS rewriter",
    "text.mentions AS mentions",
    "text.may_mention AS may_mention",
    "text.ok AS text_ok",
    "text.agreement AS text_agreement",
    "text.status AS text_status",
    f"{relation_sql('subset', 'names', 'text.mentions', 'text.may_mention')} AS relation",
)
# A pair that lacks a measure, because a model had no answer, is not ok: the policy would pass over what is null.
STATUS = """CASE WHEN caption_status = 'not_monotone' AND subset <> 0 THEN 'not_monotone'
    WHEN clip_status IS NOT NULL THEN clip_status WHEN caption IS NULL THEN coalesce(text_status, 'no_text')
    WHEN judge_status IS NOT NULL THEN judge_status ELSE 'ok' END"""
KEEP = "status = 'ok' AND size(reject_reasons) = 0"
SECONDS = """named_struct('load', cast(null AS DOUBLE), 'decode', cast(null AS DOUBLE), 'model', embed_seconds,
    'encode', cast(null AS DOUBLE))"""

STAGE = Stage("score", "rechecks", "scores", ("embedder", "judge.image_text"), transform)

if __name__ == "__main__":
    submit(STAGE)
