"""Scenes as a source: the files that workers write, and the whole chain over them compared with the truth."""

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs import ingest
from jobs.engine.versions import bring_up_to_date
from jobs.scenes.write import Block, Series, SeriesError, blocks, claim, instances, join, make, write_block
from jobs.sources import SourceError, complete, records, source_name
from tests.support.roots import Run, by_key, check_complete, open_root, rows, run_stages

SERIES = Series("objects", "test", seed=3, size=64)


def options(output: Path, count: int) -> dict[str, str | None]:
    return {"count": str(count), "seed": "3", "size": "64", "split": "test", "output": str(output)}


def take(run: Run, output: Path, count: int) -> int:
    added = ingest.add(run, records(run.store.spark, "scenes", options(output, count), run.settings.ingest))
    bring_up_to_date(ingest.STAGE, run)
    return added


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def truths(folder: Path) -> dict[str, Any]:
    lines = [line for file in sorted((folder / "parts").glob("truth_*.jsonl")) for line in file.read_text().splitlines()]
    return {scene["file_name"]: scene for scene in map(json.loads, lines)}


def test_scenes_go_through_the_chain_and_more_are_added(spark: SparkSession, tmp_path: Path) -> None:
    run, folder = open_root(spark, tmp_path / "root"), tmp_path / "scenes"
    assert take(run, folder, 16) == 16
    run_stages(run, "ingest", "extract", "segment", "plan")
    first_records = {row["record_id"] for row in rows(run, "families", "record_id")}
    assert take(run, folder, 16) == 0
    assert take(run, folder, 24) == 8
    run_stages(run)
    check_complete(run)
    families = by_key(rows(run, "families"), "record_id")
    assert len(families) == 24
    assert first_records < families.keys()
    truth, areas = truths(folder), areas_of(folder)
    assert len(truth) == len(areas) == 24
    sizes, exact = set(), 0
    for image in rows(run, "images", "record_id", "source_key", "split", "license", "captions", "width", "status"):
        family, scene = families[image["record_id"]], truth[image["source_key"]]
        assert (image["split"], image["license"], image["width"]) == ("test", "CC0-1.0", 64)
        assert [c["caption"] for c in image["captions"]] == [c["caption"] for c in scene["captions"]]
        labels, wanted = {component["label"] for component in family["components"]}, _family(scene, areas[image["source_key"]])
        assert labels <= wanted, image["source_key"]
        if len(wanted) <= 3:
            assert labels == wanted, image["source_key"]
            exact += 1
        sizes.add(family["n"])
    assert sizes == {0, 1, 2, 3}
    assert exact > 20


def _family(scene: dict[str, Any], areas: dict[str, float]) -> set[str]:
    """The components by the truth: named by a caption, seen by an errorless detector, neither too small nor too large."""
    named = {label for c in scene["captions"] for m in c["mentions"] if m["certain"] for label in m["labels"]}
    return {label for label in named if 0.002 <= areas.get(label, 0.0) <= 0.5}


def areas_of(folder: Path) -> dict[str, dict[str, float]]:
    """Share of the image that each class covers, by image, from the instances files."""
    areas: dict[str, dict[str, float]] = {}
    for file in (folder / "parts").glob("instances_*.json"):
        tree = json.loads(file.read_text())
        names = {category["id"]: category["name"] for category in tree["categories"]}
        images = {image["id"]: image["file_name"] for image in tree["images"]}
        areas |= {name: {} for name in images.values()}
        for row in tree["annotations"]:
            shares, label = areas[images[row["image_id"]]], names[row["category_id"]]
            shares[label] = shares.get(label, 0.0) + row["area"] / 64**2
    return areas


def test_the_same_numbers_give_the_same_bytes_over_runs_and_partition_counts(spark: SparkSession, tmp_path: Path) -> None:
    at_once, grown = tmp_path / "whole", tmp_path / "grown"
    records(spark, "scenes", options(at_once, 130)).count()
    records(spark, "scenes", options(grown, 105)).coalesce(1).count()
    records(spark, "scenes", options(grown, 130)).coalesce(1).count()
    files = contents(at_once)
    assert files == contents(grown)
    assert len([name for name in files if name.endswith(".png")]) == 130
    assert len([name for name in files if name.startswith("parts/captions")]) == 2


