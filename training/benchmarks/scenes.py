"""The project's own questions on generated scenes with known truth, written by ``python -m jobs.scenes.benchmark``.

``items.json`` next to ``images/``: [{key, group, rule, images, texts}]. The ``rule`` decides how an item is judged: as a choice
(``first``: the first text is the right one; ``order``: the first text is true and says less, the second says more and is false),
as Winoground's square (``pairs``), or as a query among all items of its group (``retrieval``). In these scenes classes and
colours are drawn independently, and wrong texts come from the same grammar as right ones.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.benchmarks import retrieval, winoground
from training.benchmarks.averages import Row, mean_of, pooled
from training.benchmarks.encode import Features, similarities
from training.benchmarks.item import (
    BenchmarkError,
    Folder,
    Item,
    Picture,
    Scores,
    Verdict,
    find_files,
    first_win,
    read_json,
    take,
)

FILES = ("items.json",)
RIGHT = 1
RULES = ("first", "order", "pairs", "retrieval")


def load(data: Path, images: Path) -> list[Item]:
    """One item per question; the group is the question's group, a colon, and the rule."""
    folder = Folder(images)
    return [
        _item(record, f"{file}, item {key}", folder) for file in find_files(data, FILES)[0] for key, record in read_json(file)
    ]


def _item(record: object, where: str, folder: Folder) -> Item:
    key, group, rule = take(record, where, "key", "group", "rule")
    match record:
        case {"images": [str(), *_] as names, "texts": [str(), *_] as texts} if _fits(rule, len(names), len(texts)):
            return Item(key, f"{group}: {rule}", tuple(Picture(folder.find(name)) for name in names), tuple(texts))
    raise BenchmarkError(f"{where}: the rule {rule!r} does not fit its images and texts; rules are {', '.join(RULES)}")


def _fits(rule: str, images: int, texts: int) -> bool:
    fits = {"first": images == 1 and texts > 1, "order": images == 1 and texts == 2, "pairs": images == texts == 2}
    return fits.get(rule, rule == "retrieval" and images == 1)


def judge(item: Item, scores: Scores, text_scores: Scores) -> dict[str, float]:
    """``accuracy`` for a choice; ``text``, ``image`` and ``group`` for pairs."""
    return winoground.judge(item, scores, text_scores) if len(item.images) > 1 else {"accuracy": first_win(scores[0])}


def answer(items: Sequence[Item], features: Features) -> list[Verdict]:
    """The verdicts of ``judge``, and of retrieval within each group with that rule."""
    verdicts, ranked = [], dict[str, list[Item]]()
    for item in items:
        if item.group.endswith(": retrieval"):
            ranked.setdefault(item.group, []).append(item)
        else:
            texts = features.of_texts(item.texts)
            values = judge(item, similarities(features.of_images(item.images), texts), similarities(texts, texts))
            verdicts.append(Verdict(item.key, item.group, str(item.images[0].path), values))
    return [*verdicts, *(verdict for members in ranked.values() for verdict in retrieval.answer(members, features))]


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """Each group by the metrics of its rule; the means over edits (without single things, which are many-way) and over pairs."""
    rows: list[Row] = []
    groups = {group: group.partition(": ") for group in sorted(counts)}
    for group, (name, _, rule) in groups.items():
        rows += [Row(name, metric, pooled([group])) for metric in _METRICS[rule]]
    edits = {group: pooled([group]) for group, (name, _, rule) in groups.items() if rule == "first" and name[:6] != "single"}
    pairs = {group: pooled([group]) for group, (_, _, rule) in groups.items() if rule == "pairs"}
    rows += mean_of("edits", edits, counts, "accuracy")
    return rows + [row for metric in winoground.METRICS for row in mean_of("pairs", pairs, counts, metric)]


def figures(items: Sequence[Item], features: Features) -> dict[str, float]:
    """The modality gap over the retrieval items, if there are any."""
    ranked = [item for item in items if item.group.endswith(": retrieval")]
    return retrieval.figures(ranked, features) if ranked else {}


def chance(items: Sequence[Item]) -> dict[str, float]:
    """Chance by rule."""
    choices = [1 / len(item.texts) for item in items if len(item.texts) > 1 and len(item.images) == 1]
    chances = winoground.chance(items) | retrieval.chance(items)
    return chances | ({"accuracy": sum(choices) / len(choices)} if choices else {})


_CHOICE = ("accuracy",)
_METRICS = {"first": _CHOICE, "order": _CHOICE, "pairs": winoground.METRICS, "retrieval": retrieval.METRICS}
