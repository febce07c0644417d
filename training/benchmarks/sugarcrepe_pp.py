"""SugarCrepe++ (Dumpala et al., NeurIPS 2024): two captions with the same meaning against one with another meaning.

Files ``{replace_att,replace_obj,replace_rel,swap_att,swap_obj}.json``: [{id, filename, caption, caption2, negative_caption}].
``ITT``: both captions score above the negative one for the image. ``TOT``: without the image, the two captions are more similar
to each other than *either* is to the negative one; a weaker reading, also in use, requires it of the first caption only: ``TOT,
first caption``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.benchmarks.averages import Row, each, mean_of, pooled
from training.benchmarks.item import Folder, Item, Picture, Scores, find_files, first_win, least, read_json, take, wins

SETS = ("replace_obj", "replace_att", "replace_rel", "swap_obj", "swap_att")
FILES = tuple(f"{name}.json" for name in SETS)
METRICS = ("ITT", "TOT", "TOT, first caption")
RIGHT = 2


def load(data: Path, images: Path) -> list[Item]:
    """One item per triple of captions; the group is its set."""
    folder, items = Folder(images), []
    for file in find_files(data, FILES)[0]:
        for key, record in read_json(file):
            name, *texts = take(record, f"{file}, item {key}", "filename", "caption", "caption2", "negative_caption")
            items.append(Item(f"{file.stem}/{key}", file.stem, (Picture(folder.find(name)),), tuple(texts)))
    return items


def judge(item: Item, scores: Scores, text_scores: Scores) -> dict[str, float]:
    """``ITT`` and both readings of ``TOT``."""
    first, second = (wins(text_scores[0, 1], text_scores[caption, 2]) for caption in (0, 1))
    return {"ITT": first_win(scores[0], RIGHT), "TOT": least(first, second), "TOT, first caption": first}


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """For each metric: each set, the mean of the sets, and all items."""
    sets = {name: pooled([name]) for name in SETS}
    rows = []
    for metric in METRICS:
        rows += each([name for name in SETS if counts.get(name)], metric)
        rows += mean_of("sets", sets, counts, metric)
        rows.append(Row("all items", metric, pooled(list(counts))))
    return rows


def chance(items: Sequence[Item]) -> dict[str, float]:
    """Chance for three scores in random order."""
    return {"ITT": 1 / 3, "TOT": 1 / 3, "TOT, first caption": 1 / 2}
