"""MS COCO: a captions file, a folder of images, and optionally an instances file whose polygons come along
as masks.

COCO's files are single JSON objects, so one worker reads a file whole and needs several times its size in
memory; records leave it batch by batch.
"""

import re
from collections.abc import Iterator
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs.sources.paths import field, load_json, locate, require, unsafe
from jobs.sources.record import Origin, Row, SourceError, distributed, make_records

OPTIONS = {
    "images": "folder of the images (required)",
    "captions": "captions JSON (required)",
    "instances": "instances JSON: its categories, boxes and masks become annotations",
}
REQUIRED = ("images", "captions")
PATHS = ("images", "captions", "instances")
# Beyond these an annotation is an error and not an allocation: the C code numbers pixels in 32 bits, and keeps about
# 50 bytes for each pixel along an outline.
_MAX_PIXELS = 2**28
_MAX_OUTLINE = 10**7  # pixels


def read(spark: SparkSession, options: dict[str, str], origin: Origin) -> DataFrame:
    """Records of a COCO captions file; ``source_key`` is the image's file name, ``caption_id`` the
    annotation's id.
    """
    for name in options.keys() & set(PATHS):
        require(options[name], f"the path of the {name},")
    images, instances = options["images"], options.get("instances")
    return distributed(spark, [options["captions"]], lambda file: parse(file, images, instances, origin))


def parse(file: str, images: str, instances: str | None, origin: Origin) -> Iterator[Row]:
    """Yield rows of ``RECORD``.

    Raises:
        SourceError: a file is malformed, or a caption names an image that the file does not list.
    """
    tree = load_json(file)
    licenses = _names(tree.get("licenses", []), f"{file}: licenses")
    entries: dict[Any, tuple[Row, list[tuple[str | None, str]]]] = {}
    for index, image in enumerate(field(tree, "images", list, file)):
        where = f"{file}: images[{index}]"
        image_id = field(image, "id", (int, str), where)
        field(image, "file_name", str, where)
        if image_id in entries:
            raise SourceError(f"{where}: id {image_id!r} is there twice")
        entries[image_id] = (image, [])
    for index, annotation in enumerate(field(tree, "annotations", list, file)):
        where = f"{file}: annotations[{index}]"
        image_id = field(annotation, "image_id", (int, str), where)
        caption = field(annotation, "caption", str, where)
        if image_id not in entries:
            raise SourceError(f"{where}: no image has the id {image_id!r}")
        own_id = annotation.get("id")
        entries[image_id][1].append((None if own_id is None else str(own_id), caption))
    del tree
    found = _Instances(instances) if instances else None
    in_name = re.search(r"(?:captions|instances)_([^/]+)\.json$", file)
    for image_id, (image, captions) in entries.items():
        name = image["file_name"]
        path = locate(images, name)
        licence = image.get("license")
        yield from make_records(
            origin,
            name,
            captions,
            {"path": path, "offset": None, "length": None, "member": None} if path else None,
            split=origin.split or (in_name[1] if in_name else None),
            license_name=licenses.get(licence, str(licence)) if isinstance(licence, (int, str)) else None,
            annotations=None if found is None else [found.convert(item) for item in found.take(image_id)],
            status="ok" if path else "unsafe_path",
            error=None if path else unsafe(name),
        )


class _Instances:
    """The instances file, by image; masks are converted when their record is made, so that only one image's
    are held.
    """

    def __init__(self, file: str) -> None:
        tree = load_json(file)
        self.file = file
        self.labels = _names(field(tree, "categories", list, file), f"{file}: categories")
        self.sizes: dict[Any, tuple[Any, Any]] = {}
        for index, image in enumerate(field(tree, "images", list, file)):
            where = f"{file}: images[{index}]"
            size = (field(image, "height", int, where), field(image, "width", int, where))
            if min(size) <= 0 or size[0] * size[1] > _MAX_PIXELS:
                raise SourceError(f"{where}: a size of {size[1]}x{size[0]} pixels cannot be")
            self.sizes[field(image, "id", (int, str), where)] = size
        self.items: dict[Any, list[tuple[int, Row]]] = {}
        for index, item in enumerate(field(tree, "annotations", list, file)):
            where = f"{file}: annotations[{index}]"
            image_id = field(item, "image_id", (int, str), where)
            if field(item, "category_id", int, where) not in self.labels:
                raise SourceError(f"{where}: no category has the id {item['category_id']}")
            if image_id not in self.sizes:
                raise SourceError(f"{where}: no image has the id {image_id!r}")
            self.items.setdefault(image_id, []).append((index, item))

    def take(self, image_id: Any) -> list[tuple[int, Row]]:
        return self.items.pop(image_id, [])

    def convert(self, indexed: tuple[int, Row]) -> Row:
        index, item = indexed
        where = f"{self.file}: annotations[{index}]"
        height, width = self.sizes[item["image_id"]]
        box = field(item, "bbox", list, where)
        if len(box) != 4 or not _finite(box):
            raise SourceError(f"{where}: 'bbox' must be four numbers")
        return {
            "label": self.labels[item["category_id"]],
            "box": dict(zip(("x", "y", "width", "height"), map(float, box), strict=True)),
            "mask": _mask(item.get("segmentation"), height, width, where),
            "crowd": bool(item.get("iscrowd", 0)),
        }