def test_a_block_is_written_once_and_a_longer_one_replaces_it(tmp_path: Path) -> None:
    write_block(Block(SERIES, 0, 3), str(tmp_path))
    image = next((tmp_path / "images").rglob("*.png"))
    image.write_bytes(b"kept")
    write_block(Block(SERIES, 0, 3), str(tmp_path))
    assert image.read_bytes() == b"kept"
    write_block(Block(SERIES, 0, 4), str(tmp_path))
    assert image.read_bytes() != b"kept"
    assert {path.name.partition("_")[2][:17] for path in (tmp_path / "parts").iterdir()} == {"00000000-00000004"}


def test_blocks_cover_the_count_and_only_the_last_depends_on_it() -> None:
    shorter, longer = blocks(SERIES, 250), blocks(SERIES, 330)
    assert [(b.start, b.stop) for b in shorter] == [(0, 100), (100, 200), (200, 250)]
    assert shorter[:2] == longer[:2]


def test_joined_files_hold_what_the_parts_hold(tmp_path: Path) -> None:
    parts = [Block(SERIES, 0, 2), Block(SERIES, 2, 5)]
    for block in parts:
        write_block(block, str(tmp_path))
    join(str(tmp_path), parts)
    captions, annotations = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("captions", "instances"))
    assert [image["id"] for image in captions["images"]] == list(range(5))
    assert len(captions["annotations"]) == 25
    assert {row["image_id"] for row in annotations["annotations"]} <= set(range(5))
    assert len((tmp_path / "truth.jsonl").read_text().splitlines()) == 5
    assert not (tmp_path / "parts").exists()


def test_instances_are_the_visible_parts_of_known_things() -> None:
    from pycocotools import mask as coco_mask

    from jobs.scenes import layout
    from jobs.scenes.domain import load
    from jobs.scenes.render import masks

    known = load("objects").known
    for index in range(30):
        scene = layout.sample("objects", "train", 0, index, 64)
        visible = masks(scene).visible
        wanted = {i for i, thing in enumerate(scene.things) if thing.label in known and visible[i].any()}
        by_index = {row["id"] - 100 * index: row for row in instances(scene)}
        assert by_index.keys() == wanted
        for i, row in by_index.items():
            assert (coco_mask.decode(row["segmentation"]) == visible[i]).all()
            assert known[row["category_id"] - 1] == scene.things[i].label


def test_making_is_a_pure_function() -> None:
    assert make(SERIES, 7) == make(SERIES, 7)
    assert make(SERIES, 7)[0] != make(SERIES, 8)[0]


def test_a_folder_holds_one_series(tmp_path: Path) -> None:
    claim(SERIES, str(tmp_path))
    claim(SERIES, str(tmp_path))
    with pytest.raises(SeriesError, match="another folder"):
        claim(Series("objects", "test", seed=4, size=64), str(tmp_path))


def test_the_name_depends_on_every_option_but_the_count() -> None:
    name = source_name("scenes", {"count": "5"})
    assert name == source_name("scenes", {"count": "9", "split": "train", "seed": "0", "output": "/elsewhere"})
    assert name != source_name("scenes", {"count": "5", "seed": "1"})
    assert complete("scenes", {"count": "5"}, "/root")["output"] == "/root/scenes/objects_train_s0_p96"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "0"}, "count must be a number from 1"),
        ({"count": "many"}, "not 'many'"),
        ({"size": "32"}, "size must be a number from 64 to 256"),
        ({"split": "val"}, "train or test"),
        ({"domain": "nowhere"}, "no domain"),
        ({"output": None}, "need output"),
    ],
)
def test_bad_options_are_reported_in_one_line(
    spark: SparkSession, tmp_path: Path, change: dict[str, str | None], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        records(spark, "scenes", options(tmp_path, 5) | change)
