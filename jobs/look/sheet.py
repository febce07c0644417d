"""sheet: a contact sheet of some families for a person to look at. ``dualset sheet``.

Pixels reach the driver only as thumbnails that the workers make of the chosen families.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import fsspec
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.functions import pandas_udf

from jobs.engine.schemas import NAMES
from jobs.engine.tables import Store
from jobs.engine.views import create_views, current_rows, view_name
from jobs.inpaint import MASKS
from jobs.look.report.pictures import on_original
from jobs.settings import Settings
from udfs.thumbnail import COLOURS, thumbnail

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
SIDE, GAP, HEAD, FOOT = 220, 8, 34, 84  # pixels
ACROSS = 8  # pictures in a line
INK, GREY, KEPT, REJECTED = (20, 20, 20), (110, 110, 110), (20, 120, 40), (180, 30, 30)


@dataclass
class Cell:
    """A dual image: its thumbnail (JPEG), what was removed, the exact text, why it is rejected (empty: it is kept)."""

    subset: int
    removed: list[str]
    picture: bytes | None
    text: str = ""
    reasons: list[str] = field(default_factory=list)


@dataclass
class Line:
    """A family: the source's name for its image, its component labels in bit order, its cells by subset."""

    source_key: str
    labels: list[str]
    cells: list[Cell]


def draw_sheet(store: Store, settings: Settings, output: str, families: int = 20, seed: int = 0) -> int:
    """Write the contact sheet as PNG to ``output`` (any path that fsspec opens); returns how many families are on it.

    Families with n > 0 are drawn by a hash of (record_id, seed), so they are the same on every machine.
    """
    lines = collect_lines(store, settings, families, seed)
    data = BytesIO()
    _draw(lines).save(data, format="PNG")
    with fsspec.open(output, "wb") as file:
        file.write(data.getvalue())
    return len(lines)


def collect_lines(store: Store, settings: Settings, families: int, seed: int) -> list[Line]:
    """What the sheet shows. At most ``families`` x 2^n thumbnails are collected; other families' bytes are not read."""
    create_views(store, settings)
    rows = current_rows(store, "families").where((F.col("status") == "ok") & (F.col("n") > 0))
    chosen = rows.orderBy(F.xxhash64("record_id", F.lit(seed)), "record_id").limit(families)
    chosen = chosen.select("ingest_batch", "record_id", "components", "captions").persist()
    try:
        batches = [row["ingest_batch"] for row in chosen.select("ingest_batch").distinct().collect()]
        pictures = _thumbnails(store, chosen, batches)
        texts = _texts(store, chosen)
        names = current_rows(store, "images").where(F.col("ingest_batch").isin(batches)).select("record_id", "source_key")
        labels = chosen.select("record_id", F.expr(NAMES))
        collected = (
            pictures.join(F.broadcast(names.join(labels, on="record_id", how="inner")), on="record_id", how="inner")
            .join(F.broadcast(texts), on=["record_id", "subset"], how="left")
            .collect()
        )
    finally:
        chosen.unpersist()
    lines: dict[tuple[str, str], Line] = {}
    for row in sorted(collected, key=lambda row: (row["source_key"], row["record_id"], row["subset"])):
        line = lines.setdefault((row["source_key"], row["record_id"]), Line(row["source_key"], row["labels"], []))
        reasons = ["not scored"] if row["reasons"] is None else list(row["reasons"])
        line.cells.append(Cell(row["subset"], row["removed"] or [], row["picture"], row["caption"] or "", reasons))
    return list(lines.values())


def _thumbnails(store: Store, chosen: DataFrame, batches: list[str]) -> DataFrame:
    """record_id, subset, removed, picture of the chosen families; the components are outlined on the original."""

    def shrink(batches: Iterator[pd.DataFrame]) -> Iterator[pd.Series]:
        for batch in batches:
            rows = batch.to_dict("records")
            yield pd.Series([thumbnail(row["image"], SIDE, [part["masks"] for part in row["outlined"]]) for row in rows])

    small = pandas_udf(shrink, returnType="binary").asNondeterministic()  # type: ignore[call-overload]
    instances = current_rows(store, "instances").where(F.col("ingest_batch").isin(batches)).select("record_id", "instances")
    narrow = chosen.join(instances, on="record_id", how="inner").select("record_id", F.expr(MASKS).alias("outlined"))
    duals = current_rows(store, "dual_images").where(F.col("ingest_batch").isin(batches) & (F.col("status") == "ok"))
    return (
        duals.select("record_id", "subset", "removed", "image")
        .join(F.broadcast(narrow), on="record_id", how="inner")
        .select("record_id", "subset", "removed", small(F.struct("image", on_original())).alias("picture"))
    )


