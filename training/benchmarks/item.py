"""What benchmarks are made of: items read from their files, where their pictures are, and how two scores compare."""

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]


class BenchmarkError(ValueError):
    """A benchmark's files are not there or not in their format."""


@dataclass(frozen=True)
class Picture:
    """An image file, or a part of it: ``box`` is (left, top, width, height) in pixels."""

    path: Path
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    ``group`` is the file or task that it counts in; what follows a colon is a finer group of it, such as a relation. Texts that
    are true of the first picture stand first: how many is the benchmark's ``RIGHT``.
    """

    key: str
    group: str
    images: tuple[Picture, ...]
    texts: tuple[str, ...]

    @property
    def task(self) -> str:
        """The group without what follows its colon."""
        return self.group.partition(":")[0]


@dataclass(frozen=True)
class Verdict:
    """How an item was answered: 1 right, 0 wrong, 0.5 a tie, under each of the benchmark's metrics.

    ``image`` is what the bootstrap draws by: questions about one picture come and go together.
    """

    key: str
    group: str
    image: str
    values: dict[str, float] = field(hash=False)


def wins(score: float, other: float) -> float:
    """1 if a score is the higher one, 0 if it is the lower one, 0.5 if they are equal; NaN of NaN."""
    if np.isnan(score) or np.isnan(other):
        return float("nan")
    return 0.5 if score == other else float(score > other)


def least(*verdicts: float) -> float:
    """What all of several comparisons come to: the worst of them, so that a constant model gets a half. NaN of NaN."""
    return float(np.minimum.reduce(verdicts))


def first_win(scores: Scores, right: int = 1) -> float:
    """Whether each of the first ``right`` of the scores [T] is above all others: 1, 0, or 0.5 where a tie decides."""
    return wins(float(scores[:right].min()), float(scores[right:].max()))


def pictures_of(items: Iterable[Item]) -> list[Picture]:
    """The distinct pictures of items, in their order."""
    return list(dict.fromkeys(picture for item in items for picture in item.images))


def find_files(data: Path, patterns: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The files below ``data`` that the patterns name, and the patterns that name none; ``data`` may be one such file itself.

    Raises:
        BenchmarkError: none is there.
    """
    if data.is_file():
        return [data], []
    found = {pattern: sorted(path for path in data.glob(pattern) if path.is_file()) for pattern in patterns}
    files = list(dict.fromkeys(path for paths in found.values() for path in paths))
    if not files:
        raise BenchmarkError(f"{data} has none of {', '.join(patterns)}")
    return files, [pattern for pattern, paths in found.items() if not paths]


def read_json(path: Path) -> list[tuple[str, Any]]:
    """The records of a JSON list or object, or of JSON lines, with their keys; an empty list is a file with no item.

    Raises:
        BenchmarkError: it is no such file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = [json.loads(line) for line in text.splitlines() if line.strip()] if path.suffix == ".jsonl" else json.loads(text)
    except (OSError, ValueError) as problem:
        raise BenchmarkError(f"{path}: {problem}") from problem
    if isinstance(tree, dict):
        return list(tree.items())
    if isinstance(tree, list):
        return [(str(number), record) for number, record in enumerate(tree)]
    raise BenchmarkError(f"{path}: a list or an object of items is expected")


def read_csv(path: Path, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """The lines of a CSV file with a header, with their numbers.

    Raises:
        BenchmarkError: it is no such file, or lacks one of the columns, or a line has nothing in one of them.
    """
    try:
        lines = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines(keepends=True), strict=True)
        found = [(str(lines.line_num), line) for line in lines]
    except (OSError, ValueError, csv.Error) as problem:
        raise BenchmarkError(f"{path}: {problem}") from problem
    if lacking := [column for column in columns if column not in (lines.fieldnames or ())]:
        raise BenchmarkError(f"{path} has no column {', '.join(lacking)}")
    for number, line in found:
        if empty := [column for column in columns if not line[column]]:
            raise BenchmarkError(f"{path}, line {number}: {', '.join(empty)} is empty")
    return found


def take(record: Any, where: str, *names: str) -> list[str]:
    """The named strings of a record.

    Raises:
        BenchmarkError: one is missing or no string, said with ``where``.
    """
    for name in names:
        if not isinstance(record, dict) or not isinstance(record.get(name), str):
            raise BenchmarkError(f"{where}: there is no text {name!r}")
    return [record[name] for name in names]


_COCO_2014 = re.compile(r"COCO_(?:train|val|test)2014_(\d{12}\.jpg)")
_SUFFIXES = (".png", ".jpg", ".jpeg")


class Folder:
    """Where a benchmark's pictures are: a folder, its subfolders, or COCO's 2017 files for those that are named as in 2014."""

    def __init__(self, images: Path) -> None:
        """Raises ``BenchmarkError`` if there is no such folder."""
        if not images.is_dir():
            raise BenchmarkError(f"there is no folder of images {images}")
        self._places = [images, *sorted(path for path in images.iterdir() if path.is_dir())]
        self._found: dict[str, Path] = {}

    def find(self, name: str) -> Path:
        """The file of a picture. Where there is none, the path at which it is looked for first.

        Raises:
            BenchmarkError: the name leads out of the folder, or two subfolders have different files of this name.
        """
        if name not in self._found:
            self._found[name] = self._search(name)
        return self._found[name]

    def _search(self, name: str) -> Path:
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise BenchmarkError(f"{name!r} is no name of an image below {self._places[0]}")
        names = dict.fromkeys([name, relative.name, *_COCO_2014.findall(relative.name)])
        if not relative.suffix:
            names = dict.fromkeys(one + suffix for one in names for suffix in _SUFFIXES)
        for one in names:
            there = [place / one for place in self._places if (place / one).is_file()]
            if len(there) > 1 and there[0] != self._places[0] / one:
                raise BenchmarkError(f"{name!r} is twice below {self._places[0]}: {there[0]} and {there[1]}")
            if there:
                return there[0]
        return self._places[0] / name
