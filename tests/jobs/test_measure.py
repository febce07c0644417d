"""Measurements against annotations, on tables small enough to count by hand."""

import io
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jobs.engine.tables import Store, schema
from jobs.look.measure import markdown, measure, union_iou
from jobs.look.measure.stages import gone
from jobs.look.measure.things import phrases_of, things_of
from jobs.settings import load_settings
from udfs.masks import to_rle
from udfs.thumbnail import COLOURS, thumbnail


def values(rows: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """The cells without their intervals, which tests/jobs/test_shares.py is about."""
    return tuple(tuple(cell.partition(" (")[0] for cell in row) for row in rows)


def block(left: int, right: int) -> dict[str, Any]:
    """A mask of 10 x 20 pixels, set in the columns from ``left`` up to ``right``."""
    mask = np.zeros((10, 20), dtype=bool)
    mask[:, left:right] = True
    return to_rle(mask)


def test_iou_is_that_of_the_unions() -> None:
    assert union_iou([block(0, 4), block(4, 10)], [block(0, 10)]) == 1.0
    assert union_iou([block(0, 10)], [block(5, 15)]) == pytest.approx(50 / 150)
    assert union_iou([block(0, 10)], []) == 0.0
    other_size = to_rle(np.ones((10, 21), dtype=bool))
    assert union_iou([block(0, 10)], [other_size]) is None


def test_a_thumbnail_is_small_and_has_outlines() -> None:
    picture = io.BytesIO()
    Image.new("RGB", (400, 200), "white").save(picture, format="PNG")
    data = thumbnail(picture.getvalue(), 100, [[block(5, 15)]])
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    assert pixels.shape == (50, 100, 3)
    assert np.abs(pixels[25, 25].astype(int) - COLOURS[0]).max() < 60, "the left edge of the block"
    assert pixels[25, 50].min() > 200, "its inside is not painted over"


BOX = {"x": 0.0, "y": 0.0, "width": 10.0, "height": 10.0}


@pytest.fixture(scope="module")
def store(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One image; its captions name a dog (detected and true), a cat (only detected) and a bus (only true)."""
    store = Store(spark, str(tmp_path_factory.mktemp("measured")))

    def write(table: str, *rows: dict[str, Any]) -> None:
        shape = schema(spark, table)
        common = {"ingest_batch": "00000000", "record_id": "r", "attempt": 0, "status": "ok", "batch_id": 0}
        values = [tuple((common | row).get(name) for name in shape.names) for row in rows]
        store.append(spark.createDataFrame(values, shape), table)

    def mention(label: str, certain: bool = True) -> dict[str, Any]:
        return {"phrase": label, "head": label, "label": label, "start": 0, "end": 1, "rank": 0, "certain": certain}

    def detection(label: str, mask: dict[str, Any], score: float) -> dict[str, Any]:
        return {"label": label, "score": score, "box": BOX, "mask": mask, "area_fraction": 0.5, "crowd": False}

    def part(label: str, instance: int) -> dict[str, Any]:
        extra = {"attached": [], "carries": [], "area_fraction": 0.5}
        return {"label": label, "phrases": [label], "instances": [instance]} | extra

    def text(subset: int, rewriter: str | None, status: str, checks: list[str]) -> dict[str, Any]:
        return {"caption_id": "c", "subset": subset, "rewriter": rewriter, "checks": checks, "status": status}

    truth = [{"label": label, "box": BOX, "mask": block(5, 15), "crowd": False} for label in ("dog", "bus", "clock")]
    write("images", {"source_key": "a.png", "annotations": truth, "image": b"x"})
    names = [mention("dog"), mention("cat"), mention("bus"), mention("clock", certain=False), mention("*")]
    write("components", {"captions": [{"caption_id": "c", "monotone": True, "status": "ok", "components": names}]})
    write(
        "instances",
        {
            "instances": [
                detection("dog", block(0, 10), 0.9),
                detection("cat", block(0, 2), 0.6),
                detection("bus", block(0, 2), 0.3),
            ]
        },
    )
    write("families", {"n": 2, "components": [part("dog", 0), part("cat", 1)], "captions": []})
    write(
        "dual_texts",
        {"texts": [text(1, "rules", "ok", []), text(2, "rules", "failed_checks", ["article"]), text(3, None, "x", [])]},
    )
    # Two components that do not touch: the fourth image is assembled from two calls.
    write("dual_images", *({"subset": s, "removed": [], "reused": s in (0, 3), "image": b"x"} for s in range(4)))
    write("rechecks", *({"subset": s, "residual": r, "intruder": 0.0} for s, r in enumerate((0.0, 0.0, 0.2, 0.7))))
    pair = {"caption_id": "c", "caption": "a dog", "relation": "exact", "text_subset": 0, "text_ok": True}
    write("scores", *(pair | {"subset": s, "residual": r} for s, r in enumerate((0.0, 0.0, 0.2, 0.7))))
    run = {"stage": "plan", "batch_id": 0, "run_id": "x", "generation": "g", "rows_in": 1, "wall_seconds": 2.0}
    run["started_at"] = datetime(2024, 1, 1)
    seconds = {"load": 1.0, "decode": 0.1, "model": 0.5, "encode": 0.0}
    write("runs", run | {"seconds": seconds, "settings": load_settings().model_dump_json()})
    return store


def test_what_no_detector_looked_at_is_empty(spark: Any) -> None:
    """A detector that only copies annotations gives no score at all."""
    unseen = (
        "SELECT 'r' AS record_id, 1 AS subset, 'ok' AS status, CAST(NULL AS DOUBLE) AS residual, CAST(NULL AS DOUBLE) AS intruder"
    )
    spark.sql(unseen).createOrReplaceTempView("measured_rechecks")
    rows = gone(Store(spark, "unused"), 0.5, 0.15).rows
    assert [row[1:3] for row in rows] == [("1", "0")] * 2 and {cell for row in rows for cell in row[3:]} == {""}, rows


def box(left: float, width: float = 10.0) -> dict[str, float]:
    return {"x": left, "y": 0.0, "width": width, "height": 10.0}


def test_things_that_phrases_name_are_matched_with_instances_and_components() -> None:
    """A dog with a box of its own, two men whom one phrase names together, a cat that was not found, a word without a class."""

    def referred(label: str, left: float, *starts: int) -> dict[str, Any]:
        phrases = [{"caption_id": "c", "start": start, "end": start + 5} for start in starts]
        return {"label": label, "box": box(left), "phrases": phrases or None}

    annotations = [
        referred("dog", 0, 0),
        referred("person", 20, 10),
        referred("person", 40, 10),
        referred("cat", 60, 20),
        referred("pavilion", 80, 30),
        referred("dog", 90),
    ]
    instances = [
        {"label": "person", "box": box(41)},
        {"label": "person", "box": box(20)},
        {"label": "dog", "box": box(1)},
        {"label": "dog", "box": box(62)},  # where the cat is
    ]
    components = [{"instances": [2, 0], "attached": [1]}]
    known = frozenset({"dog", "person", "cat"})
    dog, men, cat = things_of(annotations, instances, components, known)
    assert dog == {"label": "dog", "found": True, "removed": True, "own": False}
    assert men == {"label": "person", "found": True, "removed": True, "own": False}
    assert cat == {"label": "cat", "found": False, "removed": False, "own": False}
    alone = things_of(annotations, instances, [{"instances": [0, 1], "attached": []}], known)
    assert [thing["own"] for thing in alone] == [False, True, False] and not alone[0]["removed"]
    assert [thing["found"] for thing in things_of(annotations, [], [], known)] == [False] * 3
    read = [{"caption_id": "c", "components": [mention("dog", 2), mention("person", 22), mention("person", 14)]}]
    assert phrases_of(annotations, read, known) == [False, True, True], "the cat's words were read as a person's"
    assert phrases_of(annotations, [{"caption_id": "c", "components": None}], known) == [False] * 3


def mention(label: str, start: int) -> dict[str, Any]:
    return {"label": label, "start": start, "end": start + 1}


def test_every_number_against_a_count_by_hand(store: Store) -> None:
    settings = load_settings()
    sections = {section.title: section for section in measure(store, settings)}
    rows = {title: section.rows for title, section in sections.items()}
    # The clock is an uncertain mention, so its annotation does not count as missed.
    assert values(rows["Components against annotations"]) == (
        ("detector, score >= 0.5", "1", "1", "1", "0.500", "0.500"),
        ("family components", "1", "1", "1", "0.500", "0.500"),
    )
    assert values(rows["Masks against annotations"][:1]) == (("all", "1", "0.333", "0.333", "1.000"),)
    assert values(rows["Family sizes"]) == (("2", "", "1", "1.000"),)
    # removed, duals, looked at, gone at 0.5, gone at 0.15, mean residual, intruders
    assert values(rows["Is what was removed gone?"]) == (
        ("all", "3", "3", "0.667", "0.333", "0.300", "0.000"),
        ("1", "2", "2", "1.000", "0.500", "0.100", "0.000"),
        ("2", "1", "1", "0.000", "0.000", "0.700", "0.000"),
    )
    assert rows["Inpainting calls a family"] == (("all", "1", "3.0", "2.0", "0.333"), ("2", "1", "3.0", "2.0", "0.333"))
    assert values(rows["Texts by rewriter"]) == (("rules", "2", "0.667"), ("none", "1", "0.333"))
    assert values(rows["Texts by status"]) == (("failed_checks", "1", "0.333"), ("ok", "1", "0.333"), ("x", "1", "0.333"))
    assert values(rows["Failed checks"]) == (("article", "1", "0.333"),)
    assert values(rows["Yield of the policy"]) == (
        ("2", "0", "1", "1", "1.000"),
        ("2", "1", "2", "2", "1.000"),
        ("2", "2", "1", "0", "0.000"),
    )
    assert values(rows["Why pairs are not kept"]) == (("residual", "1", "0.250"),)
    assert rows["Seconds an image, by stage"] == (("plan", "1", "1", "2.0", "2.0", "0.1", "0.5", "0.0", "1.0"),)
    assert "What captions name, against the boxes of their phrases" not in rows, "no phrase of this source has a box"
    text = markdown("somewhere", list(sections.values()))
    assert "| dog | 1 | 0.333 | 0.333 | 1.000 (0.207 to 1.000) |" in text
