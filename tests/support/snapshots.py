"""A small snapshot, written with pyarrow as ``jobs.publish`` would: families drawn at random from a seed, with exact texts."""

import io
import random
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from jobs.snapshot.manifest import COLUMNS, PLACEBO, SCHEMA_HASH, Manifest, read_manifest

Row = dict[str, Any]
COLOURS = {"dog": "saddlebrown", "cat": "orange", "cup": "navy"}
LABELS = tuple(COLOURS)
KINDS = ("swap", "paraphrase", "rewrite")


def picture(labels: Sequence[str], removed: int, size: int = 48, shade: int = 0) -> bytes:
    """One upright bar per component, from left to right; a removed component is not drawn."""
    image = Image.new("RGB", (size, size), (200, 200, shade % 256))
    draw = ImageDraw.Draw(image)
    for i, label in enumerate(labels):
        if not removed >> i & 1:
            draw.rectangle((i * size // 3 + 2, 8, i * size // 3 + size // 4, size - 8), fill=COLOURS[label])
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def family(number: int, n: int, captions: Sequence[int], *, refused: Sequence[int] = (), variants: bool = False) -> Row:
    """A family of n components; ``captions`` are masks of what each names, ``refused`` subsets without an image."""
    labels = LABELS[:n]
    subsets = [subset for subset in range(2**n) if subset not in refused]
    texts = []
    for index, named in enumerate(captions):
        for mentions in sorted({named & ~subset for subset in subsets}):
            names = " and a ".join(label for i, label in enumerate(labels) if mentions >> i & 1) or "ground"
            texts.append((f"{number}-{index}", f"A {names}, number {number}.", named, mentions, 0))
    varied = [(i, kind, f"{kind} {j} of {texts[i][1]}") for i in range(len(texts)) for kind in KINDS for j in range(2)]
    varied = varied if variants else []
    mentioned = [texts[i][3] for i, _, _ in varied]
    columns = dict(
        zip(("caption_id", "text", "text_named", "text_mentions", "text_may_mention"), zip(*texts, strict=True), strict=True)
    )
    return {
        "record_id": f"record-{number:05}",
        "n": n,
        "labels": list(labels),
        "subsets": subsets,
        "images": [picture(labels, subset, shade=number) for subset in subsets],
        **{name: list(values) for name, values in columns.items()},
        "detected": sorted({*labels, "zebra"}),
        "variant_of": [i for i, _, _ in varied],
        "variant_kind": [kind for _, kind, _ in varied],
        "variant_text": [text for _, _, text in varied],
        "variant_mentions": mentioned,
        "variant_may_mention": [0] * len(varied),
        "variant_names": ["|".join(label for i, label in enumerate(labels) if mask >> i & 1) for mask in mentioned],
    }


def two() -> list[Row]:
    """A family of a dog and a cat whose captions name both, and a dog alone; and a picture of nothing."""
    return [family(0, 2, [3, 1], variants=True), family(1, 0, [0], variants=True)]


def drawn(count: int, seed: int = 0, *, variants: bool = False) -> list[Row]:
    """Families of 0 to 3 components with one or two captions, some without all of their images."""
    rng, rows = random.Random(seed), []
    for number in range(count):
        n = rng.randint(0, 3)
        captions = [2**n - 1] + [rng.randrange(2**n)] * rng.randint(0, 1)
        refused = [subset for subset in range(1, 2**n) if rng.random() < 0.2]
        rows.append(family(number, n, captions, refused=refused, variants=variants))
    return rows


def write(folder: Path, rows: Sequence[Row], *, shards: int = 2, group: int = 3, waves: int = 1) -> Manifest:
    """A snapshot of the rows, dealt out to the shards; ``group`` families per row group. A row may have a ``placebo``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"STRING": pa.string(), "INT": pa.int32(), "BINARY": pa.binary()}
    columns = COLUMNS | (PLACEBO if any("placebo" in row for row in rows) else {})
    kinds = {name: kind.removeprefix("ARRAY<").removesuffix(">") for name, kind in columns.items()}
    schema = pa.schema(
        [(name, pa.list_(types[kinds[name]]) if "ARRAY" in kind else types[kind]) for name, kind in columns.items()]
    )
    files = []
    for shard in range(shards):
        dealt = [row | {"shard": shard} for row in rows[shard::shards]]
        for wave in range(waves):
            part = dealt[wave::waves]
            path = folder / f"data/wave={wave}/part={shard}/rows.parquet"
            path.parent.mkdir(parents=True)
            pq.write_table(pa.Table.from_pylist(part, schema), path, row_group_size=group)
            counts = {"families": len(part), "images": sum(len(row["images"]) for row in part)}
            counts |= {"texts": sum(len(row["text"]) for row in part), "bytes": path.stat().st_size}
            crc = sum(zlib.crc32(row["record_id"].encode()) for row in part)
            files.append({"path": str(path.relative_to(folder)), "shard": shard, "ids_crc": crc, **counts})
    totals = {name: sum(file[name] for file in files) for name in ("families", "images", "texts")} | {"pairs": 0, "left_out": 0}
    terms = {label for row in rows for label in (*row["labels"], *row["detected"])}
    terms |= {label for row in rows for names in row["variant_names"] for label in names.split("|") if label}
    manifest = Manifest.model_validate(
        {"id": folder.name, "made_at": "2020-01-01T00:00:00+00:00", "schema_hash": SCHEMA_HASH, "columns": columns, "tables": {}}
        | {
            "stages": {},
            "shards": shards,
            "seed": 0,
            "files": files,
            "totals": totals,
            "vocabulary": sorted(terms),
            "lattice": [],
        }
        | {"policy": "", "settings": {}}
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return read_manifest(str(folder))
