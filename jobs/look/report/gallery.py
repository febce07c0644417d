"""The gallery: some families as lattices.

The workers draw small pictures and outlines of the chosen families; no other image data leaves them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.functions import pandas_udf

from jobs.engine.policy import MEASURED, RULES
from jobs.engine.schemas import NAMES
from jobs.engine.tables import Store
from jobs.inpaint import MASKS
from jobs.look.report.pictures import PICTURE, columns_of, draw_small, on_original
from jobs.settings import Policy, Settings

SIDES = (256, 256, 256, 256, 192, 144, 112)  # longer side of a picture in pixels, by n: a family never has more than ~1 MB


@dataclass(frozen=True)
class Pair:
    """A dual image with the exact text of one caption; ``reasons`` empty: it is kept."""

    caption_id: str
    text: str
    reasons: list[str]
    values: dict[str, float]  # measured columns of `scores`


@dataclass
class Cell:
    """One image of a family. ``picture`` is WebP; None where there is no image, and ``status`` says why."""

    subset: int
    removed: list[str]
    status: str
    picture: bytes | None
    width: int
    height: int
    pairs: list[Pair] = field(default_factory=list)


@dataclass
class Family:
    """A family: its labels in bit order, an SVG path a component (in pixels of the original's picture), its cells by subset."""

    record_id: str
    source_key: str
    labels: list[str]
    outlines: list[str]
    cells: list[Cell]
    doubtful: bool
    doubt: float | None = None

    @property
    def levels(self) -> list[list[Cell]]:
        """Cells by number of removed components: the original first, the plate last."""
        return [[cell for cell in self.cells if cell.subset.bit_count() == level] for level in range(len(self.labels) + 1)]


def gather_gallery(store: Store, settings: Settings, families: int, seed: int, doubtful: float) -> list[Family]:
    """``families`` families with n > 0: a share ``doubtful`` nearest to a limit of the policy, the rest drawn by a hash.

    Needs the views of ``jobs.look.report.gather.name_tables``. At most ``families`` x 2^n pictures are collected.
    """
    chosen = _choose(store, settings.policy, families, seed, doubtful)
    if not chosen:
        return []
    keys = store.spark.createDataFrame(chosen, "record_id STRING, ingest_batch STRING, doubt DOUBLE, doubtful BOOLEAN")
    plans = (
        _of(store, "families", chosen)
        .join(F.broadcast(keys.select("record_id", "doubt", "doubtful")), on="record_id", how="inner")
        .join(_of(store, "instances", chosen).select("record_id", "instances"), on="record_id", how="inner")
        .join(_of(store, "images", chosen).select("record_id", "source_key"), on="record_id", how="inner")
        .selectExpr(
            "record_id", "n", "doubt", "doubtful", "source_key", NAMES,
            f"{MASKS} AS outlined",
        )
    )  # fmt: skip
    pictures = _pictures(_of(store, "dual_images", chosen), plans).collect()
    names = ("record_id", "subset", "caption_id", "caption", "status", "reasons")
    pairs = _of(store, "pairs", chosen).select(*names, *MEASURED).collect()
    return _assemble(pictures, pairs, [family.record_id for family in chosen])


class Chosen(NamedTuple):
    """A family of the gallery. ``doubtful``: chosen for its doubt, which is null of the others."""

    record_id: str
    ingest_batch: str
    doubt: float | None
    doubtful: bool


def _choose(store: Store, policy: Policy, families: int, seed: int, share: float) -> list[Chosen]:
    """The doubtful first. A family's doubt is the least distance of its pairs to a limit, as a share of the limit; 0 is on it."""
    whole = store.spark.table("report_families").where("status = 'ok' AND n > 0").select("record_id", "ingest_batch")
    picked: list[Chosen] = []
    margins = doubt_sql(policy)
    if margins and round(families * share):
        doubts = store.spark.table("report_pairs").where("subset <> 0 AND status = 'ok'")
        doubts = doubts.groupBy("record_id").agg(F.min(F.expr(margins)).alias("doubt")).where("doubt IS NOT NULL")
        nearest = whole.join(doubts, on="record_id", how="inner").orderBy("doubt", "record_id").limit(round(families * share))
        picked = [Chosen(row["record_id"], row["ingest_batch"], row["doubt"], True) for row in nearest.collect()]
    others = whole.where(~F.col("record_id").isin([family.record_id for family in picked]))
    others = others.orderBy(F.xxhash64("record_id", F.lit(seed)), "record_id").limit(families - len(picked))
    return picked + [Chosen(row["record_id"], row["ingest_batch"], None, False) for row in others.collect()]


def doubt_sql(policy: Policy) -> str:
    """Spark SQL for a pair's distance to the nearest limit of the policy, as a share of the limit; "" if there is no limit.

    The edited share is left out: it is known exactly, and says nothing about how the picture looks.
    """
    margins = [
        f"abs({column} - {float(limit)!r}D) / {max(abs(limit), 0.01)!r}D"
        for setting, column, *_ in RULES
        if (limit := getattr(policy, setting)) is not None and column != "edited_fraction"
    ]
    # `least` skips nulls and needs two arguments.
    return f"least({', '.join([*margins, 'cast(null AS DOUBLE)'])})" if margins else ""


def _of(store: Store, name: str, chosen: Sequence[Chosen]) -> DataFrame:
    """The chosen families' rows. Batches prune files, and ids what is read of them: a join alone would read all images."""
    ids, batches = [family.record_id for family in chosen], [family.ingest_batch for family in chosen]
    return store.spark.table(f"report_{name}").where(F.col("ingest_batch").isin(batches) & F.col("record_id").isin(ids))


def _pictures(duals: DataFrame, plans: DataFrame) -> DataFrame:
    def draw(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            rows = batch.to_dict("records")
            yield columns_of([draw_small(row["image"], SIDES[int(row["n"])], row["outlined"]) for row in rows])

    small = pandas_udf(draw, returnType=PICTURE).asNondeterministic()  # type: ignore[call-overload]
    names = ("record_id", "source_key", "labels", "doubt", "doubtful", "subset", "removed", "status")
    wide = duals.select("record_id", "subset", "removed", "status", "image")
    joined = wide.join(F.broadcast(plans), on="record_id", how="inner")
    return joined.select(*names, small(F.struct("image", "n", on_original())).alias("small")).select(*names, "small.*")


def _assemble(pictures: Sequence[Row], pairs: Sequence[Row], order: list[str]) -> list[Family]:
    families: dict[str, Family] = {}
    cells: dict[tuple[str, int], Cell] = {}
    for row in sorted(pictures, key=lambda row: (order.index(row["record_id"]), row["subset"])):
        key = row["record_id"]
        if key not in families:
            families[key] = Family(key, row["source_key"], row["labels"], [], [], row["doubtful"], row["doubt"])
        if row["subset"] == 0:
            families[key].outlines = list(row["outlines"] or [])
        removed = [label for bit, label in enumerate(row["labels"]) if row["subset"] >> bit & 1]
        picture = bytes(row["picture"]) if row["picture"] is not None else None
        cell = Cell(row["subset"], removed, row["status"], picture, row["width"] or 0, row["height"] or 0)
        families[key].cells.append(cell)
        cells[key, row["subset"]] = cell
    for row in sorted(pairs, key=lambda row: row["caption_id"]):
        reasons = list(row["reasons"]) if row["status"] == "ok" else [row["status"]]
        values = {name: row[name] for name in MEASURED if row[name] is not None}
        cells[row["record_id"], row["subset"]].pairs.append(Pair(row["caption_id"], row["caption"] or "", reasons, values))
    return list(families.values())
