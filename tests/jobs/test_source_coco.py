"""COCO's files become records with masks; a malformed file is one clear error."""

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.sources import SourceError, records
from jobs.sources.coco import parse
from jobs.sources.record import Origin
from tests.support.originals import COCO_MINI, Originals
from tests.support.source_files import Row, captions_of, collect, error_of, images_folder, write_json  # noqa: F401  fixtures
from udfs.fetch.locator import read_bytes as fetch


@pytest.mark.shared("data/coco-mini")
def test_all_of_coco_mini_is_read(spark: SparkSession) -> None:
    options = {
        "images": str(COCO_MINI / "train2017"),
        "captions": str(COCO_MINI / "annotations" / "captions_train2017.json"),
        "instances": str(COCO_MINI / "annotations" / "instances_train2017.json"),
    }
    table = collect(records(spark, "coco", options))
    assert len(table) == 77
    assert sum(len(row["captions"]) for row in table.values()) == 385
    assert sum(len(row["annotations"]) for row in table.values()) == 776
    assert {row["split"] for row in table.values()} == {"train2017"}
    cake = table["000000000790.jpg"]
    assert cake["license"] == "CC BY 2.0"
    assert ("576009", "a family is sitting down at a table to have cake", "ok") in captions_of(cake)


def test_instances_are_read_as_the_reference_reads_them(spark: SparkSession, originals: Originals) -> None:
    import numpy as np
    from pycocotools import mask as coco_mask
    from pycocotools.coco import COCO

    table = collect(records(spark, "coco", originals.options))
    assert table == collect(records(spark, "coco", originals.options))  # the same every time
    reference, checked = COCO(str(originals.instances)), 0
    files = {image["file_name"]: image["id"] for image in reference.loadImgs(reference.getImgIds())}
    assert table.keys() == files.keys()
    for name, row in table.items():
        assert len(fetch(row["locator"], 10**7)) == (originals.images / name).stat().st_size
        references = reference.loadAnns(reference.getAnnIds(files[name]))
        for annotation, reference_row in zip(row["annotations"], references, strict=True):
            mask = coco_mask.decode(
                {"size": [annotation["mask"]["height"], annotation["mask"]["width"]], "counts": annotation["mask"]["counts"]}
            )
            assert np.mean(mask != reference.annToMask(reference_row)) < 1e-4
            assert annotation["label"] == reference.cats[reference_row["category_id"]]["name"]
            assert annotation["crowd"] == bool(reference_row["iscrowd"])
            assert list(annotation["box"].values()) == pytest.approx(reference_row["bbox"])
            checked += 1
    assert checked > 20


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

    by_key = collect(records(spark, "coco", coco_files(tmp_path, images) | {"source": "mine"}))
    assert {key: row["status"] for key, row in by_key.items()} == {
        "a.png": "ok",
        "b.png": "no_caption",
        "../secret.png": "unsafe_path",
    }
    a, b, secret = by_key["a.png"], by_key["b.png"], by_key["../secret.png"]
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
        "images[1]: id 1 occurs twice",
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


@pytest.mark.parametrize("case", BROKEN)
def test_a_malformed_coco_file_is_one_clear_error(tmp_path: Path, case: str) -> None:
    text, expected = BROKEN[case]
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
    """The records of a source with one annotation, on an image that is declared to have this size."""
    files = coco_files(tmp_path, images)
    tree = json.loads(Path(files["instances"]).read_text())
    tree["images"][0] |= {"height": height, "width": width}
    tree["annotations"] = [tree["annotations"][0] | {"segmentation": outlines}]
    write_json(Path(files["instances"]), tree)
    return list(parse(files["captions"], files["images"], files["instances"], Origin("s")))


@pytest.mark.parametrize(("height", "width"), [(0, 8), (6, -8), (2**14, 2**14 + 1), (100_000, 100_000)])
def test_a_size_that_cannot_be_is_an_error_before_any_mask(images: Path, tmp_path: Path, height: int, width: int) -> None:
    with pytest.raises(SourceError, match=rf"images\[0\]: a size of {width}x{height} pixels is impossible"):
        one_instance(tmp_path, images, height, width, [[0, 0, 4, 0, 4, 3]])


def test_an_outline_that_would_take_a_workers_memory_is_an_error(images: Path, tmp_path: Path) -> None:
    def zigzag(edges: int) -> list[int]:
        """An outline that runs back and forth across the image."""
        return [number for i in range(edges) for number in (i % 2 * 2**14, i)]

    for outlines in ([zigzag(1000)], [zigzag(400)] * 2):
        with pytest.raises(SourceError, match=r"annotations\[0\]: an outline of 1\d,\d{3},\d{3} pixels is impossible"):
            one_instance(tmp_path, images, 2**14, 2**14, outlines)
    (record, *_) = one_instance(tmp_path, images, 2**14, 2**14, [zigzag(4)])
    assert record["annotations"][0]["mask"]["height"] == 2**14
