"""Snapshots derived from another snapshot, family by family, for the controls: each differs from the study's data in one thing.

``change`` reads a snapshot's files, applies a function to each row and writes the results to the same files, shards and row
groups. Nothing is reshuffled, so a seed draws the same families from both snapshots.
"""

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from jobs.snapshot.manifest import COLUMNS, MANIFEST, Manifest, SnapshotError, read_manifest
from udfs.codec import CodecSettings
from udfs.files import write_whole
from udfs.images import Rgb, decode, encode

Row = dict[str, Any]
Change = Callable[[Row], list[Row]]
GREY = 128
PNG = CodecSettings(format="png")


def change(source: Manifest, folder: Path, made_by: str, function: Change) -> Manifest:
    """Write a new snapshot by applying ``function`` to each row; it returns no, one or several rows.

    An existing snapshot is reused: its id is a hash of the source's id and of ``made_by``.
    """
    name = hashlib.sha256(f"{source.id} {made_by}".encode()).hexdigest()[:16]
    files = ((file.path, file.shard, _rows(source.url(file).removeprefix("file://"), function)) for file in source.files)
    return write(folder / name, source, made_by, files)


def write(folder: Path, template: Manifest, made_by: str, files: Iterable[tuple[str, int, Iterator[list[Row]]]]) -> Manifest:
    """Write row groups to files, then the manifest: a copy of ``template``'s with the new files, counts and policy.

    A finished snapshot in ``folder`` is reused.

    Args:
        folder: folder of the new snapshot; its name is the id.
        template: manifest of the snapshot whose settings the rows share.
        made_by: how the rows were made, in words.
        files: for each file its path in the folder, its shard, and its row groups.

    Raises:
        SnapshotError: nothing was written.
    """
    try:
        return read_manifest(str(folder))
    except SnapshotError:
        pass  # no snapshot yet, or an unfinished one
    written: list[dict[str, Any]] = []
    vocabulary, lattice = set[str](), dict[tuple[int, int], Counter[str]]()
    for path, shard, groups in files:
        counts: Counter[str] = Counter()
        with ExitStack() as stack:
            writer = None
            for rows in groups:
                if not rows:
                    continue
                if writer is None:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    writer = stack.enter_context(_writer(folder / path))
                writer.write_table(_table([row | {"shard": shard} for row in rows]))
                for row in rows:
                    _count(row, counts, vocabulary, lattice)
        if counts:
            file = folder / path
            written.append({"path": path, "shard": shard, "bytes": file.stat().st_size} | dict(counts))
    if not written:
        raise SnapshotError(f"{folder}: {made_by} leaves no family")
    totals = {key: sum(file[key] for file in written) for key in ("families", "images", "texts")}
    tree = template.model_dump() | {
        "id": folder.name,
        "columns": COLUMNS,  # without placebos: no control of this kind needs them
        "files": written,
        "totals": totals | {"pairs": 0, "left_out": 0},
        "vocabulary": sorted(set(template.vocabulary) | vocabulary),
        "lattice": [{"n": n, "removed": k, "made": c["kept"], "kept": c["kept"]} for (n, k), c in sorted(lattice.items())],
        "policy": f"{made_by}, from snapshot {template.id}",
    }
    write_whole(folder / MANIFEST, Manifest.model_validate(tree).model_dump_json(indent=1))
    return read_manifest(str(folder))


def grey_boxes(row: Row) -> list[Row]:
    """Duals with grey holes. A hole is all that inpainting changed; a morphological closing fills gaps in it."""
    original = _original(row)
    if original is None:
        return [row]
    kernel = np.ones((5, 5), np.uint8)

    def paint(subset: int, dual: Rgb) -> Rgb:
        changed = (dual != original).any(axis=2).astype(np.uint8)
        hole = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, kernel) > 0
        return np.where(hole[:, :, None], np.uint8(GREY), original)

    return [_repainted(row, paint)]


def truly_rendered(scene_of: Callable[[str], Any]) -> Change:
    """Duals rendered from the scene without the removed components; ``scene_of`` returns a record's scene."""
    from jobs.scenes.render import render

    def change(row: Row) -> list[Row]:
        scene = scene_of(row["record_id"])
        return [_repainted(row, lambda subset, dual: render(scene, frozenset(labels_of(row, subset))))]

    return change


