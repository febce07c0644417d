"""Winoground (Thrush et al., CVPR 2022): two images and two captions with the same words.

``examples.jsonl`` as distributed (access requires an agreement): {id, image_0, image_1, caption_0, caption_1, collapsed_tag,
...}. ``text``: each image prefers its caption; ``image``: each caption prefers its image; ``group``: both. Half of the items test
more than composition (Diwan et al., EMNLP 2022). With 400 items a 95% interval is 8 points wide.

``interaction``, which is not the paper's: the two right scores together are above the two wrong ones, s00 + s11 > s01 + s10. What
a model likes in general about one of the images or of the captions cancels, so it says whether the model binds at all, where
``group`` also asks that these biases are smaller than the binding.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.benchmarks.averages import Row, each, pooled
from training.benchmarks.item import Folder, Item, Picture, Scores, find_files, least, read_json, take, wins

FILES = ("examples.jsonl",)
METRICS = ("text", "image", "group", "interaction")
RIGHT = 1


def load(data: Path, images: Path) -> list[Item]:
    """One item per two images and two captions; the group is the kind of swap, if the file has it."""
    folder, items = Folder(images), []
    for file in find_files(data, FILES)[0]:
        for key, record in read_json(file):
            left, right, *texts = take(record, f"{file}, item {key}", "image_0", "image_1", "caption_0", "caption_1")
            pictures = (Picture(folder.find(left)), Picture(folder.find(right)))
            items.append(Item(key, str(record.get("collapsed_tag") or "untagged"), pictures, tuple(texts)))
    return items


def judge(item: Item, scores: Scores, text_scores: Scores) -> dict[str, float]:
    """``text``, ``image``, ``group``, ``interaction``."""
    text, image = square(scores)
    return {"text": text, "image": image, "group": least(text, image), "interaction": interaction(scores)}


def square(scores: Scores) -> tuple[float, float]:
    """Whether each of two images prefers its text, and each text its image. ``scores``: [2, 2], the diagonal is right."""
    (first, second), (third, fourth) = scores.astype(float)
    return least(wins(first, second), wins(fourth, third)), least(wins(first, third), wins(fourth, second))


def interaction(scores: Scores) -> float:
    """Whether the diagonal of [2, 2] has the larger sum."""
    (first, second), (third, fourth) = scores.astype(float)
    return wins(first + fourth, second + third)


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """For each metric: each kind of swap, and all items."""
    kinds = sorted(counts)
    rows = []
    for metric in METRICS:
        rows += each(kinds, metric) if len(kinds) > 1 else []
        rows.append(Row("all items", metric, pooled(kinds)))
    return rows


def chance(items: Sequence[Item]) -> dict[str, float]:
    """Chance for four scores in random order."""
    return {"text": 1 / 4, "image": 1 / 4, "group": 1 / 6, "interaction": 1 / 2}