def _texts(store: Store, chosen: DataFrame) -> DataFrame:
    """record_id, subset, caption, reasons of one caption a family: that which names most of its components, the first of such."""
    usable = F.expr("filter(captions, c -> c.status = 'ok')")
    ranked = F.expr("array_sort(transform(usable, c -> struct(-bit_count(c.names) AS rank, c.caption_id AS caption_id)))")
    caption_id = F.expr("get(ranked, 0).caption_id").alias("caption_id")
    shown = chosen.withColumn("usable", usable).withColumn("ranked", ranked).select("record_id", caption_id)
    reasons = F.when(F.col("status") == "ok", F.col("reject_reasons")).otherwise(F.array("status")).alias("reasons")
    return (
        store.spark.read.table(view_name(store, "augmented"))
        .join(F.broadcast(shown), on=["record_id", "caption_id"], how="inner")
        .select("record_id", "subset", "caption", reasons)
    )


def _draw(lines: list[Line]) -> Image.Image:
    # The workers wrote these bytes as JPEG; the format is named so that no other parser is tried on them.
    rows = [
        (line, [(cell, cell.picture and Image.open(BytesIO(cell.picture), formats=["JPEG"])) for cell in part])
        for line in lines
        for part in (line.cells[start : start + ACROSS] for start in range(0, len(line.cells), ACROSS))
    ]
    tall = [max((picture.height for _, picture in cells if picture), default=0) for _, cells in rows]
    across = max((len(cells) for _, cells in rows), default=1)
    size = (across * (SIDE + GAP) + GAP, max(SIDE, sum(tall) + len(rows) * (HEAD + FOOT + GAP) + GAP))
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    top = GAP
    for (line, cells), height in zip(rows, tall, strict=True):
        for column, (cell, picture) in enumerate(cells):
            left = GAP + column * (SIDE + GAP)
            if picture:
                sheet.paste(picture, (left, top + HEAD))
            _write(pen, font, (left, top), top + HEAD + height + 2, line, cell)
        top += HEAD + height + FOOT + GAP
    return sheet


def _write(pen: ImageDraw.ImageDraw, font: Font, place: tuple[int, int], below: int, line: Line, cell: Cell) -> None:
    """Write above and below a picture: labels, text, verdict."""
    left, top = place
    if cell.subset == 0:
        pen.text(place, _end(pen, font, line.source_key), fill=INK, font=font)
        across = left
        for bit, label in enumerate(line.labels):
            pen.text((across, top + 15), label, fill=COLOURS[bit % len(COLOURS)], font=font)
            across += int(pen.textlength(label + "  ", font=font))
    else:
        for index, text in enumerate(_fit(pen, font, "without " + ", ".join(cell.removed), 2)):
            pen.text((left, top + 15 * index), text, fill=INK, font=font)
    for index, text in enumerate(_fit(pen, font, cell.text or "(no text)", 4)):
        pen.text((left, below + 15 * index), text, fill=INK if cell.text else GREY, font=font)
    verdict = "reject: " + ", ".join(cell.reasons) if cell.reasons else "keep"
    pen.text((left, below + 62), _fit(pen, font, verdict, 1)[0], fill=REJECTED if cell.reasons else KEPT, font=font)


def _end(pen: ImageDraw.ImageDraw, font: Font, text: str) -> str:
    """As much of a text's end as fits the width of a thumbnail: file names differ at their ends."""
    cut = 0
    while pen.textlength(f"...{text[cut:]}" if cut else text, font=font) > SIDE:
        cut += 1
    return f"...{text[cut:]}" if cut else text


def _fit(pen: ImageDraw.ImageDraw, font: Font, text: str, most: int) -> list[str]:
    """Break a text into at most ``most`` lines as wide as a thumbnail; a longer one ends in an ellipsis."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer, font=font) <= SIDE or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        lines[most - 1] += " ..."
    return lines[:most]
