"""Which pairs a person looks at: a random part that estimates something, and the doubtful ones that a word may change.

Only pairs of a dual image and its exact text are chosen: an original has nothing to review, and what may be untrue by the bit
masks is out whatever it looks like.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.inpaint import MASKS
from jobs.policy import IMAGE_VERSION, MEASURED, TEXT_VERSION
from jobs.report.gallery import PICTURE, doubt_sql
from jobs.views import judged, latest

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

    from jobs.settings import Settings
    from jobs.tables import Store

KEY = ("record_id", "subset", "caption_id")
# Bytes a pixel of WebP at quality 80: photographs of COCO take 0.13 to 0.2. The page's text form adds a third.
BYTES_A_PIXEL, PAGE_BYTES, SIDES = 0.2, 13e6, (160, 512)


@dataclass(frozen=True)
class Choice:
    """The chosen pairs in the order of the page, and the sizes of what they were drawn from."""

    rows: list[dict[str, Any]]
    kept: int  # pairs that the policy keeps
    rejected: int


@dataclass(frozen=True)
class Picture:
    """A small WebP, its size in pixels, and for an original an SVG path a component."""

    picture: bytes
    width: int
    height: int
    outlines: list[str]


def choose(store: "Store", settings: "Settings", count: int, random: float, rejected: float, seed: int) -> Choice:
    """``count`` pairs, or all where there are fewer.

    A share ``random`` is drawn by a hash of key and seed: each kept pair with the same probability, and a share ``rejected`` of
    them from the pairs that the policy rejects. The rest are those nearest to a limit of the policy that nobody has judged yet,
    one of each image first. What the random draw has is not drawn as doubtful again, so that it stays a fair sample.
    """
    from pyspark.sql import functions as F

    pairs = _pairs(store, settings).persist()
    size = pairs.agg(
        F.count_if("kept").alias("kept"),
        F.count_if(~F.col("kept")).alias("rejected"),
        F.count_if(F.expr(DOUBTED)).alias("doubted"),
    ).first()
    assert size is not None, "an aggregate without groups has one row"
    # Where there are few doubtful ones (or no limits to be near to), more are drawn at random.
    draw = max(round(count * random), count - size["doubted"])
    of_rejected = min(round(draw * rejected), size["rejected"])
    of_kept = min(draw - of_rejected, size["kept"])
    by_hash = [F.xxhash64(*KEY, F.lit(seed)), *map(F.col, KEY)]
    parts = []
    for wanted, number, population in (("kept", of_kept, size["kept"]), ("NOT kept", of_rejected, size["rejected"])):
        rows = pairs.where(wanted).orderBy(*by_hash).limit(number).collect()
        facts = {"stratum": "random", "inclusion_probability": number / max(population, 1), "population": population}
        parts.append([row.asDict(recursive=True) | facts for row in rows])
    drawn = [tuple(row[name] for name in KEY) for part in parts for row in part]
    taken = store.spark.createDataFrame(drawn, "record_id STRING, subset INT, caption_id STRING")
    rest = pairs.where(DOUBTED).join(F.broadcast(taken), on=list(KEY), how="left_anti")
    doubtful = rest.selectExpr("*", TURN).orderBy("turn", "doubt", *KEY).limit(count - len(drawn)).collect()
    facts = {"stratum": "doubtful", "inclusion_probability": None, "population": None}
    parts.append([row.asDict(recursive=True) | facts for row in doubtful])
    pairs.unpersist()
    return Choice(_mixed(parts), size["kept"], size["rejected"])


DOUBTED = "doubt IS NOT NULL AND review IS NULL"
TURN = "row_number() OVER (PARTITION BY record_id, subset ORDER BY doubt, caption_id) AS turn"


def _pairs(store: "Store", settings: "Settings") -> "DataFrame":
    present = {name for name in ("reviews", "withdrawn") if store.exists(name)}
    doubt = doubt_sql(settings.policy) or "cast(null AS DOUBLE)"
    return store.spark.sql(
        f"""SELECT ingest_batch, {", ".join(KEY)}, caption, policy_reasons, size(policy_reasons) = 0 AS kept, review,
        {doubt} AS doubt, {TEXT_VERSION} AS text_version, {", ".join(MEASURED)} FROM {judged(store, settings.policy, present)}
        WHERE subset <> 0 AND status = 'ok' AND relation = 'exact'"""  # noqa: S608 - names come from this project
    )


def _mixed(parts: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The parts in their own order, evenly mixed.

    Whoever stops early has judged as large a share of each, and nobody can tell by the place of a pair why it is there.
    """
    placed = [((place + 0.5) / len(part), number, row) for number, part in enumerate(parts) for place, row in enumerate(part)]
    return [row for *_, row in sorted(placed, key=lambda item: item[:2])]


