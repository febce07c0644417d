"""COCO's files become records with masks; a malformed file is one clear error."""

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from source_files import Row, collect, error_of, images_folder, said, write_json  # noqa: F401  fixtures

from jobs.sources import SourceError, records
from jobs.sources.coco import parse
from jobs.sources.record import Origin
from udfs.fetch import fetch

COCO = Path(__file__).parents[2] / "shared" / "data" / "coco-mini"


@pytest.mark.skipif(not COCO.is_dir(), reason="the shared folder with coco-mini is not there")
def test_coco_mini_is_read_with_its_instances(spark: SparkSession) -> None:
    import numpy as np
    from pycocotools.coco import COCO as Reference  # noqa: N811

    instances = COCO / "annotations" / "instances_train2017.json"
    options = {
        "images": str(COCO / "train2017"),
        "captions": str(COCO / "annotations" / "captions_train2017.json"),
        "instances": str(instances),
    }
    found = collect(records(spark, "coco", options))
    assert found == collect(records(spark, "coco", options))  # the same every time
    assert len(found) == 77
    assert sum(len(row["captions"]) for row in found.values()) == 385
    assert sum(len(row["annotations"]) for row in found.values()) == 776
    assert {row["split"] for row in found.values()} == {"train2017"}
    cake = found["000000000790.jpg"]
    assert cake["license"] == "CC BY 2.0"
    assert ("576009", "a family is sitting down at a table to have cake", "ok") in said(cake)
    assert len(fetch(cake["locator"], 10**7)) == (COCO / "train2017" / "000000000790.jpg").stat().st_size

    from pycocotools import mask as coco_mask

    reference = Reference(str(instances))
    for row in found.values():
        theirs = reference.loadAnns(reference.getAnnIds(int(row["source_key"][:-4])))
        for mine, their in zip(row["annotations"], theirs, strict=True):
            mask = coco_mask.decode({"size": [mine["mask"]["height"], mine["mask"]["width"]], "counts": mine["mask"]["counts"]})
            assert np.mean(mask != reference.annToMask(their)) < 1e-4
            assert mine["label"] == reference.cats[their["category_id"]]["name"]
            assert mine["crowd"] == bool(their["iscrowd"])
            assert list(mine["box"].values()) == pytest.approx(their["bbox"])


def coco_files(tmp_path: Path, images: Path, **changes: Any) -> dict[str, str]:
    captions = {
        "licenses": [{"id": 4, "name": "CC BY 2.0"}],
        "images": [
            {"id": 1, "file_name": "a.png", "license": 4},
            {"id": 2, "file_name": "b.png"},
            {"id": 3, "file_name": "../secret.png"},
        ],
        "annotations": [{"id": 10, "image_id": 1, "caption": "a"}, {"id": 11, "image_id": 3, "caption": "s"}],
    }
    sizes = [{"id": i, "height": 6, "width": 8} for i in (1, 2)]
    outlines = [
        [[0, 0, 4, 0, 4, 3, 0, 3], [1, 1, 2, 2]],
        {"size": [6, 8], "counts": [0, 6, 42]},
        {"size": [6, 8], "counts": "06Z1"},
        [],
    ]
    items = [
        {"id": i, "image_id": 1, "category_id": 18, "bbox": [0, 0, 4, 3], "segmentation": outline, "iscrowd": i % 2}
        for i, outline in enumerate(outlines)
    ]
    instances = {"images": sizes, "categories": [{"id": 18, "name": "dog"}], "annotations": items}
    return {
        "images": str(images),
        "captions": write_json(tmp_path / "captions_val.json", captions | changes),
        "instances": write_json(tmp_path / "instances_val.json", instances | changes.pop("inst", {})),
    }


def test_coco_images_without_captions_and_unsafe_names_are_records(spark: SparkSession, images: Path, tmp_path: Path) -> None:
    from pycocotools import mask as coco_mask

    found = collect(records(spark, "coco", coco_files(tmp_path, images) | {"source": "mine"}))
    assert {key: row["status"] for key, row in found.items()} == {
        "a.png": "ok",
        "b.png": "no_caption",
        "../secret.png": "unsafe_path",
    }
    a, b, secret = found["a.png"], found["b.png"], found["../secret.png"]
    assert (b["captions"], b["annotations"], b["error"]) == ([], [], "it has no caption")
    assert secret["locator"] is None
    assert "../secret.png" in secret["error"]
    assert (a["source"], a["split"], a["license"], b["license"]) == ("mine", "val", "CC BY 2.0", None)
    masks = [annotation["mask"] for annotation in a["annotations"]]
    areas = [int(coco_mask.area({"size": [6, 8], "counts": mask["counts"]})) for mask in masks[:3]]
    assert (areas, masks[3]) == ([12, 6, 6], None)
    assert [annotation["crowd"] for annotation in a["annotations"]] == [False, True, False, True]


