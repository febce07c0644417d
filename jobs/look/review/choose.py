"""Which pairs a person judges: a random part that estimates the filter, and doubtful ones whose verdict matters most.

Only pairs of a dual image and its exact text are chosen. An original has nothing to review, and a text that may be untrue by the
bit masks is rejected however it looks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.functions import pandas_udf

from jobs.engine.policy import IMAGE_VERSION, MEASURED, TEXT_VERSION
from jobs.engine.schemas import NAMES
from jobs.engine.tables import Store
from jobs.engine.views import current_rows, judged_rows
from jobs.inpaint import MASKS
from jobs.look.report.gallery import doubt_sql
from jobs.look.report.pictures import PICTURE, columns_of, draw_small, on_original
from jobs.look.review.rows import ChosenPair, ShownPair
from jobs.settings import Settings

KEY = ("record_id", "subset", "caption_id")
# Bytes a pixel of WebP at quality 80: photographs of COCO take 0.13 to 0.2. The page's text form adds a third.
BYTES_A_PIXEL, PAGE_BYTES, SIDES = 0.2, 13e6, (160, 512)


@dataclass(frozen=True)
class Choice:
    """The chosen pairs in the order of the page, and the sizes of what they were drawn from."""

    rows: list[ChosenPair]
    kept: int  # pairs that the policy keeps
    rejected: int


@dataclass(frozen=True)
class Picture:
    """A small WebP, its size in pixels, and for an original the outline of each component as an SVG path."""

    picture: bytes
    width: int
    height: int
    outlines: list[str]


def choose(store: Store, settings: Settings, count: int, random: float, rejected: float, seed: int) -> Choice:
    """``count`` pairs, or all if there are fewer.

    A share ``random`` is drawn by a hash of key and seed: each kept pair with the same probability, and a share ``rejected`` of
    them from the pairs that the policy rejects. The rest are the pairs nearest to a limit of the policy that nobody has judged
    yet, one of each image first. A pair of the random draw is not taken as doubtful too, so that the draw stays a fair sample.
    """
    pairs = _pairs(store, settings).persist()
    size = pairs.agg(
        F.count_if("kept").alias("kept"),
        F.count_if(~F.col("kept")).alias("rejected"),
        F.count_if(F.expr(DOUBTED)).alias("doubted"),
    ).first()
    assert size is not None, "an aggregate without groups has one row"
    # If few pairs are doubtful, or the policy has no limits, more are drawn at random.
    draw = max(round(count * random), count - size["doubted"])
    of_rejected = min(round(draw * rejected), size["rejected"])
    of_kept = min(draw - of_rejected, size["kept"])
    by_hash = [F.xxhash64(*KEY, F.lit(seed)), *map(F.col, KEY)]
    parts = []
    for verdict, number, population in (("kept", of_kept, size["kept"]), ("NOT kept", of_rejected, size["rejected"])):
        rows = pairs.where(verdict).orderBy(*by_hash).limit(number).collect()
        draw_facts = {"stratum": "random", "inclusion_probability": number / max(population, 1), "population": population}
        parts.append([cast(ChosenPair, row.asDict(recursive=True) | draw_facts) for row in rows])
    drawn = [(row["record_id"], row["subset"], row["caption_id"]) for part in parts for row in part]
    drawn_keys = store.spark.createDataFrame(drawn, "record_id STRING, subset INT, caption_id STRING")
    rest = pairs.where(DOUBTED).join(F.broadcast(drawn_keys), on=list(KEY), how="left_anti")
    doubtful = rest.selectExpr("*", TURN).orderBy("turn", "doubt", *KEY).limit(count - len(drawn)).collect()
    draw_facts = {"stratum": "doubtful", "inclusion_probability": None, "population": None}
    parts.append([cast(ChosenPair, row.asDict(recursive=True) | draw_facts) for row in doubtful])
    pairs.unpersist()
    return Choice(_mixed(parts), size["kept"], size["rejected"])


DOUBTED = "doubt IS NOT NULL AND review IS NULL"
TURN = "row_number() OVER (PARTITION BY record_id, subset ORDER BY doubt, caption_id) AS turn"


def _pairs(store: Store, settings: Settings) -> DataFrame:
    """The pairs that may be chosen, as ``ChosenPair`` without the facts of the draw."""
    doubt = doubt_sql(settings.policy) or "cast(null AS DOUBLE)"
    pairs = judged_rows(store, settings.policy).where("subset <> 0 AND status = 'ok' AND relation = 'exact'")
    return pairs.selectExpr(
        "ingest_batch", *KEY, "caption", "policy_reasons", "size(policy_reasons) = 0 AS kept", "review",
        f"{doubt} AS doubt", f"{TEXT_VERSION} AS text_version", *MEASURED,
    )  # fmt: skip


def _mixed(parts: Sequence[Sequence[ChosenPair]]) -> list[ChosenPair]:
    """The parts, each in its own order, evenly mixed.

    A reviewer who stops early has judged the same share of each part, and a pair's place does not show why it was chosen.
    """
    placed = [((place + 0.5) / len(part), number, row) for number, part in enumerate(parts) for place, row in enumerate(part)]
    return [row for *_, row in sorted(placed, key=lambda item: item[:2])]


def add_context(store: Store, rows: Sequence[ChosenPair]) -> list[ShownPair]:
    """The pairs with the rest of what the page shows, from the records' other tables; no bytes are read."""
    captions, images, plans = {}, {}, {}
    for row in _of(store, "images", rows).select("record_id", "source_key", "captions").collect():
        captions[row["record_id"]] = (row["source_key"], {item["caption_id"]: item["caption"] for item in row["captions"]})
    for row in _of(store, "families", rows).selectExpr("record_id", NAMES).collect():
        plans[row["record_id"]] = list(row["labels"])
    for row in _of(store, "dual_images", rows).selectExpr("record_id", "subset", f"{IMAGE_VERSION} AS version").collect():
        images[row["record_id"], row["subset"]] = row["version"]
    return [
        {
            **row,
            "source_key": captions[row["record_id"]][0],
            "original": captions[row["record_id"]][1][row["caption_id"]],
            "labels": plans[row["record_id"]],
            "image_version": images[row["record_id"], row["subset"]],
        }
        for row in rows
    ]


