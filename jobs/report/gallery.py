"""The gallery: some families as lattices.

Small pictures and outlines are made in the workers, of the chosen families only; nothing else of images leaves them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.inpaint import MASKS
from jobs.policy import MEASURED, RULES

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

    from jobs.settings import Policy, Settings
    from jobs.tables import Store

SIDES = (256, 256, 256, 256, 192, 144, 112)  # longer side of a picture in pixels, by n: a family never has more than ~1 MB
PICTURE = "picture BINARY, width INT, height INT, outlines ARRAY<STRING>"


@dataclass(frozen=True)
class Pair:
    """A dual image with the exact text of one caption; ``reasons`` empty: it is kept."""

    caption_id: str
    text: str
    reasons: list[str]
    values: dict[str, float]  # measured columns of `scores`


@dataclass
class Cell:
    """One image of a family. ``picture`` is WebP; None where none was made, and ``status`` says why."""

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


def gather_gallery(store: "Store", settings: "Settings", families: int, seed: int, doubtful: float) -> list[Family]:
    """``families`` families with n > 0; a share ``doubtful`` of them those nearest to a limit of the policy, the rest by a hash.

    Needs the views of ``jobs.report.gather.name_tables``. At most ``families`` x 2^n pictures are collected.
    """
    from pyspark.sql import functions as F

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
            "record_id", "n", "doubt", "doubtful", "source_key", "transform(components, c -> c.label) AS labels",
            f"{MASKS} AS outlined",
        )
    )  # fmt: skip
    pictures = _pictures(_of(store, "dual_images", chosen), plans).collect()
    facts = ("record_id", "subset", "caption_id", "caption", "status", "reasons")
    pairs = _of(store, "pairs", chosen).select(*facts, *MEASURED).collect()
    return _assemble(pictures, pairs, [row[0] for row in chosen])


Choice = tuple[str, str, float | None, bool]  # record_id, ingest_batch, doubt, whether chosen for it


def _choose(store: "Store", policy: "Policy", families: int, seed: int, share: float) -> list[Choice]:
    """The doubtful first. A family's doubt is the least distance of its pairs to a limit, as a share of the limit; 0 is on it."""
    from pyspark.sql import functions as F

    whole = store.spark.table("report_families").where("status = 'ok' AND n > 0").select("record_id", "ingest_batch")
    picked: list[Choice] = []
    margins = doubt_sql(policy)
    if margins and round(families * share):
        doubts = store.spark.table("report_pairs").where("subset <> 0 AND status = 'ok'")
        doubts = doubts.groupBy("record_id").agg(F.min(F.expr(margins)).alias("doubt")).where("doubt IS NOT NULL")
        found = whole.join(doubts, on="record_id", how="inner").orderBy("doubt", "record_id").limit(round(families * share))
        picked = [(row["record_id"], row["ingest_batch"], row["doubt"], True) for row in found.collect()]
    others = whole.where(~F.col("record_id").isin([row[0] for row in picked]))
    others = others.orderBy(F.xxhash64("record_id", F.lit(seed)), "record_id").limit(families - len(picked))
    return picked + [(row["record_id"], row["ingest_batch"], None, False) for row in others.collect()]


def doubt_sql(policy: "Policy") -> str:
    """Spark SQL for how near a pair is to the nearest limit of the policy, as a share of the limit; "" if there is no limit.

    The edited share is left out: it is known exactly, and says nothing of how the picture looks.
    """
    margins = [
        f"abs({column} - {float(limit)!r}D) / {max(abs(limit), 0.01)!r}D"
        for setting, column, *_ in RULES
        if (limit := getattr(policy, setting)) is not None and column != "edited_fraction"
    ]
    # `least` skips nulls, and wants two.
    return f"least({', '.join([*margins, 'cast(null AS DOUBLE)'])})" if margins else ""


def _of(store: "Store", name: str, chosen: Sequence[Choice]) -> "DataFrame":
    """The chosen families' rows. The batch prunes files, the ids what is read of them: a join alone would read all images."""
    from pyspark.sql import functions as F

    ids, batches = ([row[place] for row in chosen] for place in (0, 1))
    return store.spark.table(f"report_{name}").where(F.col("ingest_batch").isin(batches) & F.col("record_id").isin(ids))


def _pictures(duals: "DataFrame", plans: "DataFrame") -> "DataFrame":
    # Written as strings the annotations could not be resolved: pandas is imported here only.
    import pandas as pd
    from pyspark.sql import functions as F
    from pyspark.sql.functions import pandas_udf

    def draw(batches: Iterator["pd.DataFrame"]) -> Iterator["pd.DataFrame"]:
        from jobs.report.pictures import NAMES, draw_small

        for batch in batches:
            made = [draw_small(row["image"], SIDES[int(row["n"])], row["outlined"]) for row in batch.to_dict("records")]
            yield pd.DataFrame({name: pd.Series([row[name] for row in made], dtype=object) for name in NAMES})

    draw.__annotations__ = {"batches": Iterator[pd.DataFrame], "return": Iterator[pd.DataFrame]}
    small = pandas_udf(draw, returnType=PICTURE).asNondeterministic()  # type: ignore[call-overload]
    facts = ("record_id", "source_key", "labels", "doubt", "doubtful", "subset", "removed", "status")
    outlined = F.expr("CASE WHEN subset = 0 THEN outlined ELSE filter(outlined, c -> false) END").alias("outlined")
    wide = duals.select("record_id", "subset", "removed", "status", "image")
    joined = wide.join(F.broadcast(plans), on="record_id", how="inner")
    return joined.select(*facts, small(F.struct("image", "n", outlined)).alias("made")).select(*facts, "made.*")


def _assemble(pictures: Sequence[Any], pairs: Sequence[Any], order: list[str]) -> list[Family]:
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
