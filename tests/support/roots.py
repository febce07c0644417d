"""Shared by the tests of the whole chain: small COCO-format sources of drawn pictures, roots, and checks of query plans."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from pyspark.sql import DataFrame, SparkSession

from jobs import ingest
from jobs.chain import run_chain
from jobs.engine.schemas import TABLES
from jobs.engine.stream import Run
from jobs.engine.tables import Store
from jobs.engine.versions import bring_up_to_date
from jobs.settings import load_settings
from jobs.sources import records

Row = dict[str, Any]
Corners = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are not inside
COLOURS = {"dog": "saddlebrown", "cat": "orange", "person": "navy", "car": "red"}
LABELS = tuple(COLOURS)
CHAIN_TABLES = ("records", "images", "components", "instances", "families", "dual_texts", "dual_images", "rechecks", "scores")


@dataclass(frozen=True)
class Picture:
    """A picture of a source: its file, what is drawn (label, corners), and its captions.

    ``data`` stands for the drawing where a test needs bytes of its own; None: the file is listed but missing.
    """

    name: str
    captions: Sequence[str]
    things: Sequence[tuple[str, Corners]] = ()
    size: tuple[int, int] = (96, 64)  # width, height: what the instances file says
    shade: int = 0  # tells apart pictures that are otherwise drawn alike
    data: bytes | None = b"draw"


@dataclass
class Source:
    """A COCO-format source in a folder; ``write`` adds pictures and rewrites the annotation files."""

    folder: Path
    pictures: list[Picture] = field(default_factory=list)

    @property
    def options(self) -> dict[str, str]:
        """The options of ``dualset ingest coco``."""
        names = {"images": "images", "captions": "captions.json", "instances": "instances.json"}
        return {option: str(self.folder / name) for option, name in names.items()}

    def write(self, *pictures: Picture) -> "Source":
        """Add pictures, then write all images that are not missing and both annotation files."""
        (self.folder / "images").mkdir(parents=True, exist_ok=True)
        self.pictures += pictures
        listed, captions, instances = [], [], []
        for image_id, picture in enumerate(self.pictures):
            path = self.folder / "images" / picture.name
            if picture.data == b"draw":
                draw(picture).save(path)
            elif picture.data is not None and ".." not in picture.name:
                path.write_bytes(picture.data)
            width, height = picture.size
            listed.append({"id": image_id, "file_name": picture.name, "width": width, "height": height})
            captions += [{"id": 100 * image_id + i, "image_id": image_id, "caption": c} for i, c in enumerate(picture.captions)]
            instances += [_annotation(image_id, label, corners) for label, corners in picture.things]
        categories = [{"id": i, "name": name} for i, name in enumerate(LABELS)]
        for name, tree in (
            ("captions.json", {"images": listed, "annotations": captions}),
            ("instances.json", {"images": listed, "annotations": instances, "categories": categories}),
        ):
            (self.folder / name).write_text(json.dumps(tree))  # lone surrogates are escaped, as JSON allows
        return self


def draw(picture: Picture) -> Image.Image:
    """The picture: coloured boxes on a gradient."""
    width, height = picture.size
    image = Image.linear_gradient("L").resize((width, height)).point(lambda grey: 40 + grey // 2 + picture.shade).convert("RGB")
    for label, corners in picture.things:
        left, top, right, bottom = corners
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=COLOURS[label])
    return image


def open_root(spark: SparkSession, root: Path | str, *overrides: str) -> Run:
    """A new invocation over a root: annotations as segmenter, OpenCV, png, unless overridden."""
    settings = load_settings("annotations", overrides)
    return Run(Store.of(spark, str(root), settings), settings)


def take(run: Run, source: Source, /, **options: str) -> int:
    """``dualset ingest coco`` up to the records table; returns the number of new records."""
    return ingest.add(run, records(run.store.spark, "coco", source.options | options, run.settings.ingest))


def run_stages(run: Run, *names: str) -> None:
    """Bring these stages (all, if none is named) up to date."""
    run_chain(run, names) if names else run_chain(run)


def run_one(run: Run, stage: Any) -> None:
    """Bring one stage up to date."""
    bring_up_to_date(stage, run)


def rows(run: Run, table: str, *columns: str) -> list[Row]:
    """Rows of a table as plain dicts; without columns all but bytes."""
    frame = run.store.read(table)
    selected = columns or tuple(name for name, kind in frame.dtypes if kind != "binary")
    return [row.asDict(recursive=True) for row in frame.select(*selected).collect()]


def by_key(table: list[Row], *key: str) -> dict[Any, Row]:
    """Rows by key; fails where one key has two rows."""
    keys = [tuple(row[name] for name in key) if len(key) > 1 else row[key[0]] for row in table]
    assert len(set(keys)) == len(keys), f"{key} occurs twice: {sorted(keys)}"
    return dict(zip(keys, table, strict=True))


def check_complete(run: Run) -> None:
    """Every ok row of a table has its rows in the next table, once each, and no row has another origin (invariants 1 and 5)."""
    latest = {table: last_attempts(run, table) for table in CHAIN_TABLES}
    ok = {table: {key for key, row in current.items() if row["status"] == "ok"} for table, current in latest.items()}
    chain = ("records", "images", "components", "instances", "families", "dual_texts")
    for source, target in zip(chain, chain[1:], strict=False):
        assert ok[source] == latest[target].keys(), f"{source} -> {target}"
    sizes = {key: latest["families"][key]["n"] for key in ok["dual_texts"]}
    assert latest["dual_images"].keys() == {(key, subset) for key, n in sizes.items() for subset in range(1 << n)}
    assert latest["rechecks"].keys() == ok["dual_images"]
    usable = {key: [c["caption_id"] for c in row["captions"] if c["status"] in USABLE] for key, row in latest["families"].items()}
    assert latest["scores"].keys() == {(key, subset, caption) for key, subset in ok["rechecks"] for caption in usable[key]}


USABLE = ("ok", "not_monotone")


def last_attempts(run: Run, table: str) -> dict[Any, Row]:
    """The current rows of a table by key, without bytes; fails where one attempt at a key has two rows."""
    key = TABLES[table].key
    tries = by_key(rows(run, table), *key, "attempt") if table != "records" else by_key(rows(run, table), *key)
    current: dict[Any, Row] = {}
    for row in sorted(tries.values(), key=lambda row: row.get("attempt", 0)):
        current[tuple(row[name] for name in key) if len(key) > 1 else row[key[0]]] = row
    return current


def exchanges(frame: DataFrame) -> list[tuple[str, dict[str, str]]]:
    """Every exchange in the physical plan: (its kind, the type of each column that it carries).

    Includes those in cached plans and in plans that are not final yet.
    """
    carried: list[tuple[str, dict[str, str]]] = []
    todo = [frame._jdf.queryExecution().executedPlan()]
    while todo:
        node = todo.pop()
        kind = node.getClass().getSimpleName()
        if "Exchange" in kind and "Reuse" not in kind:
            output = node.output()
            columns = [output.apply(i) for i in range(output.size())]
            carried.append((kind, {column.name(): column.dataType().catalogString() for column in columns}))
        if kind == "AdaptiveSparkPlanExec":
            todo.append(node.initialPlan())
        elif kind == "InMemoryTableScanExec":
            todo.append(node.relation().cachedPlan())
        children = node.children()
        todo += [children.apply(i) for i in range(children.size())]
    return carried


def shuffled_bytes(spark: SparkSession) -> int:
    """Bytes that this session's stages have written for shuffles so far."""
    context, gateway = spark.sparkContext, spark.sparkContext._gateway
    assert gateway is not None
    no_quantiles = gateway.new_array(gateway.jvm.double, 0)
    stages = context._jsc.sc().statusStore().stageList(None, False, False, no_quantiles, None)
    return sum(stages.apply(i).shuffleWriteBytes() for i in range(stages.size()))


def _annotation(image_id: int, label: str, corners: Corners) -> Row:
    left, top, right, bottom = corners
    polygon = [left, top, right, top, right, bottom, left, bottom]
    return {
        "image_id": image_id,
        "category_id": LABELS.index(label),
        "bbox": [left, top, right - left, bottom - top],
        "segmentation": [polygon],
        "iscrowd": 0,
    }