def gather_pictures(store: Store, rows: Sequence[ChosenPair]) -> dict[tuple[str, int], Picture]:
    """The chosen dual images and their originals (subset 0), each once; the workers shrink them to fit the page."""
    if not rows:
        return {}
    shown = sorted({(row["record_id"], subset) for row in rows for subset in (0, row["subset"])})
    keys = store.spark.createDataFrame(shown, "record_id STRING, subset INT")
    plans = (
        _of(store, "families", rows)
        .join(_of(store, "instances", rows).select("record_id", "instances"), on="record_id", how="inner")
        .selectExpr("record_id", f"{MASKS} AS outlined")
    )
    narrow = keys.join(plans, on="record_id", how="inner")
    wide = _of(store, "dual_images", rows).select("record_id", "subset", "image")
    joined = wide.join(F.broadcast(narrow), on=["record_id", "subset"], how="inner")
    small = _shrink(side_of(len(shown)))(F.struct("image", on_original())).alias("small")
    pictures = joined.select("record_id", "subset", small).select("record_id", "subset", "small.*").collect()
    return {
        (row["record_id"], row["subset"]): Picture(bytes(row["picture"]), row["width"], row["height"], list(row["outlines"]))
        for row in pictures
    }


def side_of(pictures: int) -> int:
    """The longer side in pixels at which that many 4:3 pictures fit a page."""
    side = (PAGE_BYTES * 3 / 4 / max(pictures, 1) / BYTES_A_PIXEL * 4 / 3) ** 0.5
    return int(min(max(side, SIDES[0]), SIDES[1]))


def _shrink(side: int) -> Any:
    def draw(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            yield columns_of([draw_small(row["image"], side, row["outlined"]) for row in batch.to_dict("records")])

    return pandas_udf(draw, returnType=PICTURE).asNondeterministic()  # type: ignore[call-overload]


def _of(store: Store, table: str, rows: Sequence[ChosenPair]) -> DataFrame:
    """The chosen records' current rows. Batches prune files, and ids what is read of them: a join alone would read all."""
    batches, ids = sorted({row["ingest_batch"] for row in rows}), sorted({row["record_id"] for row in rows})
    return current_rows(store, table).where(F.col("ingest_batch").isin(batches) & F.col("record_id").isin(ids))
