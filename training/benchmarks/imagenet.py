"""ImageNet zero-shot: a folder of images a class, with open_clip's class names and OpenAI's 80 templates (Radford et al., 2021).

``data`` is ``val/`` with a folder a class. Folders are told by what they are called: 1,000 WordNet ids, which in their sorted
order are the classes 0 to 999; or the class's number; or its name in open_clip's list. A class's vector is the mean of its 80
sentences. Two names stand for two classes each ("crane", "maillot"): there a right answer is a tie.
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
    """One item an image; the group is the class's number and name. ``images`` is not used: the data are the images."""
    if not data.is_dir():
        raise BenchmarkError(f"there is no folder of classes {data}")
    folders = sorted(path for path in data.iterdir() if path.is_dir())
    if not folders:
        raise BenchmarkError(f"{data} has no folder of a class")
    items = []
    for folder, number in zip(folders, _numbers([path.name for path in folders]), strict=True):
        group = f"{number:03} {_names()[number]}"
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
        items += [Item(f"{folder.name}/{file.name}", group, (Picture(file),), ()) for file in files]
    if not items:
        raise BenchmarkError(f"no folder in {data} has an image")
    return items


@cache
def _names() -> list[str]:
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    return list(IMAGENET_CLASSNAMES)


def _numbers(folders: list[str]) -> list[int]:
    """The classes that folders stand for."""
    if all(folder.isdigit() and int(folder) < _CLASSES for folder in folders):
        return [int(folder) for folder in folders]
    if len(folders) == _CLASSES and all(folder[0] == "n" and folder[1:].isdigit() for folder in folders):
        return list(range(_CLASSES))
    known = {name.lower(): number for number, name in reversed(list(enumerate(_names())))}
    found = [known.get(folder.lower().replace("_", " ")) for folder in folders]
    numbers = [number for number in found if number is not None]
    if len(numbers) < len(folders):
        stranger = folders[found.index(None)]
        raise BenchmarkError(f"the folder {stranger!r} is no class: 1,000 WordNet ids, numbers below 1,000 or open_clip's names")
    return numbers


def extra_texts(items: Sequence[Item]) -> list[str]:
    """All classes' sentences, those of classes without an image too: they are what an image can be mistaken for."""
    return [text for texts in _sentences() for text in texts]


@cache
def _sentences() -> list[list[str]]:
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

    return [[template(name) for template in OPENAI_IMAGENET_TEMPLATES] for name in _names()]


def answer(items: Sequence[Item], features: Features) -> list[Verdict]:
    """``top-1`` and ``top-5`` of every image; a half where it depends on how ties fall."""
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
    """All images, the mean of the classes that have some, and each class as a detail."""
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
