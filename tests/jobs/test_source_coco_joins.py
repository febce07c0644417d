"""COCO's two files come from different programs: ids, labels, licences and images that one of them writes differently."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.sources import SourceError, records
from jobs.sources.coco import parse
from jobs.sources.notes import Notes
from jobs.sources.record import Origin
from tests.support.source_files import Row, collect, error_of, write_json

DOG = {"id": 18, "name": "dog"}


def trees(ids: tuple[Any, Any] = (1, 2)) -> tuple[Row, Row]:
    """A captions file and an instances file of two images; the second has no object."""
    images = [{"id": number, "file_name": f"{number}.png", "height": 6, "width": 8} for number in ids]
    captions = [{"id": i, "image_id": number, "caption": "A dog."} for i, number in enumerate(ids)]
    item = {"id": 1, "image_id": ids[0], "category_id": 18, "bbox": [0, 0, 4, 3], "iscrowd": 0}
    return {"images": images, "annotations": captions}, {"images": images, "annotations": [item], "categories": [DOG]}


def read(folder: Path, captions: Row, instances: Row | None, origin: Origin | None = None) -> list[Row]:
    files = [write_json(folder / f"{name}.json", tree) for name, tree in (("c", captions), ("i", instances)) if tree]
    return list(parse(files[0], "/images", files[1] if instances else None, origin or Origin("s")))


def labels(rows: list[Row]) -> list[list[str] | None]:
    return [None if row["annotations"] is None else [a["label"] for a in row["annotations"]] for row in rows]


@pytest.mark.parametrize("ids", [("1", "2"), ("000001", "000002")])
def test_ids_that_are_text_in_one_file_are_joined_as_numbers(tmp_path: Path, ids: tuple[str, str]) -> None:
    text, number = trees(ids), trees()
    for captions, instances in ((text[0], number[1]), (number[0], text[1])):
        assert labels(read(tmp_path, captions, instances)) == [["dog"], []]
    instances = number[1] | {"categories": [DOG | {"id": "18"}]}
    assert labels(read(tmp_path, number[0], instances)) == [["dog"], []]
    captions = number[0] | {"annotations": text[0]["annotations"]}
    assert [len(row["captions"]) for row in read(tmp_path, captions, None)] == [1, 1]


def test_ids_that_only_look_like_numbers_stay_apart(tmp_path: Path) -> None:
    for ids in (("1", "01"), (1, "1"), ("a1", "b1")):
        captions, instances = trees(ids)
        assert labels(read(tmp_path, captions, instances)) == [["dog"], []]


def test_labels_are_spelled_as_the_lexicon_does(tmp_path: Path) -> None:
    captions, instances = trees()
    for name, known, expected in [
        ("Dog", (), "dog"),
        ("Dog", ("dog", "cat"), "dog"),
        (" Hot  Dog", ("hot dog",), "hot dog"),
        ("tv", ("TV",), "TV"),
        ("Hund", ("Hund", "hund"), "Hund"),
    ]:
        rows = read(tmp_path, captions, instances | {"categories": [DOG | {"name": name}]}, Origin("s", labels=frozenset(known)))
        assert labels(rows) == [[expected], []]


def test_categories_that_the_lexicon_does_not_know_are_told(spark: SparkSession, tmp_path: Path) -> None:
    captions, instances = trees()
    instances["categories"] = [DOG | {"name": "Hund"}, {"id": 2, "name": "Katze"}]
    options = {"images": str(tmp_path), "captions": write_json(tmp_path / "c.json", captions)}
    options["instances"] = write_json(tmp_path / "i.json", instances)
    for known, told in ((["dog", "cat"], 1), (["dog", "Katze"], 0), ([], 0)):
        notes = Notes(spark)
        collect(records(spark, "coco", options, labels=known, notes=notes))
        assert len(notes.lines()) == told
        assert all(
            "2 categories" in line and "unknown to the lexicon" in line and "such as hund" in line for line in notes.lines()
        )


def test_an_image_that_the_instances_file_does_not_list_has_unknown_annotations(tmp_path: Path) -> None:
    captions, instances = trees()
    assert labels(read(tmp_path, captions, instances | {"images": instances["images"][:1]})) == [["dog"], None]
    captions, _ = trees((3, 4))
    with pytest.raises(SourceError, match="i.json: none of its 2 images has the id of an image in .*c.json"):
        read(tmp_path, captions, instances)


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (None, "4"),
        ({}, "4"),
        ([None, {"id": 4}, {"id": 4, "name": None}], "4"),
        ([{"id": 4, "name": "CC0"}], "CC0"),
        ([{"id": "4", "name": "CC0"}, {"name": "no id"}], "CC0"),
    ],
)
def test_a_bad_licence_refuses_no_file(tmp_path: Path, licences: Any, expected: str) -> None:
    captions, _ = trees()
    captions["licenses"], captions["images"][0]["license"] = licences, 4
    assert [row["license"] for row in read(tmp_path, captions, None)] == [expected, None]


def test_captions_and_boxes_in_one_file(spark: SparkSession, tmp_path: Path) -> None:
    captions, instances = trees()
    both = captions | instances | {"annotations": captions["annotations"] + instances["annotations"]}
    options = {"images": str(tmp_path), "captions": write_json(tmp_path / "both.json", both)}
    notes = Notes(spark)
    by_key = collect(records(spark, "coco", options | {"instances": options["captions"]}, notes=notes))
    assert labels(list(by_key.values())) == [["dog"], []] and notes.lines() == []
    assert all(len(row["captions"]) == 1 for row in by_key.values())
    collect(records(spark, "coco", options, notes=notes))
    (line,) = notes.lines()
    assert line.startswith("1 annotations of the captions file are boxes") and "--instances" in line
    options["captions"] = write_json(tmp_path / "boxes.json", instances)
    assert "none of its 1 annotations has a caption" in error_of(lambda: records(spark, "coco", options))


def test_lone_surrogates_anywhere_are_a_row_or_one_line(spark: SparkSession, tmp_path: Path) -> None:
    captions, instances = trees()
    captions["licenses"] = [{"id": "\ud800", "name": "CC \ud800"}]
    captions["images"] = [captions["images"][0] | {"license": "\ud800"}, captions["images"][1] | {"file_name": "b\ud800.png"}]
    captions["annotations"] = [row | {"id": "x\ud800", "caption": "a \ud800 dog"} for row in captions["annotations"]]
    options = {"images": str(tmp_path), "captions": write_json(tmp_path / "captions_\ufffd.json", captions)}
    by_key = collect(records(spark, "coco", options))
    assert {key: (row["status"], row["license"]) for key, row in by_key.items()} == {
        "1.png": ("no_caption", "CC \ufffd"),
        "b\ufffd.png": ("unsafe_path", None),
    }
    instances["categories"] = [DOG | {"name": "dog \ud800"}]
    options["instances"] = write_json(tmp_path / "i.json", instances)
    message = error_of(lambda: records(spark, "coco", options))
    assert message.startswith(f"{tmp_path}/i.json: categories[0]: 'name' is no text that can be stored: 'dog \\ud800'")


def test_runs_of_many_digits_are_refused_in_linear_time(tmp_path: Path) -> None:
    captions, instances = trees()
    started = time.monotonic()
    for counts in ("o" * 400_000 + "0", "06Z" + "P" * 400_000 + "1"):
        segmentation = {"size": [6, 8], "counts": counts}
        tree = instances | {"annotations": [instances["annotations"][0] | {"segmentation": segmentation}]}
        with pytest.raises(SourceError, match=r"annotations\[0\]: the mask's compressed runs do not add up"):
            read(tmp_path, captions, json.loads(json.dumps(tree)))
    assert time.monotonic() - started < 1