def _mask(shape: Any, height: int, width: int, where: str) -> Row | None:
    """Polygons, or RLE as a list or a string, to one compressed RLE; None when there is no outline.

    The C code of pycocotools trusts what it is given, so all of it is checked first.
    """
    import numpy as np
    from pycocotools import mask as coco_mask

    if shape is None or shape == []:
        return None
    if isinstance(shape, list):
        polygons = [polygon for polygon in shape if isinstance(polygon, list) and _finite(polygon)]
        if len(polygons) != len(shape) or any(len(polygon) % 2 for polygon in polygons):
            raise SourceError(f"{where}: a polygon must be pairs of numbers")
        # Four numbers would be read as a box, and two as nothing. A polygon may leave the image a little.
        limits = (np.array([[-1.0, -1.0]]), np.array([[width + 1.0, height + 1.0]]))
        pairs = [np.reshape(polygon, (-1, 2)).astype(float) for polygon in polygons if len(polygon) >= 6]
        if not pairs:
            return None
        clipped = [np.clip(pair, *limits) for pair in pairs]
        outline = sum(np.abs(pair - np.roll(pair, 1, axis=0)).max(axis=1).sum() for pair in clipped)
        if outline > _MAX_OUTLINE:
            raise SourceError(f"{where}: an outline of {outline:,.0f} pixels cannot be")
        parts = [pair.ravel().tolist() for pair in clipped]
        rle = coco_mask.merge(coco_mask.frPyObjects(parts, height, width))
        return {"height": height, "width": width, "counts": rle["counts"].decode("ascii")}
    counts = field(shape, "counts", (list, str), f"{where}: segmentation")
    if field(shape, "size", list, f"{where}: segmentation") != [height, width]:
        raise SourceError(f"{where}: the mask's size {shape['size']} is not the image's, {[height, width]}")
    if isinstance(counts, list):
        whole = all(isinstance(run, int) and run >= 0 for run in counts)
        if not whole or sum(counts) != height * width:
            raise SourceError(f"{where}: the mask's runs do not add up to {height}x{width} pixels")
        rle = coco_mask.frPyObjects({"counts": counts, "size": [height, width]}, height, width)
        return {"height": height, "width": width, "counts": rle["counts"].decode("ascii")}
    # Six bits a character from "0"; the sixth bit says that another character follows.
    if not re.fullmatch(r"[0-o]*[0-O]", counts) or sum(_runs(counts)) != height * width:
        raise SourceError(f"{where}: the mask's compressed runs do not add up to {height}x{width} pixels")
    return {"height": height, "width": width, "counts": counts}


def _runs(counts: str) -> list[int]:
    """Decode COCO's compressed runs (LEB128-like, from the third on as differences to the run two before)."""
    runs: list[int] = []
    value = shift = 0
    for letter in counts:
        bits = ord(letter) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs if min(runs) >= 0 else [-1]


def _names(entries: Any, where: str) -> dict[Any, str]:
    if not isinstance(entries, list):
        raise SourceError(f"{where} must be a list, not a {type(entries).__name__}")
    return {
        field(entry, "id", (int, str), f"{where}[{index}]"): field(entry, "name", str, f"{where}[{index}]")
        for index, entry in enumerate(entries)
    }


def _finite(numbers: list[Any]) -> bool:
    return all(isinstance(number, (int, float)) and abs(number) < 1e9 for number in numbers)  # false for NaN, too
