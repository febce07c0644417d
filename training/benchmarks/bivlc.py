"""BiVLC (Miranda et al., NeurIPS 2024): SugarCrepe's pairs, with a generated image for each negative caption.

A ``.jsonl``, ``.json`` or ``.csv`` of {image, caption, negative_image, negative_caption, type, subtype}, images by file name;
or the data set's own Parquet files, of which ``unpack`` writes such files. ``I2T``: each image prefers its caption; ``T2I``:
each caption its image; ``group``: both. The negative images are drawn by a diffusion model, which can be told from a
photograph.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.benchmarks.averages import Row, each, pooled
from training.benchmarks.item import Folder, Item, Picture, Scores, find_files, least, read_csv, read_json, take
from training.benchmarks.winoground import square

FILES = ("*.jsonl", "*.json", "*.csv")
METRICS = ("I2T", "T2I", "group")
RIGHT = 1
_ITEMS = "bivlc.jsonl"
_KIND = ("type", "subtype")
_NAMES = ("image", "negative_image", "caption", "negative_caption")


def load(data: Path, images: Path) -> list[Item]:
    """One item two images and two captions; the group is type and subtype, such as ``replace_obj``."""
    folder, items = Folder(images), []
    for file in find_files(data, FILES)[0]:
        for key, record in read_csv(file, (*_NAMES, *_KIND)) if file.suffix == ".csv" else read_json(file):
            left, right, *texts = take(record, f"{file}, item {key}", *_NAMES)
            kind, subtype = take(record, f"{file}, item {key}", *_KIND)
            pictures = (Picture(folder.find(left)), Picture(folder.find(right)))
            items.append(Item(f"{file.stem}/{key}", f"{kind}_{subtype}", pictures, tuple(texts)))
    return items


def judge(item: Item, scores: Scores, text_scores: Scores) -> dict[str, float]:
    """``I2T``, ``T2I``, ``group``."""
    texts, images = square(scores)
    return {"I2T": texts, "T2I": images, "group": least(texts, images)}


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """For each metric: each kind, and all items, which is the average that its paper has."""
    kinds = sorted(counts)
    return [row for metric in METRICS for row in (*each(kinds, metric), Row("all items", metric, pooled(kinds)))]


def chance(items: Sequence[Item]) -> dict[str, float]:
    """Of four numbers in any order."""
    return {"I2T": 1 / 4, "T2I": 1 / 4, "group": 1 / 6}


def unpack(parquet: Path, output: Path) -> int:
    """Write the images and ``bivlc.jsonl`` of Parquet files whose image columns are struct<bytes, path>; returns the items.

    Files are named by their number, not by what the data says.
    """
    from pyarrow.parquet import ParquetFile

    output.mkdir(parents=True, exist_ok=True)
    count = 0
    with open(output / _ITEMS, "w", encoding="utf-8") as lines:
        for file in find_files(parquet, ("**/*.parquet",))[0]:
            for batch in ParquetFile(file).iter_batches(100):
                for row in batch.to_pylist():
                    names = {"image": f"{count:05}.jpg", "negative_image": f"{count:05}-negative.jpg"}
                    for column, name in names.items():
                        (output / name).write_bytes(row[column]["bytes"])
                    lines.write(json.dumps({**row, **names}) + "\n")
                    count += 1
    return count
