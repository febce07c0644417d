"""VL-CheckList (Zhao et al., EMNLP 2022): objects, attributes and relations, a true text against a changed one.

Files ``{Object,Attribute,Relation}/**/*.json``: [[image, {POS: [text, ...], NEG: [text, ...]}], ...]; of several texts the first
is used, as published. Some files are empty lists. A group's score is the mean of its files, and the overall score the mean of the
three groups. Published numbers skip missing images silently, so they are on different subsets. Images are from Visual Genome,
SWiG and HAKE.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.benchmarks.averages import Part, Row, each, mean_of, pooled
from training.benchmarks.item import BenchmarkError, Folder, Item, Picture, Scores, find_files, first_win, read_json

GROUPS = ("Object", "Attribute", "Relation")
FILES = tuple(f"{group}/**/*.json" for group in GROUPS)
RIGHT = 1


def load(data: Path, images: Path) -> list[Item]:
    """One item per pair of texts; the group is its file's path below ``data``, without ``.json``."""
    folder, items = Folder(images), []
    top = data if data.is_dir() else data.parent
    for file in find_files(data, FILES)[0]:
        group = file.with_suffix("").relative_to(top).as_posix()
        for key, record in read_json(file):
            name, right, wrong = _pair(record, f"{file}, item {key}")
            items.append(Item(f"{group}/{key}", group, (Picture(folder.find(name)),), (right, wrong)))
    return items


def _pair(record: object, where: str) -> tuple[str, str, str]:
    match record:
        case [str(name), {"POS": [str(right), *_], "NEG": [str(wrong), *_]}]:
            return name, right, wrong
    raise BenchmarkError(f"{where}: expected [image, {{POS: [text], NEG: [text]}}]")


def judge(item: Item, scores: Scores, text_scores: Scores) -> dict[str, float]:
    """``accuracy``: the true text scores above the other ("itc")."""
    return {"accuracy": first_win(scores[0])}


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """Each file, each group as the mean of its files, the mean of the three groups, and all items."""
    files = sorted(counts)
    groups: dict[str, Part] = {group: tuple(pooled([file]) for file in files if file.startswith(f"{group}/")) for group in GROUPS}
    return [
        *each(files, "accuracy"),
        *(Row(f"{group}: mean of {len(part)} files", "accuracy", part) for group, part in groups.items() if part),
        *mean_of("groups", groups, counts, "accuracy"),
        Row("all items", "accuracy", pooled(files)),
    ]


def chance(items: Sequence[Item]) -> dict[str, float]:
    """A coin flip."""
    return {"accuracy": 1 / 2}
