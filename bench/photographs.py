"""As many photographs as a benchmark needs: the ones that are there, repeated with changed bytes, as a COCO source."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any


def repeat(folder: Path, images: Path, count: int, captions: Path | None = None, instances: Path | None = None) -> dict[str, str]:
    """Write ``count`` photographs and their annotations to ``folder``; returns the options of ``dualset ingest coco``.

    Without ``captions`` each has the caption "a photograph". No two files have the same bytes, so that none is a duplicate.
    """
    given = _load(captions)
    entries = given.get("images") or [{"id": n, "file_name": path.name} for n, path in enumerate(sorted(images.glob("*.jpg")))]
    said, seen = _by_image(given), _by_image(_load(instances))
    (folder / "images").mkdir(parents=True)
    tree: dict[str, list[Any]] = {"images": [], "annotations": []}
    categories = _load(instances).get("categories", [])
    marks: dict[str, list[Any]] = {"images": tree["images"], "annotations": [], "categories": categories}
    for number in range(count):
        entry = entries[number % len(entries)]
        name = f"{number:06d}.jpg"
        (folder / "images" / name).write_bytes(changed((images / entry["file_name"]).read_bytes(), number))
        tree["images"].append(entry | {"id": number, "file_name": name})
        for old in said.get(entry["id"], [{"caption": "a photograph"}]):
            tree["annotations"].append(old | {"id": len(tree["annotations"]), "image_id": number})
        for old in seen.get(entry["id"], []):
            marks["annotations"].append(old | {"id": len(marks["annotations"]), "image_id": number})
    options = {"images": str(folder / "images"), "captions": _dump(folder / "captions.json", tree)}
    return options | ({"instances": _dump(folder / "instances.json", marks)} if instances else {})


def changed(jpeg: bytes, number: int) -> bytes:
    """The same picture in other bytes: a JPEG comment after the start marker."""
    assert jpeg.startswith(b"\xff\xd8"), "the photographs must be JPEG files"
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big") + jpeg[2:]


def _load(path: Path | None) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path else {}


def _dump(path: Path, tree: dict[str, Any]) -> str:
    path.write_text(json.dumps(tree), encoding="utf-8")
    return str(path)


def _by_image(tree: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    found = defaultdict(list)
    for one in tree.get("annotations", []):
        found[one["image_id"]].append(one)
    return dict(found)
