"""Invariants 1 to 6 over the tables of a real run: scenes or photographs, with their annotations as segmenter and PNG images."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import ingest, inpaint, recheck, score, segment
from jobs.engine.stream import Batch, Run, Stage
from tests.support import roots
from tests.support.originals import Originals
from tests.support.roots import Row
from udfs import images
from udfs.inpaint import lattice
from udfs.masks import Mask, dilate, from_rle, resize
from udfs.truth import relation, submasks

COUNTS = {"scenes": 12, "photographs": 6}  # the fewest photographs that show what the tests demand
SIDES = {"scenes": 160, "photographs": 320}  # longer side of the dual images: the originals are larger, so all are shrunk
SIZES = {"scenes": {0, 1, 2, 3}, "photographs": {1, 2}}  # family sizes that must occur
IMAGE_STAGES = (ingest.STAGE, segment.STAGE, inpaint.STAGE, recheck.STAGE, score.STAGE)


@dataclass(frozen=True)
class Finished:
    """A finished root, read once: rows by key, without bytes."""

    run: Run
    name: str  # of its originals
    tables: dict[str, dict[Any, Row]]
    shuffled: int  # bytes


@dataclass(frozen=True)
class Family:
    """One family's pixels: the original's bytes, its components' dilated masks, its dual images by subset."""

    source: bytes
    dilated: list[Mask]
    duals: dict[int, np.ndarray]


