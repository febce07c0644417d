"""The definition of every table: its columns in DDL, its key, what its rows are. ``jobs.engine.tables`` creates and checks them.

Keys and scores come first, blobs last: Delta keeps statistics of the first 32 columns, and lookups prune by ``ingest_batch``.
"""

from dataclasses import dataclass

MENTION = "STRUCT<phrase: STRING, head: STRING, label: STRING, start: INT, `end`: INT, rank: INT, certain: BOOLEAN>"
BOX = "STRUCT<x: DOUBLE, y: DOUBLE, width: DOUBLE, height: DOUBLE>"
RLE = "STRUCT<height: INT, width: INT, counts: STRING>"
CAPTION = "STRUCT<caption_id: STRING, caption: STRING, status: STRING>"
PHRASES = "ARRAY<STRUCT<caption_id: STRING, start: INT, `end`: INT>>"
ANNOTATION = f"STRUCT<label: STRING, box: {BOX}, mask: {RLE}, crowd: BOOLEAN, phrases: {PHRASES}>"
INSTANCE = (
    f"STRUCT<label: STRING, score: DOUBLE, box: {BOX}, mask: {RLE}, area_fraction: DOUBLE, crowd: BOOLEAN, phrases: {PHRASES}>"
)
DETECTION = f"STRUCT<label: STRING, score: DOUBLE, box: {BOX}>"
PARSED_CAPTION = f"STRUCT<caption_id: STRING, monotone: BOOLEAN, status: STRING, extractor: STRING, components: ARRAY<{MENTION}>>"
COMPONENT = (
    "STRUCT<label: STRING, phrases: ARRAY<STRING>, instances: ARRAY<INT>, attached: ARRAY<INT>,"
    " carries: ARRAY<STRING>, area_fraction: DOUBLE, name: STRING, traits: ARRAY<STRING>>"
)
# What the components of a family are called, in bit order; a family that was planned by an older version has no names.
NAMES = "transform(components, c -> coalesce(c.name, c.label)) AS labels"
OTHER = "STRUCT<label: STRING, traits: ARRAY<STRING>, things: INT, goes_with: INT>"
NAMING = "STRUCT<caption_id: STRING, status: STRING, monotone: BOOLEAN, names: INT, may_name: INT>"
TEXT = (
    "STRUCT<caption_id: STRING, subset: INT, caption: STRING, mentions: INT, may_mention: INT, rewriter: STRING,"
    " checks: ARRAY<STRING>, agreement: DOUBLE, status: STRING, error: STRING>"
)
VARIANT = (
    "STRUCT<caption_id: STRING, subset: INT, kind: STRING, text: STRING, names: ARRAY<STRING>, mentions: INT,"
    " may_mention: INT, status: STRING>"
)
DUAL = (
    "STRUCT<subset: INT, removed: ARRAY<STRING>, edited_fraction: DOUBLE, seam: DOUBLE, smear: DOUBLE,"
    " reused: BOOLEAN, seed: BIGINT, width: INT, height: INT, image: BINARY, status: STRING, error: STRING>"
)
PLACEBO = f"label STRING, mask {RLE}, edited_fraction DOUBLE, seam DOUBLE, seed BIGINT, width INT, height INT, image BINARY"
LOCATOR = "STRUCT<path: STRING, offset: BIGINT, length: BIGINT, member: STRING>"
SECONDS = "STRUCT<load: DOUBLE, decode: DOUBLE, model: DOUBLE, encode: DOUBLE>"

STATE = """
    attempt INT NOT NULL COMMENT '0, then one more for each retry; the last one counts',
    status STRING NOT NULL COMMENT 'ok, or a short reason code; only ok rows go on; superseded: the record has this key no more',
    error STRING COMMENT 'what went wrong, in words'"""
LINEAGE = f"""
    model STRING COMMENT 'name of the model that made the row',
    model_version STRING COMMENT 'hash or version of its weights or rules',
    settings_hash STRING COMMENT 'hash of the settings of the stage',
    run_id STRING COMMENT 'the run that wrote the row',
    batch_id BIGINT COMMENT 'micro-batch of the stage; -1: a retry; less: a record made anew, version -1 - batch_id',
    device STRING COMMENT 'where the model ran',
    seconds {SECONDS} COMMENT 'share of this row in the time of its model batch'"""


