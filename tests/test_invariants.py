"""DESIGN's invariants 1 to 6 over the tables of a real run: twelve photographs, their own annotations as segmenter, png."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import ingest, inpaint, recheck, score, segment
from jobs.stream import Batch, Run, Stage
from jobs.truth import relation, submasks
from tests import roots
from tests.roots import Row
from udfs import images, lattice
from udfs.masks import Mask, dilate, from_rle, resize

COUNT, SIDE = 12, 320  # photographs, and their longer side in the dual images
IMAGE_STAGES = (ingest.STAGE, segment.STAGE, inpaint.STAGE, recheck.STAGE, score.STAGE)


@dataclass(frozen=True)
class Photographs:
    """A finished root, read once: rows by key, without bytes."""

    run: Run
    tables: dict[str, dict[Any, Row]]
    shuffled: int  # bytes


@dataclass(frozen=True)
class Family:
    """One family's pixels: the original's bytes, its components' dilated masks, its dual images by subset."""

    source: bytes
    dilated: list[Mask]
    duals: dict[int, np.ndarray]


@pytest.fixture(scope="session")
def photographs(spark: SparkSession, coco_mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Photographs:
    folder = tmp_path_factory.mktemp("photographs")
    options = {"images": str(coco_mini / "val2017")}
    for option, name in (("captions", "captions_val2017.json"), ("instances", "instances_val2017.json")):
        tree = json.loads((coco_mini / "annotations" / name).read_text())
        tree["images"] = sorted(tree["images"], key=lambda image: image["file_name"])[:COUNT]
        chosen = {image["id"] for image in tree["images"]}
        tree["annotations"] = [item for item in tree["annotations"] if item["image_id"] in chosen]
        (folder / name).write_text(json.dumps(tree))
        options[option] = str(folder / name)
    run = roots.open_root(spark, folder / "root", f"codec.max_side={SIDE}")
    before = roots.shuffled_bytes(spark)
    assert ingest.add(run, roots.records(spark, "coco", options)) == COUNT
    roots.run_stages(run)
    shuffled = roots.shuffled_bytes(spark) - before
    return Photographs(run, {table: roots.last_attempts(run, table) for table in roots.CHAIN_TABLES}, shuffled)


@pytest.fixture(scope="session")
def pixels(photographs: Photographs) -> dict[str, Family]:
    """The families that have a component."""
    store, tables = photographs.run.store, photographs.tables
    sources = {row["record_id"]: bytes(row["image"]) for row in store.read("images").select("record_id", "image").collect()}
    duals: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
    for row in store.read("dual_images").where("status = 'ok'").select("record_id", "subset", "image").collect():
        duals[row["record_id"]][row["subset"]] = images.decode(bytes(row["image"]))
    found = {}
    for key, family in tables["families"].items():
        if family["n"]:
            shape = duals[key][0].shape[:2]
            radius = photographs.run.settings.inpainter.dilate * max(shape)
            outlines = tables["instances"][key]["instances"]
            members = [[*part["instances"], *part["attached"]] for part in family["components"]]
            masks = [np.any([from_rle(outlines[i]["mask"]) for i in each], axis=0) for each in members]
            found[key] = Family(sources[key], [dilate(resize(mask, *shape), radius) for mask in masks], duals[key])
    return found


def test_1_a_family_of_n_has_its_power_set(photographs: Photographs):
    tables = photographs.tables
    sizes = {key: row["n"] for key, row in tables["families"].items()}
    assert len(sizes) == COUNT and set(sizes.values()) >= {1, 2}, f"the photographs show too little: {sorted(sizes.values())}"
    subsets: dict[str, set[int]] = defaultdict(set)
    for key, subset in tables["dual_images"]:
        subsets[key].add(subset)
    assert subsets == {key: set(range(2**n)) for key, n in sizes.items()}
    for key, row in tables["dual_texts"].items():
        made: dict[str, list[int]] = defaultdict(list)
        for text in row["texts"]:
            made[text["caption_id"]].append(text["subset"])
        for caption in tables["families"][key]["captions"]:
            assert made[caption["caption_id"]] == submasks(caption["names"])
            assert len(made[caption["caption_id"]]) == 2 ** caption["names"].bit_count() - 1


def test_2_outside_the_dilated_mask_a_dual_is_its_original(pixels: dict[str, Family]):
    for key, family in pixels.items():
        shrunk = images.shrink(images.decode(family.source), SIDE)
        assert np.array_equal(family.duals[0], shrunk), f"{key}: the original did not pass through the same encoder"
        for subset, dual in family.duals.items():
            outside = ~union(family.dilated, subset, shrunk.shape[:2])
            assert np.array_equal(dual[outside], shrunk[outside]), (key, subset)
            if subset:
                assert not np.array_equal(dual, shrunk), f"{key}: nothing was removed for {subset}"


def test_3_removal_is_nested(pixels: dict[str, Family]):
    checked = 0
    for key, family in pixels.items():
        grouping = lattice.groups(family.dilated)
        for more in family.duals:
            for less in (0, *submasks(more)):
                extra = more & ~less
                touching = sum(group for group in grouping if group & extra)
                outside = ~union(family.dilated, touching & more, family.duals[0].shape[:2])
                assert np.array_equal(family.duals[less][outside], family.duals[more][outside]), (key, less, more)
                checked += 0 < less < more
    assert checked, "no photograph has two components"


def test_4_a_component_is_all_instances_of_its_label(photographs: Photographs):
    tables, rule = photographs.tables, photographs.run.settings.plan
    for key, family in tables["families"].items():
        instances = tables["instances"][key]["instances"]
        for part in family["components"]:
            scores = {i: found["score"] for i, found in enumerate(instances) if found["label"] == part["label"]}
            mine = [i for i, value in scores.items() if value >= rule.remove_score]
            assert part["instances"] == mine
            assert max(scores.values()) >= rule.enter_score
            assert rule.min_area <= part["area_fraction"] <= rule.max_area
        labels = [part["label"] for part in family["components"]]
        assert len(set(labels)) == len(labels) <= photographs.run.settings.components.n
        assert (family["reason"] is None) == bool(labels)


def test_5_nothing_is_lost_and_nothing_is_there_twice(photographs: Photographs):
    roots.check_complete(photographs.run)
    assert all(len(photographs.tables[table]) == COUNT for table in ("records", "images", "components", "instances", "families"))


def test_5_scores_are_the_ok_images_times_the_usable_captions(photographs: Photographs):
    tables = photographs.tables
    usable = {
        key: sum(caption["status"] in roots.USABLE for caption in row["captions"]) for key, row in tables["families"].items()
    }
    expected = sum(usable[key] for (key, _), row in tables["dual_images"].items() if row["status"] == "ok")
    assert len(tables["scores"]) == expected > 100
    runs = [row for row in roots.rows(photographs.run, "runs") if row["stage"] == "score"]
    assert sum(sum(row["rows"].values()) for row in runs) == expected, "runs counts what was committed"


def test_a_scored_text_is_exact_for_its_image_or_unknown(photographs: Photographs):
    tables = photographs.tables
    for (key, subset, caption_id), row in tables["scores"].items():
        texts = {text["subset"]: text for text in tables["dual_texts"][key]["texts"] if text["caption_id"] == caption_id}
        assert row["text_subset"] == row["names"] & subset
        if row["text_subset"]:
            assert row["caption"] == texts[row["text_subset"]]["caption"]
        if row["status"] == "ok":
            found = relation(subset, row["names"], row["mentions"], row["may_mention"]).name.lower()
            assert row["relation"] == found in ("exact", "unknown"), (key, subset, caption_id, row["caption"])
            assert row["keep"] == (row["reject_reasons"] == [])
        else:
            assert row["caption"] is None or row["status"] == "not_monotone"
            assert not row["keep"]


@pytest.mark.parametrize("stage", IMAGE_STAGES, ids=[stage.name for stage in IMAGE_STAGES])
def test_6_no_exchange_carries_bytes(photographs: Photographs, stage: Stage):
    with finished_batch(photographs.run, stage) as batch:
        result = stage.transform(batch)
        found = roots.exchanges(result)
        carriers = [(kind, column) for kind, columns in found for column, shape in columns.items() if "binary" in shape]
        assert not carriers
        assert found, "a plan without any exchange would show that nothing was looked at"
        if not stage.blob_target:  # these are brought together to one file
            assert not [name for name, shape in result.dtypes if "binary" in shape]


def test_6_a_plan_that_shuffles_bytes_would_be_seen(photographs: Photographs):
    pictures = photographs.run.store.read("images").select("record_id", "image")
    nested = F.broadcast(pictures.select("record_id", F.struct("image").alias("within")))
    shuffled, sent = pictures.repartition(2, "record_id"), pictures.join(nested, on="record_id", how="inner")
    for frame in (shuffled, sent):
        assert any("binary" in shape for _, columns in roots.exchanges(frame) for shape in columns.values())


def test_6_less_is_shuffled_than_the_images_hold(photographs: Photographs, capsys: pytest.CaptureFixture[str]):
    store = photographs.run.store
    held = [store.read(table).agg(F.sum(F.length("image"))).first() for table in ("images", "dual_images")]
    photographed, made = (row[0] for row in held if row is not None)
    with capsys.disabled():
        print(f"\n  bytes: {photographed:,} of images, {made:,} of dual images, {photographs.shuffled:,} shuffled")  # noqa: T201
    assert photographs.shuffled < 0.25 * (photographed + made)


@contextmanager
def finished_batch(run: Run, stage: Stage) -> Iterator[Batch]:
    """The rows of a finished root as the stage would read them, all at once."""
    rows = run.store.read(stage.source).where("status = 'ok'")
    if stage.source == "records":
        rows = rows.withColumn("ingest_batch", F.lit("00000000"))
    batches = tuple(row["ingest_batch"] for row in run.store.read("images").select("ingest_batch").distinct().collect())
    batch = Batch(rows, run.store, run.settings, batches)
    yield batch
    for kept in batch.kept:
        kept.unpersist()


def union(masks: list[Mask], subset: int, shape: tuple[int, ...]) -> Mask:
    """Where at least one component of a subset is."""
    chosen = [mask for i, mask in enumerate(masks) if subset >> i & 1]
    return np.any(chosen, axis=0) if chosen else np.zeros(shape, dtype=bool)
