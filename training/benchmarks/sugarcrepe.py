"""SugarCrepe (Hsieh et al., NeurIPS 2023): is a caption more similar to its COCO val2017 image than a hard negative?

Files ``{add,replace,swap}_{att,obj,rel}.json``: {id: {filename, caption, negative_caption}}; ids may have gaps. There are 7,511
items, since one was removed from ``swap_obj``. Two averages are in use and differ by more than three points: the mean of the
seven sets, and the mean over all items. The published evaluation counts a tie as wrong, as ``strict`` does here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.benchmarks.averages import Row, each, mean_of, pooled
from training.benchmarks.item import Folder, Item, Picture, Scores, find_files, first_win, read_json, take

SETS = ("replace_obj", "replace_att", "replace_rel", "swap_obj", "swap_att", "add_obj", "add_att")
FILES = tuple(f"{name}.json" for name in SETS)
RIGHT = 1


def load(data: Path, images: Path) -> list[Item]:
    """One item per pair of captions; the group is its set."""
    folder, items = Folder(images), []
    for file in find_files(data, FILES)[0]:
        for key, record in read_json(file):
            name, right, wrong = take(record, f"{file}, item {key}", "filename", "caption", "negative_caption")
            items.append(Item(f"{file.stem}/{key}", file.stem, (Picture(folder.find(name)),), (right, wrong)))
    return items


def judge(item: Item, scores: Scores, text_scores: Scores) -> dict[str, float]:
    """``accuracy``: the caption scores above the negative one."""
    return {"accuracy": first_win(scores[0])}


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """Each set, the mean of the sets, and all items."""
    sets = {name: pooled([name]) for name in SETS}
    return [
        *each([name for name in SETS if counts.get(name)], "accuracy"),
        *mean_of("sets", sets, counts, "accuracy"),
        Row("all items", "accuracy", pooled(list(counts))),
    ]


def chance(items: Sequence[Item]) -> dict[str, float]:
    """A coin flip."""
    return {"accuracy": 1 / 2}
