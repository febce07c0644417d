"""VALSE (Parcalabescu et al., ACL 2022): a caption against a foil, over seven linguistic phenomena.

Eleven files: {id: {image_file, caption, foil, mturk: {caption, foil, other}, ...}}. An item counts if at least two of three
annotators chose the caption. In papers "the average" is the mean of the eleven files or of the seven phenomena (a phenomenon is
the mean of its files): CLIP ViT-B/32 has 65.3 by the former and 67.5 by the latter. Images are from COCO, Visual7W, SWiG and
VisDial.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.benchmarks.averages import Part, Row, each, mean_of, pooled
from training.benchmarks.item import BenchmarkError, Folder, Item, Picture, Scores, find_files, first_win, read_json, take

PHENOMENA = {
    "existence": ("existence",),
    "plurality": ("plurals",),
    "counting": ("counting-hard", "counting-small-quant", "counting-adversarial"),
    "relations": ("relations",),
    "actions": ("action-replacement", "actant-swap"),
    "coreference": ("coreference-standard", "coreference-hard"),
    "foil-it": ("foil-it",),
}
PIECES = tuple(piece for pieces in PHENOMENA.values() for piece in pieces)
FILES = tuple(f"{piece}.json" for piece in PIECES)
RIGHT = 1
_ANNOTATORS = 2


def load(data: Path, images: Path) -> list[Item]:
    """One item per pair that annotators agreed on; the group is its file."""
    folder, items = Folder(images), []
    for file in find_files(data, FILES)[0]:
        for key, record in read_json(file):
            where = f"{file}, item {key}"
            name, right, wrong = take(record, where, "image_file", "caption", "foil")
            votes = record.get("mturk")
            if not isinstance(votes, dict) or not isinstance(votes.get("caption"), int):
                raise BenchmarkError(f"{where}: mturk.caption must be a number")
            if votes["caption"] >= _ANNOTATORS:
                items.append(Item(f"{file.stem}/{key}", file.stem, (Picture(folder.find(name)),), (right, wrong)))
    return items


def judge(item: Item, scores: Scores, text_scores: Scores) -> dict[str, float]:
    """``accuracy``: the caption scores above the foil."""
    return {"accuracy": first_win(scores[0])}


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """Each file, both averages, and all items."""
    phenomena: dict[str, Part] = {name: tuple(pooled([piece]) for piece in pieces) for name, pieces in PHENOMENA.items()}
    files = {piece: pooled([piece]) for piece in PIECES}
    return [
        *each([piece for piece in PIECES if counts.get(piece)], "accuracy"),
        *mean_of("files", files, counts, "accuracy"),
        *mean_of("phenomena", phenomena, counts, "accuracy"),
        Row("all items", "accuracy", pooled(list(counts))),
    ]


def chance(items: Sequence[Item]) -> dict[str, float]:
    """A coin flip."""
    return {"accuracy": 1 / 2}
