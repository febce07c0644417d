"""Killed twice at random and started again, the chain ends with the tables of a run that nobody disturbed.

`python -m tests.kill` does the same over all stages.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kill import MOMENTS, STAGES, Point, Source, disturbed, draw, sweep, undisturbed
from pyspark.sql import SparkSession
from same_tables import differences, unequal


@pytest.fixture
def source(coco_mini: Path, yolo: Path, tmp_path: Path) -> Iterator[Source]:
    captions = coco_mini / "annotations" / "captions_val2017.json"
    made = Source.cut(coco_mini / "val2017", captions, str(yolo), tmp_path, count=12, batch=6)
    yield made
    sweep(made.mark)


@pytest.mark.timeout(1800)
def test_two_random_kills_leave_no_trace(spark: SparkSession, source: Source, tmp_path: Path) -> None:
    timeline = undisturbed(source, tmp_path / "whole")
    # Other points on demand; by default the same ones, so that a failure is one that somebody can see again.
    points = draw(2, int(os.environ.get("DUALSET_KILL_SEED", "0")), timeline)
    hit = disturbed(source, tmp_path / "killed", points, timeline)
    told = f"points {[str(point) for point in points]}, killed at {[str(point) for point in hit]}"
    assert hit, told
    assert differences(spark, str(tmp_path / "whole"), str(tmp_path / "killed")) == [], told


def test_points_cover_all_stages_and_are_drawn_again_from_their_seed() -> None:
    timeline = dict.fromkeys(STAGES, (3.0, 10.0))
    points = draw(9, 0, timeline)
    assert [point.stage for point in points] == list(STAGES)
    assert points == draw(9, 0, timeline) != draw(9, 1, timeline)
    assert {point.moment for point in draw(300, 0, timeline)} == set(MOMENTS)
    assert {point.moment for point in draw(90, 0, timeline, ["commit"]) if point.stage != "add"} == {"commit"}
    assert Point("plan", 1, "offset", "jvm", 0.5).place < Point("plan", 1, "commit", "jvm", 0.5).place


def test_tables_are_compared_value_by_value() -> None:
    row = {
        "record_id": "a",
        "image": b"\x00",
        "texts": [{"caption": "a dog", "agreement": 0.5, "error": "at 0x1"}],
        "run_id": "1",
    }
    assert not list(unequal(row, row | {"run_id": "2"}))
    assert not list(unequal(row, row | {"texts": [{"caption": "a dog", "agreement": 0.50001, "error": "at 0x2"}]}))
    assert list(unequal(row, row | {"texts": [{"caption": "a dog", "agreement": None, "error": ""}]})) == [
        ".texts[0].agreement: 0.5 and None"
    ]
    assert list(unequal(row, row | {"image": b"\x01"})) and list(unequal(row, row | {"texts": []}))
