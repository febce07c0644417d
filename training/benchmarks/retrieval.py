"""Retrieval on COCO and Flickr30K with Karpathy's splits, in both directions, and the modality gap.

``coco_karpathy_test.json`` or ``flickr30k_test.json``: [{image, caption: [text, ...]}]; or Karpathy's own ``dataset_coco.json``
or ``dataset_flickr30k.json``: {images: [{filename, split, sentences: [{raw}]}]}, with the split ``test`` by default. All captions
of an image count as its own, including a sixth one. COCO's test images are from val2014, and some of them are in train2017: check
what a model was trained on. The bootstrap draws queries; the gallery is fixed. A missing image makes the gallery smaller and
retrieval easier.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from training.benchmarks.averages import Row, pooled
from training.benchmarks.encode import Features, Vectors
from training.benchmarks.item import BenchmarkError, Folder, Item, Picture, Verdict, find_files, read_json, take

FILES = ("coco_karpathy_test.json", "flickr30k_test.json", "dataset_coco.json", "dataset_flickr30k.json")
RIGHT = 0
DEPTHS = (1, 5, 10)
METRICS = tuple(f"{way} R@{depth}" for way in ("i2t", "t2i") for depth in DEPTHS)
_GROUP = "all queries"
_QUERIES_AT_ONCE = 500
_DIGITS = 6  # float32 cosines of equal vectors may differ in the seventh digit


def load(data: Path, images: Path, split: str = "test") -> list[Item]:
    """One item per image, with all its captions.

    Raises:
        BenchmarkError: the folder has more than one of the files (galleries are not mixed), or no image of the split.
    """
    files = find_files(data, FILES)[0]
    if len(files) > 1:
        raise BenchmarkError(f"{data} has {' and '.join(file.name for file in files)}: give one of them as --data")
    folder = Folder(images)
    items = [
        Item(name, _GROUP, (Picture(folder.find(name)),), tuple(dict.fromkeys(captions)))
        for name, captions in _records(files[0], split)
    ]
    if not items:
        raise BenchmarkError(f"{files[0]} has no image of the split {split!r}")
    return items


def _records(file: Path, split: str) -> Iterator[tuple[str, list[str]]]:
    for key, record in read_json(file):
        if key == "images":  # Karpathy's own file is an object with all splits
            for entry in record:
                name, image_split = take(entry, f"{file}, images", "filename", "split")
                if image_split == split:
                    yield name, [take(sentence, f"{file}, {name}", "raw")[0] for sentence in entry["sentences"]]
        elif key.isdigit():
            name = take(record, f"{file}, item {key}", "image")[0]
            match record.get("caption"):
                case [str(), *_] as captions:
                    yield name, [str(caption) for caption in captions]
                case other:
                    raise BenchmarkError(f"{file}, item {key}: caption must be a list of texts, not {json.dumps(other)[:80]}")


def answer(items: Sequence[Item], features: Features) -> list[Verdict]:
    """``i2t R@K`` of each image and ``t2i R@K`` of each caption, with the given images as the gallery.

    A query is right at K if one of its own is within the first K however ties are broken, and one half if that depends on ties.
    """
    owners = np.repeat(np.arange(len(items)), [len(item.texts) for item in items])
    pictures = features.of_images([item.images[0] for item in items])
    texts = features.of_texts([text for item in items for text in item.texts])
    verdicts = []
    for number, (above, equal) in enumerate(_ranks(pictures, texts, np.arange(len(items)), owners)):
        verdicts.append(_verdict(items[number], items[number].key, "i2t", above, equal))
    for number, (above, equal) in enumerate(_ranks(texts, pictures, owners, np.arange(len(items)))):
        item = items[owners[number]]
        verdicts.append(_verdict(item, f"{item.key}#{number}", "t2i", above, equal))
    return verdicts


def _ranks(queries: Vectors, gallery: Vectors, owner: Any, gallery_owner: Any) -> Iterator[tuple[int, int]]:
    """For each query, how many foreign gallery entries score above its best own entry, and how many equal to it."""
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        scores = np.round(queries[start : start + _QUERIES_AT_ONCE] @ gallery.T, _DIGITS)
        own = owner[start : start + _QUERIES_AT_ONCE, None] == gallery_owner[None, :]
        best = np.where(own, scores, -np.inf).max(axis=1, keepdims=True)
        above, equal = ((others & ~own).sum(axis=1).tolist() for others in (scores > best, scores == best))
        yield from zip(above, equal, strict=True)


def _verdict(item: Item, key: str, way: str, above: int, equal: int) -> Verdict:
    values = {f"{way} R@{depth}": ((above < depth) + (above + equal < depth)) / 2 for depth in DEPTHS}
    return Verdict(key, item.group, str(item.images[0].path), values)


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """Recall at 1, 5 and 10, from image to text and from text to image."""
    return [Row(_GROUP, metric, pooled(list(counts))) for metric in METRICS]


def figures(items: Sequence[Item], features: Features) -> dict[str, float]:
    """``modality gap``: the distance between the mean image and the mean text vector (Liang et al., NeurIPS 2022); and the mean
    cosine of images with their own captions.
    """
    pictures = features.of_images([item.images[0] for item in items])
    texts = features.of_texts([text for item in items for text in item.texts])
    ends = list(accumulate(len(item.texts) for item in items))
    own = [texts[end - len(item.texts) : end] @ picture for item, picture, end in zip(items, pictures, ends, strict=True)]
    return {
        "modality gap": float(np.linalg.norm(pictures.mean(axis=0) - texts.mean(axis=0))),
        "mean cosine of pairs": float(np.concatenate(own).mean()),
    }


def chance(items: Sequence[Item]) -> dict[str, float]:
    """Recall of a random order."""
    texts, count = sum(len(item.texts) for item in items), len(items)
    recalls = {}
    for depth in DEPTHS:
        first = min(depth, texts)
        misses = [comb(texts - len(item.texts), first) / comb(texts, first) for item in items]
        recalls[f"i2t R@{depth}"] = 1 - sum(misses) / count
        recalls[f"t2i R@{depth}"] = min(1.0, depth / count)
    return recalls