@dataclass(frozen=True)
class Table:
    """A table's name, columns (DDL, ``NOT NULL`` and comments included), key, and whether its rows carry image bytes."""

    name: str
    comment: str
    key: tuple[str, ...]
    columns: str
    blob: bool = False
    checks: tuple[tuple[str, str], ...] = ()


def _table(name: str, comment: str, key: tuple[str, ...], columns: str, blob_column: str = "", **more: object) -> Table:
    keys = "ingest_batch STRING NOT NULL COMMENT 'the batch of records that every lookup prunes by'"
    parts = [keys, columns.strip().rstrip(","), STATE.strip(), LINEAGE.strip()]
    if blob_column:
        parts.append(blob_column)
    return Table(name, comment, key, ",\n    ".join(parts), blob=bool(blob_column), **more)  # type: ignore[arg-type]


RECORDS = Table(
    "records",
    "What the sources say: an image and its captions, before its bytes are read",
    ("record_id",),
    f"""record_id STRING NOT NULL, source STRING, source_key STRING, split STRING, license STRING,
    locator {LOCATOR} COMMENT 'where the bytes are', captions ARRAY<{CAPTION}>, annotations ARRAY<{ANNOTATION}>,
    status STRING NOT NULL, error STRING""",
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        RECORDS,
        _table(
            "images",
            "A source record: an image with its captions",
            ("record_id",),
            f"""record_id STRING NOT NULL COMMENT 'SHA-256 of source, source_key and captions',
    source STRING, source_key STRING COMMENT 'what the source calls the image', split STRING, license STRING,
    content_sha256 STRING, duplicate_of STRING COMMENT 'the first record with the same bytes',
    width INT COMMENT 'after EXIF rotation', height INT, format STRING, captions ARRAY<{CAPTION}>,
    annotations ARRAY<{ANNOTATION}> COMMENT 'instances that came with the source'""",
            blob_column="image BINARY COMMENT 'the bytes of the source, unchanged'",
            checks=(("image_present", "status <> 'ok' OR image IS NOT NULL"),),
        ),
        _table(
            "components",
            "What the captions of an image name",
            ("record_id",),
            f"record_id STRING NOT NULL, captions ARRAY<{PARSED_CAPTION}>, extractor STRING",
            checks=(("captions_present", "status <> 'ok' OR captions IS NOT NULL"),),
        ),
        _table(
            "instances",
            "What the segmenter found in an image",
            ("record_id",),
            f"record_id STRING NOT NULL, instances ARRAY<{INSTANCE}>, segmenter STRING",
            checks=(("instances_present", "status <> 'ok' OR instances IS NOT NULL"),),
        ),
        _table(
            "families",
            "The plan of an image's power set",
            ("record_id",),
            f"""record_id STRING NOT NULL, n INT COMMENT 'components; the family has 2^n images',
    reason STRING COMMENT 'why n is 0', components ARRAY<{COMPONENT}>, captions ARRAY<{NAMING}>,
    others ARRAY<{OTHER}> COMMENT 'instances of a class whose others are a component, or go with one'""",
            checks=(("n_in_range", "status <> 'ok' OR n BETWEEN 0 AND 6"),),
        ),
        _table(
            "dual_texts",
            "The captions of a family rewritten for each subset of what they name",
            ("record_id",),
            f"record_id STRING NOT NULL, texts ARRAY<{TEXT}>",
        ),
        _table(
            "text_variants",
            "Negatives and rewrites of an image's texts: its captions (subset 0) and dual texts",
            ("record_id",),
            f"record_id STRING NOT NULL, variants ARRAY<{VARIANT}> COMMENT 'of each text and kind some, or one reason'",
        ),
        _table(
            "dual_images",
            "An image with a subset of its components removed; subset 0 is the original through the same encoder",
            ("record_id", "subset"),
            """record_id STRING NOT NULL, subset INT NOT NULL, removed ARRAY<STRING>, edited_fraction DOUBLE, seam DOUBLE,
    smear DOUBLE COMMENT 'estimated chance that one sees that something was painted over',
    reused BOOLEAN COMMENT 'composited from other subsets, no model call of its own', seed BIGINT, inpainter STRING,
    width INT, height INT""",
            blob_column="image BINARY",
            checks=(
                ("dual_present", "status <> 'ok' OR image IS NOT NULL"),
                ("subset_not_negative", "subset >= 0"),
            ),
        ),
        _table(
            "placebos",
            "An original with an object-free region inpainted, of families with a component",
            ("record_id",),
            f"""record_id STRING NOT NULL, label STRING COMMENT 'of the component whose shape it is',
    mask {RLE} COMMENT 'where it was moved to, not dilated', edited_fraction DOUBLE, seam DOUBLE, seed BIGINT, inpainter STRING,
    width INT, height INT""",
            blob_column="image BINARY",
            checks=(("placebo_present", "status <> 'ok' OR image IS NOT NULL"),),
        ),
        _table(
            "rechecks",
            "The detector's second look at a dual image",
            ("record_id", "subset"),
            f"""record_id STRING NOT NULL, subset INT NOT NULL,
    residual DOUBLE COMMENT 'highest score of a removed class still seen',
    intruder DOUBLE COMMENT 'highest score of a class not there before',
    detections ARRAY<{DETECTION}>""",
        ),
        _table(
            "scores",
            "The quality of a dual image with the text that is exact for it",
            ("record_id", "subset", "caption_id"),
            """record_id STRING NOT NULL, subset INT NOT NULL, caption_id STRING NOT NULL, caption STRING,
    text_subset INT COMMENT 'what was removed from the caption: subset within what it names',
    relation STRING COMMENT 'of text to image: exact, or unknown where it may name what is gone', rewriter STRING,
    names INT COMMENT 'C: components the source caption names',
    mentions INT COMMENT 'M: named by this text', may_mention INT COMMENT 'U',
    clip_true DOUBLE, clip_original DOUBLE, clip_drop DOUBLE, clip_image DOUBLE, residual DOUBLE, intruder DOUBLE,
    survivor DOUBLE COMMENT 'lowest score of a component that should still be there; null where there is none',
    edited_fraction DOUBLE, seam DOUBLE, smear DOUBLE, text_ok BOOLEAN, text_agreement DOUBLE, judge DOUBLE,
    keep BOOLEAN, reject_reasons ARRAY<STRING>, policy STRING COMMENT 'the policy that keep was decided under'""",
        ),
        Table(
            "runs",
            "A micro-batch of a stage",
            ("stage", "batch_id", "run_id"),
            f"""stage STRING NOT NULL, batch_id BIGINT NOT NULL, run_id STRING NOT NULL, generation STRING,
    rows_in BIGINT, `rows` MAP<STRING, BIGINT> COMMENT 'rows committed, by status',
    started_at TIMESTAMP,
    wall_seconds DOUBLE, seconds {SECONDS} COMMENT 'sums over the workers',
    write_seconds DOUBLE COMMENT 'wall, model calls included',
    models ARRAY<STRING>, settings_hash STRING, settings STRING COMMENT 'the whole tree, as JSON'""",
        ),
        Table(
            "withdrawn",
            "Takedowns: records that no view and no snapshot shows",
            ("record_id",),
            "record_id STRING NOT NULL, reason STRING, withdrawn_at TIMESTAMP",
        ),
        Table(
            "reviews",
            "What a person said of a pair of dual image and text",
            ("reviewer", "record_id", "subset", "caption_id", "judged_at"),
            """ingest_batch STRING NOT NULL COMMENT 'the batch of records that every lookup prunes by',
    record_id STRING NOT NULL, subset INT NOT NULL, caption_id STRING NOT NULL COMMENT 'of the text that was shown with it',
    reviewer STRING NOT NULL, judged_at TIMESTAMP NOT NULL, verdict STRING NOT NULL COMMENT 'accept or reject',
    scope STRING NOT NULL COMMENT 'pair, or image: the image is at fault, whatever text goes with it',
    reasons ARRAY<STRING> COMMENT 'codes of jobs.look.review.verdicts.REASONS', note STRING,
    image_version STRING COMMENT 'jobs.engine.policy.IMAGE_VERSION of what was shown; a word counts only while it is the same',
    text_version STRING COMMENT 'jobs.engine.policy.TEXT_VERSION, likewise',
    stratum STRING COMMENT 'why the pair was chosen: doubtful or random; only random ones estimate anything',
    inclusion_probability DOUBLE COMMENT 'of being drawn, for random ones',
    population BIGINT COMMENT 'pairs that it was drawn from: those that the policy kept, or those that it rejected',
    kept BOOLEAN COMMENT 'what the policy said at export', policy STRING, seed BIGINT, export_id STRING,
    imported_at TIMESTAMP""",
            checks=(
                ("verdict_known", "verdict IN ('accept', 'reject')"),
                ("scope_known", "scope = 'pair' OR (scope = 'image' AND verdict = 'reject')"),
            ),
        ),
    )
}
