"""ARO (Yuksekgonul et al., ICLR 2023): attribution, relation and order of words.

``visual_genome_relation.json`` and ``visual_genome_attribution.json``: [{image_path, true_caption, false_caption, bbox_x, bbox_y,
bbox_w, bbox_h, relation_name or attributes}]; the image is cropped to the box. ``coco_karpathy_test.json`` and
``flickr30k_test.json``: [{image, caption: [text, ...]}]; a caption against its shuffles (``shuffles.py`` describes how they
differ from the published ones). VG-Relation is the mean over asymmetric relations, VG-Attribution the mean over pairs of
attributes with at least 25 items. Text alone scores high on all of these: compare with the blind baselines.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.benchmarks.averages import Row, each, pooled
from training.benchmarks.item import BenchmarkError, Folder, Item, Picture, Scores, find_files, first_win, read_json, take
from training.benchmarks.shuffles import plain, spoilt

RELATION, ATTRIBUTION, COCO, FLICKR = "VG-Relation", "VG-Attribution", "COCO-Order", "Flickr-Order"
_TASKS = {
    "visual_genome_relation.json": RELATION,
    "visual_genome_attribution.json": ATTRIBUTION,
    "coco_karpathy_test.json": COCO,
    "flickr30k_test.json": FLICKR,
}
FILES = tuple(_TASKS)
RIGHT = 1
_ENOUGH = 25
_BOX = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")

# Relations that the published evaluation leaves out as symmetric or too rare, grouped by their first word.
_SYMMETRIC_BY_FIRST = """
adjusting; attached to; between; bigger than; biting; boarding; brushing; chewing; cleaning; climbing; close to; coming from,
out of; contain; crossing; dragging; draped over; drinking, from; driving, down, on; eating from, in; enclosing; exiting;
facing; filled with; floating in, on; flying, above, in, over, through; full of; going down, into, through; grazing in; growing
in, on; guiding; hanging from, in, off, over; higher than; holding onto; hugging; in between; jumping off, on, over; kept in;
larger than; leading; leaning over; leaving; licking; longer than; looking in, into, out, over, through; lying next to, on top
of; making; mixed with; mounted on; moving; on the back of, the edge of, the front of, the other side of, the side of; opening;
painted on; parked at, beside, by, in, in front of, near, next to; perched on; petting; piled on; playing, in, on, with;
pouring; reaching for; reading; reflected on; riding on; running in, on, through; seen through; sitting behind, beside, by, in
front of, near, next to, under; skiing down, on; sleeping in, on; smiling at; sniffing; splashing; sprinkled on; stacked on;
standing against, around, behind, beside, in front of, near, next to; staring at; stuck in; surrounding; swimming in; swinging;
talking to; topped with; touching; traveling down, on; tying; typing on; underneath; wading in; waiting for; walking across, by,
down, next to, through; working in, on; worn on; wrapped around, in; by; of; near; next to; with; beside; around
"""


def _symmetric() -> frozenset[str]:
    names = []
    for entry in _SYMMETRIC_BY_FIRST.replace("\n", " ").split(";"):
        first, *others = (part.strip() for part in entry.split(","))
        verb = first.split()[0]
        names += [first, *(f"{verb} {other}" for other in others)]
    return frozenset(names)


SYMMETRIC = _symmetric()


def load(data: Path, images: Path, seed: str = "0") -> list[Item]:
    """One item per pair, or per caption with its shuffles. The group is the task, then a colon and the relation or attributes."""
    folder = Folder(images)
    items: list[Item] = []
    for file in find_files(data, FILES)[0]:
        task = _TASKS.get(file.name)
        if task is None:
            raise BenchmarkError(f"{file}: the file must be one of {', '.join(FILES)}")
        read = _order if task in (COCO, FLICKR) else _genome
        for key, record in read_json(file):
            items += read(task, f"{task}/{key}", record, f"{file}, item {key}", folder, seed)
    return items


def _genome(task: str, key: str, record: Any, where: str, folder: Folder, seed: str) -> Iterator[Item]:
    name, right, wrong = take(record, where, "image_path", "true_caption", "false_caption")
    box = [record.get(side) for side in _BOX]
    if not all(isinstance(side, int | float) for side in box):
        raise BenchmarkError(f"{where}: {', '.join(_BOX)} are not numbers")
    left, top, width, height = (round(side) for side in box)
    if task == RELATION:
        kind = take(record, where, "relation_name")[0]
    else:
        match record.get("attributes"):
            case [str(first), str(second)]:
                kind = f"{first}_{second}"
            case other:
                raise BenchmarkError(f"{where}: attributes must be two texts, not {other!r}")
    yield Item(key, f"{task}: {kind}", (Picture(folder.find(name), (left, top, width, height)),), (right, wrong))


def _order(task: str, key: str, record: Any, where: str, folder: Folder, seed: str) -> Iterator[Item]:
    name = take(record, where, "image")[0]
    captions = record.get("caption")
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise BenchmarkError(f"{where}: caption must be a list of texts")
    picture = (Picture(folder.find(name)),)
    for number, caption in enumerate(captions):
        # A caption of one word has no order to shuffle, so it gives no item.
        if wrong := spoilt(caption, f"{seed}/{name}/{number}"):
            yield Item(f"{key}/{number}", task, picture, (plain(caption), *wrong))


def judge(item: Item, scores: Scores, text_scores: Scores) -> dict[str, float]:
    """``accuracy``: the caption scores above the other caption, or above all its shuffles (precision at 1)."""
    return {"accuracy": first_win(scores[0])}


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """Each task as the paper averages it and over all items; relations and pairs of attributes as details."""
    rows: list[Row] = []
    groups = {task: sorted(group for group in counts if group.partition(":")[0] == task) for task in _TASKS.values()}
    for task, kind in ((RELATION, "asymmetric relations"), (ATTRIBUTION, f"pairs with {_ENOUGH} items")):
        averaged = tuple(pooled([group]) for group in groups[task] if _is_averaged(task, group, counts[group]))
        rows += [Row(f"{task}: mean over {kind}", "accuracy", averaged)] if averaged else []
        rows += [Row(f"{task}: all items", "accuracy", pooled(groups[task]))] if groups[task] else []
        rows += each(groups[task], "accuracy", detail=True)
    return [*rows, *each([task for task in (COCO, FLICKR) if groups[task]], "accuracy")]


def _is_averaged(task: str, group: str, count: int) -> bool:
    return group.partition(": ")[2] not in SYMMETRIC if task == RELATION else count >= _ENOUGH


def chance(items: Sequence[Item]) -> dict[str, float]:
    """A text at random."""
    return {"accuracy": sum(1 / len(item.texts) for item in items) / len(items)}
