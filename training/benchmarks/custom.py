"""Your own test set: a CSV of image, right text and wrong text.

The columns are ``image``, ``right``, ``wrong`` and optionally ``group``; all ``*.csv`` of the folder are read, or a single file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.benchmarks.averages import Row, each, mean_of, pooled
from training.benchmarks.item import Folder, Item, Picture, Scores, find_files, first_win, read_csv

FILES = ("*.csv",)
RIGHT = 1
_COLUMNS = ("image", "right", "wrong")


def load(data: Path, images: Path) -> list[Item]:
    """One item per line; the group is that of the line, or the file's name."""
    folder, items = Folder(images), []
    for file in find_files(data, FILES)[0]:
        for number, line in read_csv(file, _COLUMNS):
            group, picture = line.get("group") or file.stem, Picture(folder.find(line["image"]))
            items.append(Item(f"{file.stem}/{number}", group, (picture,), (line["right"], line["wrong"])))
    return items


def judge(item: Item, scores: Scores, text_scores: Scores) -> dict[str, float]:
    """``accuracy``: the right text scores above the wrong one."""
    return {"accuracy": first_win(scores[0])}


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """Each group, the mean of the groups, and all items."""
    groups = {group: pooled([group]) for group in sorted(counts)}
    several = mean_of("groups", groups, counts, "accuracy") if len(groups) > 1 else []
    return [*each(list(groups), "accuracy"), *several, Row("all items", "accuracy", pooled(list(groups)))]


def chance(items: Sequence[Item]) -> dict[str, float]:
    """A coin flip."""
    return {"accuracy": 1 / 2}
