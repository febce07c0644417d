"""Any set of your own: a CSV of image, right text and wrong text.

Columns ``image``, ``right``, ``wrong`` and, if you like, ``group``; any ``*.csv`` in the folder, or the file itself.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.benchmarks.averages import Row, each, mean_of, pooled
from training.benchmarks.item import Folder, Item, Picture, Scores, find_files, first_win, read_csv

FILES = ("*.csv",)
RIGHT = 1
_COLUMNS = ("image", "right", "wrong")


def load(data: Path, images: Path) -> list[Item]:
    """One item a line; the group is what the file says, or the file's name."""
    folder, items = Folder(images), []
    for file in find_files(data, FILES)[0]:
        for number, line in read_csv(file, _COLUMNS):
            group, picture = line.get("group") or file.stem, Picture(folder.find(line["image"]))
            items.append(Item(f"{file.stem}/{number}", group, (picture,), (line["right"], line["wrong"])))
    return items


def judge(item: Item, scores: Scores, text_scores: Scores) -> dict[str, float]:
    """``accuracy``: the right text is above the wrong one."""
    return {"accuracy": first_win(scores[0])}


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """Each group, the mean of the groups, and all items."""
    groups = {group: pooled([group]) for group in sorted(counts)}
    several = mean_of("groups", groups, counts, "accuracy") if len(groups) > 1 else []
    return [*each(list(groups), "accuracy"), *several, Row("all items", "accuracy", pooled(list(groups)))]


def chance(items: Sequence[Item]) -> dict[str, float]:
    """What a coin gets."""
    return {"accuracy": 1 / 2}
