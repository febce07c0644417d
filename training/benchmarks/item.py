"""The parts of a benchmark: items from its files, its pictures, and comparisons of scores."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udfs import text_files
from udfs.errors import DualsetError

Scores = NDArray[np.float32]


class BenchmarkError(DualsetError, ValueError):
    """Files of a benchmark are missing or have the wrong format."""


@dataclass(frozen=True)
class Picture:
    """An image file, or a crop of it: ``box`` is (left, top, width, height) in pixels."""

    path: Path
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    ``group`` is the file or task that the item belongs to; after a colon follows a finer group, such as a relation. The texts
    that are true of the first picture come first; their number is the benchmark's ``RIGHT``.
    """

    key: str
    group: str
    images: tuple[Picture, ...]
    texts: tuple[str, ...]

    @property
    def task(self) -> str:
        """The group up to its colon."""
        return self.group.partition(":")[0]


@dataclass(frozen=True)
class Verdict:
    """The result for an item, by metric: 1 for right, 0 for wrong, 0.5 for a tie.

    The bootstrap draws by ``image``, so items about the same picture are drawn together.
    """

    key: str
    group: str
    image: str
    values: dict[str, float] = field(hash=False)


def wins(score: float, other: float) -> float:
    """1 if ``score`` is higher, 0 if it is lower, 0.5 if the two are equal; NaN if either is NaN."""
    if np.isnan(score) or np.isnan(other):
        return float("nan")
    return 0.5 if score == other else float(score > other)


def least(*verdicts: float) -> float:
    """All of several comparisons: the worst of them, so that a constant model gets one half; NaN if any is NaN."""
    return float(np.minimum.reduce(verdicts))


def first_win(scores: Scores, right: int = 1) -> float:
    """Whether each of the first ``right`` scores of [T] is above all others: 1, 0, or 0.5 if a tie decides."""
    return wins(float(scores[:right].min()), float(scores[right:].max()))


def pictures_of(items: Iterable[Item]) -> list[Picture]:
    """The distinct pictures of items, in order of appearance."""
    return list(dict.fromkeys(picture for item in items for picture in item.images))


def find_files(data: Path, patterns: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The files below ``data`` that match the patterns, and the patterns without a match; ``data`` may also be a file.

    Raises:
        BenchmarkError: no file matches.
    """
    if data.is_file():
        return [data], []
    matches = {pattern: sorted(path for path in data.glob(pattern) if path.is_file()) for pattern in patterns}
    files = list(dict.fromkeys(path for paths in matches.values() for path in paths))
    if not files:
        raise BenchmarkError(f"{data} has none of {', '.join(patterns)}")
    return files, [pattern for pattern, paths in matches.items() if not paths]


def read_json(path: Path) -> list[tuple[str, Any]]:
    """The records of a JSON list or object, or of JSON lines, with their keys; a list may be empty.

    Raises:
        BenchmarkError: the file is none of these.
    """
    try:
        if path.suffix == ".jsonl":
            with path.open("rb") as stream:
                tree: Any = [record for _, record in text_files.json_lines(text_files.open_lines(stream, str(path)), str(path))]
        else:
            tree = text_files.load_json(path.read_bytes(), str(path))
    except text_files.TextFileError as problem:
        raise BenchmarkError(str(problem)) from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise BenchmarkError(f"{path}: {problem}") from problem
    if isinstance(tree, dict):
        return list(tree.items())
    if isinstance(tree, list):
        return [(str(number), record) for number, record in enumerate(tree)]
    raise BenchmarkError(f"{path}: expected a list or an object of items")


def read_csv(path: Path, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """The lines of a CSV file with a header, with their line numbers.

    Raises:
        BenchmarkError: the file cannot be read, lacks one of ``columns``, or a line has too many or too few fields, or an empty
            value in one of ``columns``.
    """
    try:
        with path.open("rb") as stream:
            lines = list(text_files.table_rows(text_files.open_lines(stream, str(path)), str(path), columns))
    except text_files.TextFileError as problem:
        raise BenchmarkError(str(problem)) from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise BenchmarkError(f"{path}: {problem}") from problem
    for number, line in lines:
        if empty := [column for column in columns if not line[column]]:
            raise BenchmarkError(f"{path}, line {number}: {', '.join(empty)} is empty")
    return [(str(number), line) for number, line in lines]


def take(record: Any, where: str, *names: str) -> list[str]:
    """The named strings of a record.

    Raises:
        BenchmarkError: a string is missing or not a string; the message starts with ``where``.
    """
    for name in names:
        if not isinstance(record, dict) or not isinstance(record.get(name), str):
            raise BenchmarkError(f"{where}: there is no text {name!r}")
    return [record[name] for name in names]


_COCO_2014 = re.compile(r"COCO_(?:train|val|test)2014_(\d{12}\.jpg)")
_SUFFIXES = (".png", ".jpg", ".jpeg")


class Folder:
    """A benchmark's folder of pictures: looks in it and its subfolders, and finds COCO 2014 names among COCO 2017 files."""

    def __init__(self, images: Path) -> None:
        """Raises ``BenchmarkError`` if there is no such folder."""
        if not images.is_dir():
            raise BenchmarkError(f"there is no folder of images {images}")
        self._folders = [images, *sorted(path for path in images.iterdir() if path.is_dir())]
        self._paths: dict[str, Path] = {}

    def find(self, name: str) -> Path:
        """The path of a picture. If there is no such file, the path where it was looked for first.

        Raises:
            BenchmarkError: the name leads out of the folder, or several subfolders have a file of this name.
        """
        if name not in self._paths:
            self._paths[name] = self._search(name)
        return self._paths[name]

    def _search(self, name: str) -> Path:
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise BenchmarkError(f"{name!r} is not the name of an image below {self._folders[0]}")
        names = dict.fromkeys([name, relative.name, *_COCO_2014.findall(relative.name)])
        if not relative.suffix:
            names = dict.fromkeys(stem + suffix for stem in names for suffix in _SUFFIXES)
        for candidate in names:
            files = [folder / candidate for folder in self._folders if (folder / candidate).is_file()]
            if len(files) > 1 and files[0] != self._folders[0] / candidate:
                raise BenchmarkError(f"{name!r} is twice below {self._folders[0]}: {files[0]} and {files[1]}")
            if files:
                return files[0]
        return self._folders[0] / name
