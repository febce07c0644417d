"""Killed at random and restarted, the chain ends with the tables of an undisturbed run.

`python -m tests.support.kill` does the same over all stages.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs import ingest
from jobs.chain import NAMES, run_chain
from jobs.engine.stream import Run
from jobs.engine.tables import Store
from jobs.settings import load_settings
from jobs.sources import records
from tests.support.kill import MOMENTS, STAGES, Point, Source, disturbed, draw, sweep, timeline_of
from tests.support.originals import Originals
from tests.support.same_tables import differences, unequal

START_S = 10  # until a command writes; it only places the random moments
# Photographs test the same kills, and in one ingest batch: every micro-batch has a price of its own.
COUNTS, BATCHES = {"scenes": 12, "photographs": 4}, {"scenes": 2, "photographs": 1}


@pytest.fixture
def source(originals: Originals, tmp_path: Path) -> Iterator[Source]:
    count = COUNTS[originals.name]
    source = Source.cut(originals, tmp_path, count, batch=count // BATCHES[originals.name])
    yield source
    sweep(source.mark)


@pytest.mark.timeout(1800)
def test_random_kills_leave_no_trace(spark: SparkSession, originals: Originals, source: Source, tmp_path: Path) -> None:
    reference, killed = str(tmp_path / "whole"), str(tmp_path / "killed")
    timeline = undisturbed_here(spark, originals, source, tmp_path / "whole", tmp_path / "before")
    # The same points by default, so that a failure can be reproduced; other points on demand.
    seed = {"scenes": 0, "photographs": 7}[originals.name]
    points = draw(1, int(os.environ.get("DUALSET_KILL_SEED", seed)), timeline)
    if points[0].stage not in ("add", "ingest"):
        shutil.move(tmp_path / "before" / points[0].stage, killed)
    hit = disturbed(source, tmp_path / "killed", points, timeline)
    plan = f"points {[str(point) for point in points]}, killed at {[str(point) for point in hit]}"
    assert hit, plan
    duals = spark.read.format("delta").load(f"{reference}/tables/dual_images").where("status = 'ok' AND subset > 0").count()
    assert duals > 0, "nothing was removed from any image"
    assert differences(spark, reference, killed) == [], plan


def undisturbed_here(
    spark: SparkSession, originals: Originals, source: Source, root: Path, before: Path
) -> dict[str, tuple[float, float]]:
    """As the two commands would, in the session of the tests, which has started; ``before / STAGE`` is the root before a stage.

    The first kill's child goes on from there: what comes before the first kill is not disturbed.
    """
    began, settings = time.time() - START_S, load_settings("photos", source.settings)
    run = Run(Store.of(spark, str(root), settings), settings)
    options = {"images": str(originals.images), "captions": str(source.captions)}
    ingest.add(run, records(spark, "coco", options, settings.ingest))
    for stage in NAMES:
        shutil.copytree(root, before / stage)
        run_chain(run, [stage])
    return timeline_of(root, began)


def test_points_cover_all_stages_and_are_drawn_again_from_their_seed() -> None:
    timeline = dict.fromkeys(STAGES, (3.0, 10.0))
    points = draw(9, 0, timeline)
    assert [point.stage for point in points] == list(STAGES)
    assert points == draw(9, 0, timeline) != draw(9, 1, timeline)
    assert {point.moment for point in draw(300, 0, timeline)} == set(MOMENTS)
    assert {point.moment for point in draw(90, 0, timeline, ["commit"]) if point.stage != "add"} == {"commit"}
    assert Point("plan", 1, "offset", "jvm", 0.5).position < Point("plan", 1, "commit", "jvm", 0.5).position


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
