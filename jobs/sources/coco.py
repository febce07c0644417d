"""MS COCO: a captions file, a folder of images, and optionally an instances file whose polygons become masks.

COCO's files are single JSON objects, so one worker reads a whole file and needs several times its size in memory. It passes on
records batch by batch.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs.sources.paths import field, load_json, locate, require, unsafe
from jobs.sources.record import Origin, Row, SourceError, distributed, file_locator, is_bad_text, make_records

OPTIONS = {
    "images": "folder of the images (required)",
    "captions": "captions JSON (required)",
    "instances": "instances JSON: its categories, boxes and masks become annotations",
}
REQUIRED = ("images", "captions")
PATHS = ("images", "captions", "instances")
# An annotation beyond these limits is an error: the C code numbers pixels in 32 bits and keeps about 50 bytes for each pixel
# along an outline, so it would overflow or run out of memory.
_MAX_PIXELS = 2**28
_MAX_OUTLINE = 10**7  # pixels
_MAX_SHIFT = 35  # bits of a run: 28 for the pixels, one for the sign, and what fills the last group of five


def read(spark: SparkSession, options: dict[str, str], origin: Origin) -> DataFrame:
    """Records of a COCO captions file; ``source_key`` is the image's file name, ``caption_id`` the annotation's id."""
    for name in options.keys() & set(PATHS):
        require(options[name], f"the path of the {name},")
    images, instances = options["images"], options.get("instances")
    return distributed(spark, [options["captions"]], lambda file: parse(file, images, instances, origin))


def parse(file: str, images: str, instances: str | None, origin: Origin) -> Iterator[Row]:
    """Yield rows of ``RECORD``. One file may hold both captions and instances, and is then given twice.

    Raises:
        SourceError: a file is malformed, a caption names an image that the file does not list, no annotation has a caption, or
            no image of the captions file is in the instances file.
    """
    tree = load_json(file)
    licenses = _licences(tree.get("licenses"))
    listed = field(tree, "images", list, file)
    key = _numbering([image.get("id") for image in listed if isinstance(image, dict)])
    entries: dict[Any, tuple[Row, list[tuple[str | None, str]]]] = {}
    for index, image in enumerate(listed):
        where = f"{file}: images[{index}]"
        image_id = field(image, "id", (int, str), where)
        field(image, "file_name", str, where)
        if key(image_id) in entries:
            raise SourceError(f"{where}: id {image_id!r} occurs twice")
        entries[key(image_id)] = (image, [])
    boxes = []
    annotations = field(tree, "annotations", list, file)
    for index, annotation in enumerate(annotations):
        where = f"{file}: annotations[{index}]"
        image_id = field(annotation, "image_id", (int, str), where)
        if key(image_id) not in entries:
            raise SourceError(f"{where}: no image has the id {image_id!r}")
        if "caption" not in annotation and "category_id" in annotation:
            boxes.append(index)
            continue
        caption = field(annotation, "caption", str, where)
        annotation_id = annotation.get("id")
        entries[key(image_id)][1].append((None if annotation_id is None else str(annotation_id), caption))
    if boxes and len(boxes) == len(annotations):
        raise SourceError(f"{file}: none of its {len(boxes)} annotations has a caption; perhaps it is the instances file")
    if boxes and instances != file:
        what = "annotations of the captions file are boxes, and were not read; give it as --instances, too"
        origin.tell(file, what, len(boxes), f"annotations[{boxes[0]}]")
    del tree, annotations, listed
    outlines = _Instances(instances, origin) if instances else None
    if outlines and entries and not outlines.sizes.keys() & entries.keys():
        raise SourceError(f"{instances}: none of its {len(outlines.sizes)} images has the id of an image in {file}")
    in_name = re.search(r"(?:captions|instances)_([^/]+)\.json$", file)
    for image_id, (image, captions) in entries.items():
        name = image["file_name"]
        path = locate(images, name)
        licence = image.get("license")
        # An image that the instances file does not list has unknown annotations, and not none.
        listed_there = outlines is not None and image_id in outlines.sizes
        yield from make_records(
            origin,
            name,
            captions,
            file_locator(path),
            split=origin.split or (in_name[1] if in_name else None),
            license_name=licenses.get(str(licence), str(licence)) if isinstance(licence, (int, str)) else None,
            annotations=[outlines.convert(item) for item in outlines.take(image_id)] if outlines and listed_there else None,
            status="ok" if path else "unsafe_path",
            error=None if path else unsafe(name),
        )


class _Instances:
    """The instances file, by image. Masks are converted when their record is made, so that only those of one image are held."""

    def __init__(self, file: str, origin: Origin) -> None:
        tree = load_json(file)
        self.file = file
        categories = _names(field(tree, "categories", list, file), f"{file}: categories")
        self._category = _numbering(categories)
        self.labels = {self._category(number): name for number, name in _spelled(file, categories, origin).items()}
        listed = field(tree, "images", list, file)
        key = self._key = _numbering([image.get("id") for image in listed if isinstance(image, dict)])
        self.sizes: dict[Any, tuple[Any, Any]] = {}
        for index, image in enumerate(listed):
            where = f"{file}: images[{index}]"
            size = (field(image, "height", int, where), field(image, "width", int, where))
            if min(size) <= 0 or size[0] * size[1] > _MAX_PIXELS:
                raise SourceError(f"{where}: a size of {size[1]}x{size[0]} pixels is impossible")
            self.sizes[key(field(image, "id", (int, str), where))] = size
        self.items: dict[Any, list[tuple[int, Row]]] = {}
        for index, item in enumerate(field(tree, "annotations", list, file)):
            where = f"{file}: annotations[{index}]"
            image_id = field(item, "image_id", (int, str), where)
            if "category_id" not in item and "caption" in item:
                continue  # a file with captions, too
            if self._category(field(item, "category_id", (int, str), where)) not in self.labels:
                raise SourceError(f"{where}: no category has the id {item['category_id']!r}")
            if key(image_id) not in self.sizes:
                raise SourceError(f"{where}: no image has the id {image_id!r}")
            self.items.setdefault(key(image_id), []).append((index, item))

    def take(self, image_id: Any) -> list[tuple[int, Row]]:
        return self.items.pop(image_id, [])

    def convert(self, indexed: tuple[int, Row]) -> Row:
        index, item = indexed
        where = f"{self.file}: annotations[{index}]"
        height, width = self.sizes[self._key(item["image_id"])]
        box = field(item, "bbox", list, where)
        if len(box) != 4 or not _finite(box):
            raise SourceError(f"{where}: 'bbox' must be four numbers")
        return {
            "label": self.labels[self._category(item["category_id"])],
            "box": dict(zip(("x", "y", "width", "height"), map(float, box), strict=True)),
            "mask": _mask(item.get("segmentation"), height, width, where),
            "crowd": bool(item.get("iscrowd", 0)),
        }


def _mask(shape: Any, height: int, width: int, where: str) -> Row | None:
    """Polygons, or RLE as a list or a string, as one compressed RLE; None if there is no outline.

    The C code of pycocotools does not validate its input, so everything is checked first.
    """
    import numpy as np
    from pycocotools import mask as coco_mask

    if shape is None or shape == []:
        return None
    if isinstance(shape, list):
        polygons = [polygon for polygon in shape if isinstance(polygon, list) and _finite(polygon)]
        if len(polygons) != len(shape) or any(len(polygon) % 2 for polygon in polygons):
            raise SourceError(f"{where}: a polygon must be pairs of numbers")
        # Four numbers would be read as a box, two as nothing. A polygon may extend a little beyond the image.
        limits = (np.array([[-1.0, -1.0]]), np.array([[width + 1.0, height + 1.0]]))
        pairs = [np.reshape(polygon, (-1, 2)).astype(float) for polygon in polygons if len(polygon) >= 6]
        if not pairs:
            return None
        clipped = [np.clip(pair, *limits) for pair in pairs]
        outline = sum(np.abs(pair - np.roll(pair, 1, axis=0)).max(axis=1).sum() for pair in clipped)
        if outline > _MAX_OUTLINE:
            raise SourceError(f"{where}: an outline of {outline:,.0f} pixels is impossible")
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
    # Six bits a character, counted from "0"; the sixth bit means that another character follows.
    if not re.fullmatch(r"[0-o]*[0-O]", counts) or sum(_runs(counts)) != height * width:
        raise SourceError(f"{where}: the mask's compressed runs do not add up to {height}x{width} pixels")
    return {"height": height, "width": width, "counts": counts}


def _runs(counts: str) -> list[int]:
    """Decode COCO's compressed runs: LEB128-like, and from the third run on the difference to the run two before.

    [-1] where a run is negative, or longer than any image has pixels: decoding it would take time with the square of its digits.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in counts:
        bits = ord(letter) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if shift > _MAX_SHIFT:
            return [-1]
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs if min(runs) >= 0 else [-1]