BROKEN = {
    "bad JSON": ('{"images": [', "is not JSON"),
    "not UTF-8": (b"\xff\xfe{}", "is not JSON"),
    "deep nesting": ("[" * 100_000, "is not JSON"),
    "a list": ("[]", "must hold a JSON object"),
    "no images": ('{"annotations": []}', "has no 'images'"),
    "images no list": ('{"images": {}, "annotations": []}', "'images' must be list, not dict"),
    "no file name": ('{"images": [{"id": 1}], "annotations": []}', "images[0] has no 'file_name'"),
    "id twice": (
        '{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}',
        "images[1]: id 1 is there twice",
    ),
    "no caption": (
        '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": null}]}',
        "annotations[0]: 'caption' must be str, not NoneType",
    ),
    "no such image": (
        '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 9, "caption": "c"}]}',
        "annotations[0]: no image has the id 9",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_malformed_coco_file_is_one_clear_error(tmp_path: Path, what: str) -> None:
    text, expected = BROKEN[what]
    file = tmp_path / "captions.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SourceError) as caught:
        list(parse(str(file), "/images", None, Origin("s")))
    assert str(file) in str(caught.value)
    assert expected in str(caught.value)


def test_an_error_in_a_worker_reaches_the_driver_whole(spark: SparkSession, images: Path, tmp_path: Path) -> None:
    file = tmp_path / "captions \u00fc.json"
    file.write_text("{")
    message = error_of(lambda: records(spark, "coco", {"images": str(images), "captions": str(file)}))
    assert message.startswith(str(file).replace("\u00fc", "\\xfc") + " is not JSON: Expecting")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"category_id": 99}, "no category has the id 99"),
        ({"image_id": 5}, "no image has the id 5"),
        ({"bbox": [0, 0, float("nan"), 1]}, "'bbox' must be four numbers"),
        ({"segmentation": [[1, 2, 3, float("inf"), 5, 6]]}, "pairs of numbers"),
        ({"segmentation": [[1, 2, 3, 4, 5, 10**400]]}, "pairs of numbers"),
        ({"segmentation": {"size": [6, 9], "counts": [54]}}, "is not the image's"),
        ({"segmentation": {"size": [6, 8], "counts": [1, -1, 48]}}, "do not add up"),
        ({"segmentation": {"size": [6, 8], "counts": "06Z"}}, "do not add up"),
        ({"segmentation": {"size": [6, 8], "counts": "06Zo"}}, "do not add up"),
    ],
)
def test_malformed_instances_are_an_error_and_never_reach_c_code(
    images: Path, tmp_path: Path, change: Row, expected: str
) -> None:
    files = coco_files(tmp_path, images)
    tree = json.loads(Path(files["instances"]).read_text())
    tree["annotations"][0] |= change
    write_json(Path(files["instances"]), tree)
    with pytest.raises(SourceError, match=expected):
        list(parse(files["captions"], files["images"], files["instances"], Origin("s")))


def one_instance(tmp_path: Path, images: Path, height: int, width: int, outlines: list[list[int]]) -> list[Row]:
    """The records of a source with one annotation, on an image that is said to have this size."""
    files = coco_files(tmp_path, images)
    tree = json.loads(Path(files["instances"]).read_text())
    tree["images"][0] |= {"height": height, "width": width}
    tree["annotations"] = [tree["annotations"][0] | {"segmentation": outlines}]
    write_json(Path(files["instances"]), tree)
    return list(parse(files["captions"], files["images"], files["instances"], Origin("s")))


@pytest.mark.parametrize(("height", "width"), [(0, 8), (6, -8), (2**14, 2**14 + 1), (100_000, 100_000)])
def test_a_size_that_cannot_be_is_an_error_before_any_mask(images: Path, tmp_path: Path, height: int, width: int) -> None:
    with pytest.raises(SourceError, match=rf"images\[0\]: a size of {width}x{height} pixels cannot be"):
        one_instance(tmp_path, images, height, width, [[0, 0, 4, 0, 4, 3]])


def test_an_outline_that_would_take_a_workers_memory_is_an_error(images: Path, tmp_path: Path) -> None:
    def zigzag(edges: int) -> list[int]:
        """From side to side of the image and back."""
        return [number for i in range(edges) for number in (i % 2 * 2**14, i)]

    for outlines in ([zigzag(1000)], [zigzag(400)] * 2):
        with pytest.raises(SourceError, match=r"annotations\[0\]: an outline of 1\d,\d{3},\d{3} pixels cannot be"):
            one_instance(tmp_path, images, 2**14, 2**14, outlines)
    (record, *_) = one_instance(tmp_path, images, 2**14, 2**14, [zigzag(4)])
    assert record["annotations"][0]["mask"]["height"] == 2**14