def add_context(store: "Store", rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with ``source_key``, ``original`` (the caption as it came), ``labels``, ``image_version``; no bytes are read."""
    captions, images, plans = {}, {}, {}
    for row in _of(store, "images", rows).select("record_id", "source_key", "captions").collect():
        captions[row["record_id"]] = (row["source_key"], {item["caption_id"]: item["caption"] for item in row["captions"]})
    for row in _of(store, "families", rows).selectExpr("record_id", "transform(components, c -> c.label) AS labels").collect():
        plans[row["record_id"]] = list(row["labels"])
    for row in _of(store, "dual_images", rows).selectExpr("record_id", "subset", f"{IMAGE_VERSION} AS version").collect():
        images[row["record_id"], row["subset"]] = row["version"]
    return [
        row
        | {"source_key": captions[row["record_id"]][0], "original": captions[row["record_id"]][1][row["caption_id"]]}
        | {"labels": plans[row["record_id"]], "image_version": images[row["record_id"], row["subset"]]}
        for row in rows
    ]


def gather_pictures(store: "Store", rows: Sequence[dict[str, Any]]) -> dict[tuple[str, int], Picture]:
    """The chosen dual images and their originals (subset 0), each once, shrunk in the workers to fit the page."""
    from pyspark.sql import functions as F

    if not rows:
        return {}
    wanted = sorted({(row["record_id"], subset) for row in rows for subset in (0, row["subset"])})
    keys = store.spark.createDataFrame(wanted, "record_id STRING, subset INT")
    plans = (
        _of(store, "families", rows)
        .join(_of(store, "instances", rows).select("record_id", "instances"), on="record_id", how="inner")
        .selectExpr("record_id", f"{MASKS} AS outlined")
    )
    narrow = keys.join(plans, on="record_id", how="inner")
    wide = _of(store, "dual_images", rows).select("record_id", "subset", "image")
    outlined = F.expr("CASE WHEN subset = 0 THEN outlined ELSE filter(outlined, c -> false) END").alias("outlined")
    joined = wide.join(F.broadcast(narrow), on=["record_id", "subset"], how="inner")
    small = joined.select("record_id", "subset", _shrink(side_of(len(wanted)))(F.struct("image", outlined)).alias("made"))
    made = small.select("record_id", "subset", "made.*").collect()
    return {
        (row["record_id"], row["subset"]): Picture(bytes(row["picture"]), row["width"], row["height"], list(row["outlines"]))
        for row in made
    }


def side_of(pictures: int) -> int:
    """The longer side in pixels with which so many pictures of 4 to 3 fit a page."""
    side = (PAGE_BYTES * 3 / 4 / max(pictures, 1) / BYTES_A_PIXEL * 4 / 3) ** 0.5
    return int(min(max(side, SIDES[0]), SIDES[1]))


def _shrink(side: int) -> Any:
    # Written as strings the annotations could not be resolved: pandas is imported here only.
    import pandas as pd
    from pyspark.sql.functions import pandas_udf

    def draw(batches: Iterator["pd.DataFrame"]) -> Iterator["pd.DataFrame"]:
        from jobs.report.pictures import NAMES, draw_small

        for batch in batches:
            made = [draw_small(row["image"], side, row["outlined"]) for row in batch.to_dict("records")]
            yield pd.DataFrame({name: pd.Series([row[name] for row in made], dtype=object) for name in NAMES})

    draw.__annotations__ = {"batches": Iterator[pd.DataFrame], "return": Iterator[pd.DataFrame]}
    return pandas_udf(draw, returnType=PICTURE).asNondeterministic()  # type: ignore[call-overload]


def _of(store: "Store", table: str, rows: Sequence[dict[str, Any]]) -> "DataFrame":
    """The chosen records' current rows. The batch prunes files, the ids what is read of them: a join alone would read all."""
    from pyspark.sql import functions as F

    batches, ids = (sorted({row[name] for row in rows}) for name in ("ingest_batch", "record_id"))
    found = store.spark.sql(f"SELECT * FROM {latest(store, table, withdrawn=store.exists('withdrawn'))}")  # noqa: S608
    return found.where(F.col("ingest_batch").isin(batches) & F.col("record_id").isin(ids))