@pytest.fixture(scope="module")
def finished(spark: SparkSession, originals: Originals, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("originals")
    side, count = SIDES[originals.name], COUNTS[originals.name]
    run = roots.open_root(spark, folder / "root", f"codec.max_side={side}", *originals.settings)
    before = roots.shuffled_bytes(spark)
    assert ingest.add(run, roots.records(spark, "coco", originals.first(count, folder).options)) == count
    roots.run_stages(run)
    shuffled = roots.shuffled_bytes(spark) - before
    return Finished(run, originals.name, {table: roots.last_attempts(run, table) for table in roots.CHAIN_TABLES}, shuffled)


@pytest.fixture(scope="module")
def pixels(finished: Finished) -> dict[str, Family]:
    """The families that have a component."""
    store, tables = finished.run.store, finished.tables
    sources = {row["record_id"]: bytes(row["image"]) for row in store.read("images").select("record_id", "image").collect()}
    duals: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
    for row in store.read("dual_images").where("status = 'ok'").select("record_id", "subset", "image").collect():
        duals[row["record_id"]][row["subset"]] = images.decode(bytes(row["image"]))
    families = {}
    for key, family in tables["families"].items():
        if family["n"]:
            shape = duals[key][0].shape[:2]
            radius = finished.run.settings.inpainter.dilate * max(shape)
            outlines = tables["instances"][key]["instances"]
            members = [[*part["instances"], *part["attached"]] for part in family["components"]]
            masks = [np.any([from_rle(outlines[i]["mask"]) for i in indices], axis=0) for indices in members]
            families[key] = Family(sources[key], [dilate(resize(mask, *shape), radius) for mask in masks], duals[key])
    return families


def test_1_a_family_of_n_has_its_power_set(finished: Finished):
    tables = finished.tables
    sizes = {key: row["n"] for key, row in tables["families"].items()}
    assert len(sizes) == COUNTS[finished.name] and set(sizes.values()) >= SIZES[finished.name], (
        f"the images show too little: {sizes.values()}"
    )
    subsets: dict[str, set[int]] = defaultdict(set)
    for key, subset in tables["dual_images"]:
        subsets[key].add(subset)
    assert subsets == {key: set(range(2**n)) for key, n in sizes.items()}
    for key, row in tables["dual_texts"].items():
        subsets_by_caption: dict[str, list[int]] = defaultdict(list)
        for text in row["texts"]:
            subsets_by_caption[text["caption_id"]].append(text["subset"])
        for caption in tables["families"][key]["captions"]:
            assert subsets_by_caption[caption["caption_id"]] == submasks(caption["names"])
            assert len(subsets_by_caption[caption["caption_id"]]) == 2 ** caption["names"].bit_count() - 1


def test_2_outside_the_dilated_mask_a_dual_is_its_original(finished: Finished, pixels: dict[str, Family]):
    for key, family in pixels.items():
        shrunk = images.shrink(images.decode(family.source), finished.run.settings.codec.max_side)
        assert np.array_equal(family.duals[0], shrunk), f"{key}: the original did not pass through the same encoder"
        for subset, dual in family.duals.items():
            outside = ~union(family.dilated, subset, shrunk.shape[:2])
            assert np.array_equal(dual[outside], shrunk[outside]), (key, subset)
            if subset:
                assert not np.array_equal(dual, shrunk), f"{key}: nothing was removed for {subset}"


def test_3_removal_is_nested(pixels: dict[str, Family]):
    checked, touch, apart = 0, 0, 0
    for key, family in pixels.items():
        grouping = lattice.groups(family.dilated)
        touch += any(group.bit_count() > 1 for group in grouping)
        apart += len(grouping) > 1
        for superset in family.duals:
            for subset in (0, *submasks(superset)):
                extra = superset & ~subset
                touching = sum(group for group in grouping if group & extra)
                outside = ~union(family.dilated, touching & superset, family.duals[0].shape[:2])
                assert np.array_equal(family.duals[subset][outside], family.duals[superset][outside]), (key, subset, superset)
                checked += 0 < subset < superset
    assert checked and touch and apart, "no image has two components, that touch or are apart"


def test_4_a_component_is_all_instances_of_its_label(finished: Finished):
    tables, rule, several = finished.tables, finished.run.settings.plan, 0
    for key, family in tables["families"].items():
        instances = tables["instances"][key]["instances"]
        for part in family["components"]:
            scores = {i: instance["score"] for i, instance in enumerate(instances) if instance["label"] == part["label"]}
            assert part["instances"] == [i for i, value in scores.items() if value >= rule.remove_score]
            several += len(part["instances"]) > 1
            assert max(scores.values()) >= rule.enter_score
            assert rule.min_area <= part["area_fraction"] <= rule.max_area
        labels = [part["label"] for part in family["components"]]
        assert len(set(labels)) == len(labels) <= finished.run.settings.components.n
        assert (family["reason"] is None) == bool(labels)
    assert several, "no component has two instances"


def test_5_nothing_is_lost_or_duplicated(finished: Finished):
    roots.check_complete(finished.run)
    assert all(
        len(finished.tables[table]) == COUNTS[finished.name]
        for table in ("records", "images", "components", "instances", "families")
    )


def test_5_scores_are_the_ok_images_times_the_usable_captions(finished: Finished):
    tables = finished.tables
    usable = {
        key: sum(caption["status"] in roots.USABLE for caption in row["captions"]) for key, row in tables["families"].items()
    }
    expected = sum(usable[key] for (key, _), row in tables["dual_images"].items() if row["status"] == "ok")
    assert len(tables["scores"]) == expected > 50
    runs = [row for row in roots.rows(finished.run, "runs") if row["stage"] == "score"]
    assert sum(sum(row["rows"].values()) for row in runs) == expected, "runs counts what was committed"


def test_a_scored_text_is_exact_for_its_image_or_unknown(finished: Finished):
    tables = finished.tables
    for (key, subset, caption_id), row in tables["scores"].items():
        texts = {text["subset"]: text for text in tables["dual_texts"][key]["texts"] if text["caption_id"] == caption_id}
        assert row["text_subset"] == row["names"] & subset
        if row["text_subset"]:
            assert row["caption"] == texts[row["text_subset"]]["caption"]
        if row["status"] == "ok":
            truth = relation(subset, row["names"], row["mentions"], row["may_mention"]).name.lower()
            assert row["relation"] == truth in ("exact", "unknown"), (key, subset, caption_id, row["caption"])
            assert row["keep"] == (row["reject_reasons"] == [])
        else:
            assert row["caption"] is None or row["status"] == "not_monotone"
            assert not row["keep"]


@pytest.mark.parametrize("stage", IMAGE_STAGES, ids=[stage.name for stage in IMAGE_STAGES])
def test_6_no_exchange_carries_bytes(finished: Finished, stage: Stage):
    with finished_batch(finished.run, stage) as batch:
        result = stage.transform(batch)
        exchanges = roots.exchanges(result)
        carriers = [(kind, column) for kind, columns in exchanges for column, shape in columns.items() if "binary" in shape]
        assert not carriers
        assert exchanges, "a plan without exchanges means that nothing was checked"
        if not stage.blob_target:  # with a target, rows are coalesced into one file
            assert not [name for name, shape in result.dtypes if "binary" in shape]


def test_6_a_plan_that_shuffles_bytes_would_be_seen(finished: Finished):
    pictures = finished.run.store.read("images").select("record_id", "image")
    nested = F.broadcast(pictures.select("record_id", F.struct("image").alias("within")))
    shuffled, sent = pictures.repartition(2, "record_id"), pictures.join(nested, on="record_id", how="inner")
    for frame in (shuffled, sent):
        assert any("binary" in shape for _, columns in roots.exchanges(frame) for shape in columns.values())


def test_6_less_is_shuffled_than_the_images_hold(finished: Finished, capsys: pytest.CaptureFixture[str]):
    store = finished.run.store
    held = [store.read(table).agg(F.sum(F.length("image"))).first() for table in ("images", "dual_images")]
    ingested, duals = (row[0] for row in held if row is not None)
    with capsys.disabled():
        print(f"\n  bytes: {ingested:,} of images, {duals:,} of dual images, {finished.shuffled:,} shuffled")  # noqa: T201
    assert finished.shuffled < 0.25 * (ingested + duals)


@contextmanager
def finished_batch(run: Run, stage: Stage) -> Iterator[Batch]:
    """The rows of a finished root as the stage would read them, all at once."""
    rows = run.store.read(stage.source).where("status = 'ok'")
    if stage.source == "records":
        rows = rows.withColumn("ingest_batch", F.lit("00000000"))
    batches = tuple(row["ingest_batch"] for row in run.store.read("images").select("ingest_batch").distinct().collect())
    batch = Batch(rows, run.store, run.settings, batches)
    yield batch
    batch.release()


def union(masks: list[Mask], subset: int, shape: tuple[int, ...]) -> Mask:
    """Where at least one component of a subset is."""
    selected = [mask for i, mask in enumerate(masks) if subset >> i & 1]
    return np.any(selected, axis=0) if selected else np.zeros(shape, dtype=bool)