def _names(entries: list[Any], where: str) -> dict[Any, str]:
    names = {}
    for index, entry in enumerate(entries):
        name = field(entry, "name", str, f"{where}[{index}]")
        if is_bad_text(name):
            raise SourceError(f"{where}[{index}]: 'name' is no text that can be stored: {ascii(name)[:80]}")
        names[field(entry, "id", (int, str), f"{where}[{index}]")] = name
    return names


def _spelled(file: str, categories: dict[Any, str], origin: Origin) -> dict[Any, str]:
    """The labels of categories as the lexicon spells them, else in lower case; says so if the lexicon knows none of them."""
    known = {label.casefold(): label for label in origin.labels}
    spelled = {}
    for number, name in categories.items():
        folded = " ".join(name.casefold().split())
        spelled[number] = name if name in origin.labels else known.get(folded, folded)
    if known and not origin.labels & set(spelled.values()):
        what = (
            "categories of the instances file (all it has) are unknown to the lexicon, so no caption names any (--set lexicon=)"
        )
        origin.tell(file, what, len(spelled), next(iter(spelled.values()), ""))
    return spelled


def _licences(entries: Any) -> dict[str, str]:
    """Names by id, of the entries that have both: a licence is a word beside the image, and a bad one refuses no file."""
    named = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {str(entry.get("id")): entry["name"] for entry in named if isinstance(entry.get("name"), str)}


def _numbering(ids: Iterable[Any]) -> Callable[[Any], Any]:
    """How ids of a file are compared: as numbers, also where they are texts, if no two ids become the same number.

    Captions and instances often come from different programs, and one of them writes ids as text.
    """

    def number(own: Any) -> Any:
        return int(own) if isinstance(own, str) and own.isascii() and own.isdecimal() and len(own) < 19 else own

    given = {own for own in ids if isinstance(own, (int, str))}
    return number if len({number(own) for own in given}) == len(given) else lambda own: own


def _finite(numbers: list[Any]) -> bool:
    return all(isinstance(number, (int, float)) and abs(number) < 1e9 for number in numbers)  # false for NaN, too
