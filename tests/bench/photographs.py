"""Enough photographs for a benchmark: a few, repeated with changed bytes, as a COCO source. Used by ``engine`` and ``memory``."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any


def repeat(folder: Path, images: Path, count: int, captions: Path | None = None, instances: Path | None = None) -> dict[str, str]:
    """Write ``count`` photographs and their annotations to ``folder``; returns the options of ``dualset ingest coco``.

    Without ``captions`` each gets the caption "a photograph". All files have different bytes, so none counts as a duplicate.
    """
    tree = _load(captions)
    entries = tree.get("images") or [{"id": n, "file_name": path.name} for n, path in enumerate(sorted(images.glob("*.jpg")))]
    captions_of, instances_of = _by_image(tree), _by_image(_load(instances))
    (folder / "images").mkdir(parents=True)
    repeated: dict[str, list[Any]] = {"images": [], "annotations": []}
    categories = _load(instances).get("categories", [])
    outlines: dict[str, list[Any]] = {"images": repeated["images"], "annotations": [], "categories": categories}
    for number in range(count):
        entry = entries[number % len(entries)]
        name = f"{number:06d}.jpg"
        (folder / "images" / name).write_bytes(changed((images / entry["file_name"]).read_bytes(), number))
        repeated["images"].append(entry | {"id": number, "file_name": name})
        for old in captions_of.get(entry["id"], [{"caption": "a photograph"}]):
            repeated["annotations"].append(old | {"id": len(repeated["annotations"]), "image_id": number})
        for old in instances_of.get(entry["id"], []):
            outlines["annotations"].append(old | {"id": len(outlines["annotations"]), "image_id": number})
    options = {"images": str(folder / "images"), "captions": _dump(folder / "captions.json", repeated)}
    return options | ({"instances": _dump(folder / "instances.json", outlines)} if instances else {})


def changed(jpeg: bytes, number: int) -> bytes:
    """The same picture with different bytes: ``number`` in a JPEG comment after the start marker."""
    assert jpeg.startswith(b"\xff\xd8"), "the photographs must be JPEG files"
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big") + jpeg[2:]


def _load(path: Path | None) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path else {}


def _dump(path: Path, tree: dict[str, Any]) -> str:
    path.write_text(json.dumps(tree), encoding="utf-8")
    return str(path)


def _by_image(tree: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    by_image = defaultdict(list)
    for annotation in tree.get("annotations", []):
        by_image[annotation["image_id"]].append(annotation)
    return dict(by_image)
