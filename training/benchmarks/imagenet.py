"""ImageNet zero-shot classification, with open_clip's class names and OpenAI's 80 templates (Radford et al., 2021).

``data`` is ``val/`` with one folder per class. A folder is named by WordNet id (all 1,000 of them: sorted, they are the classes 0
to 999), by class number, or by class name as in open_clip. A class vector is the mean of its 80 sentences. Two names stand for
two classes each ("crane", "maillot"): a right answer there is a tie.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from training.benchmarks.averages import Row, each, pooled
from training.benchmarks.encode import Features, Vectors
from training.benchmarks.item import BenchmarkError, Item, Picture, Verdict

FILES = ()
RIGHT = 0
_CLASSES = 1000
_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
_DIGITS = 6
_IMAGES_AT_ONCE = 1000


def load(data: Path, images: Path) -> list[Item]:
    """One item per image; the group is the class's number and name. ``images`` is not used: the images are in ``data``."""
    if not data.is_dir():
        raise BenchmarkError(f"there is no folder of classes {data}")
    folders = sorted(path for path in data.iterdir() if path.is_dir())
    if not folders:
        raise BenchmarkError(f"{data} has no class folders")
    items = []
    for folder, number in zip(folders, _numbers([path.name for path in folders]), strict=True):
        group = f"{number:03} {_names()[number]}"
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
        items += [Item(f"{folder.name}/{file.name}", group, (Picture(file),), ()) for file in files]
    if not items:
        raise BenchmarkError(f"no folder in {data} has images")
    return items


@cache
def _names() -> list[str]:
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    return list(IMAGENET_CLASSNAMES)


def _numbers(folders: list[str]) -> list[int]:
    """The class numbers of folders, by their names."""
    if all(folder.isdigit() and int(folder) < _CLASSES for folder in folders):
        return [int(folder) for folder in folders]
    if len(folders) == _CLASSES and all(folder[0] == "n" and folder[1:].isdigit() for folder in folders):
        return list(range(_CLASSES))
    known = {name.lower(): number for number, name in reversed(list(enumerate(_names())))}
    classes = [known.get(folder.lower().replace("_", " ")) for folder in folders]
    numbers = [number for number in classes if number is not None]
    if len(numbers) < len(folders):
        unknown = folders[classes.index(None)]
        raise BenchmarkError(
            f"the folder {unknown!r} is not a class: names are 1,000 WordNet ids, numbers below 1,000 or open_clip's names"
        )
    return numbers


def extra_texts(items: Sequence[Item]) -> list[str]:
    """The sentences of all classes, including those without images, as an image can be mistaken for any class."""
    return [text for texts in _sentences() for text in texts]


@cache
def _sentences() -> list[list[str]]:
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

    return [[template(name) for template in OPENAI_IMAGENET_TEMPLATES] for name in _names()]


def answer(items: Sequence[Item], features: Features) -> list[Verdict]:
    """``top-1`` and ``top-5`` of each image; one half if it depends on how ties are broken."""
    classes = _unit(np.stack([features.of_texts(texts).mean(axis=0) for texts in _sentences()]))
    verdicts = []
    for start in range(0, len(items), _IMAGES_AT_ONCE):
        part = items[start : start + _IMAGES_AT_ONCE]
        scores = np.round(features.of_images([item.images[0] for item in part]) @ classes.T, _DIGITS)
        for item, row in zip(part, scores, strict=True):
            score = row[int(item.group[:3])]
            above, equal = int((row > score).sum()), int((row == score).sum()) - 1
            values = {f"top-{depth}": ((above < depth) + (above + equal < depth)) / 2 for depth in (1, 5)}
            verdicts.append(Verdict(item.key, item.group, str(item.images[0].path), values))
    return verdicts


def _unit(vectors: Vectors) -> Vectors:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """All images, the mean over classes with images, and each class as a detail."""
    groups = sorted(counts)
    rows = []
    for metric in ("top-1", "top-5"):
        rows.append(Row("all images", metric, pooled(groups)))
        rows.append(Row(f"mean of {len(groups)} classes", metric, tuple(pooled([group]) for group in groups)))
        rows += each(groups, metric, detail=True)
    return rows


def chance(items: Sequence[Item]) -> dict[str, float]:
    """A class at random."""
    return {"top-1": 1 / _CLASSES, "top-5": 5 / _CLASSES}