def some_of(record_share: float) -> Change:
    """A share of the families, chosen by a hash of the record id: a smaller share is a subset of a larger one."""

    def change(row: Row) -> list[Row]:
        return [row] if _drawn(row["record_id"], "family") < record_share else []

    return change


def rejected_at_random(rates: dict[int, float]) -> Change:
    """Leave out duals at random, at a rate for each number of removed components, and texts that are then exact for no image."""

    def change(row: Row) -> list[Row]:
        def stays(subset: int) -> bool:
            return not subset or _drawn(row["record_id"], f"image {subset}") >= rates.get(int(subset).bit_count(), 0.0)

        return [_with_images(row, stays)]

    return change


def first_components(n: int) -> Change:
    """Keep only removals of the first ``n`` components, as if the family had been planned with ``n``."""
    return lambda row: [_with_images(row, lambda subset: not subset >> n)]


def _with_images(row: Row, stays: Callable[[int], bool]) -> Row:
    """A row reduced to the images of some subsets, without texts that are then exact for no image."""
    kept = [position for position, subset in enumerate(row["subsets"]) if stays(int(subset))]
    subsets = [row["subsets"][position] for position in kept]
    texts = zip(row["text_named"], row["text_mentions"], strict=True)
    exact = [named & ~mentions in {gone & named for gone in subsets} for named, mentions in texts]
    return without_texts(row | {"subsets": subsets, "images": [row["images"][position] for position in kept]}, exact)


def without_texts(row: Row, stays: list[bool]) -> Row:
    """A row without the texts whose ``stays`` is false, and without their variants."""
    texts = [position for position, stay in enumerate(stays) if stay]
    moved = {old: new for new, old in enumerate(texts)}
    variants = [position for position, source in enumerate(row["variant_of"]) if source in moved]
    changed = {
        name: [row[name][position] for position in texts] for name in COLUMNS if name == "caption_id" or name.startswith("text")
    }
    changed |= {name: [row[name][position] for position in variants] for name in COLUMNS if name.startswith("variant_")}
    changed["variant_of"] = [moved[source] for source in changed["variant_of"]]
    return row | changed


def labels_of(row: Row, subset: int) -> list[str]:
    """The labels of a subset; bit i is the i-th component."""
    return [label for i, label in enumerate(row["labels"]) if subset >> i & 1]


def _original(row: Row) -> Rgb | None:
    places = [position for position, subset in enumerate(row["subsets"]) if not subset]
    return decode(row["images"][places[0]]) if places else None


def _repainted(row: Row, paint: Callable[[int, Rgb], Rgb]) -> Row:
    images = [
        encode(paint(subset, decode(image)), PNG) if subset else image
        for subset, image in zip(row["subsets"], row["images"], strict=True)
    ]
    return row | {"images": images}


def _drawn(record_id: str, purpose: str) -> float:
    """A number in [0, 1) that depends only on the record and the purpose."""
    digest = hashlib.blake2b(f"{record_id} {purpose}".encode(), digest_size=8, person=b"study").digest()
    return int.from_bytes(digest, "big") / 2**64


def _rows(path: str, function: Change) -> Iterator[list[Row]]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        yield [changed for row in file.read_row_group(group).to_pylist() for changed in function(row)]


def _writer(file: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetWriter(file, _schema())


def _schema() -> Any:
    import pyarrow as pa

    types = {"STRING": pa.string(), "INT": pa.int32(), "BINARY": pa.binary()}
    kinds = {name: (kind, types[kind.removeprefix("ARRAY<").removesuffix(">")]) for name, kind in COLUMNS.items()}
    return pa.schema([(name, pa.list_(item_type) if "ARRAY" in kind else item_type) for name, (kind, item_type) in kinds.items()])


def _table(rows: list[Row]) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist([{name: row[name] for name in COLUMNS} for row in rows], _schema())


def _count(row: Row, counts: Counter[str], vocabulary: set[str], lattice: dict[tuple[int, int], Counter[str]]) -> None:
    crc = zlib.crc32(row["record_id"].encode())
    counts.update(families=1, images=len(row["images"]), texts=len(row["text"]), ids_crc=crc)
    vocabulary.update(row["labels"], row["detected"])
    for subset in row["subsets"]:
        lattice.setdefault((row["n"], int(subset).bit_count()), Counter())["kept"] += 1
