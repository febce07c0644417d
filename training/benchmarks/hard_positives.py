"""Hard positives (Kamath et al., ECCV 2024): a changed caption that is still true must also beat the negative caption.

``data/*.json`` has the originals and ``swapped_data/*.json``, item by item, the hard positives: [{image_id, image_path,
true_caption, false_caption}]. ``original``: the caption scores above the negative one; ``augmented``: both true captions do;
``brittle``: the negative caption scores between the two true ones, so the model separates them by more than truth. For
brittleness lower is better. Images are from Visual Genome.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.benchmarks.averages import Row, each, pooled
from training.benchmarks.item import BenchmarkError, Folder, Item, Picture, Scores, find_files, first_win, read_json, take, wins

FILES = ("data/*.json", "swapped_data/*.json")
METRICS = ("original", "augmented", "brittle")
RIGHT = 2
_NAMES = ("image_path", "true_caption", "false_caption")


def load(data: Path, images: Path) -> list[Item]:
    """One item per pair of true captions, with the negatives of the hard positive and, if different, of the original."""
    find_files(data, FILES)
    originals = {path.name: path for path in sorted((data / "data").glob("*.json"))}
    swapped = {path.name: path for path in sorted((data / "swapped_data").glob("*.json"))}
    if originals.keys() != swapped.keys():
        unpaired = sorted(originals.keys() ^ swapped.keys())
        raise BenchmarkError(f"{data}: only one of data and swapped_data has {', '.join(unpaired)}")
    folder, items = Folder(images), []
    for name, file in originals.items():
        pairs, others = read_json(file), read_json(swapped[name])
        if len(pairs) != len(others):
            raise BenchmarkError(f"{file} has {len(pairs)} items, {swapped[name]} {len(others)}")
        for (key, record), (_, other) in zip(pairs, others, strict=True):
            image, caption, wrong = take(record, f"{file}, item {key}", *_NAMES)
            other_image, positive, other_wrong = take(other, f"{swapped[name]}, item {key}", *_NAMES)
            if image != other_image:
                raise BenchmarkError(f"{swapped[name]}, item {key}: the image is {other_image}, but {image} in {file}")
            texts = dict.fromkeys([other_wrong, wrong])
            items.append(Item(f"{file.stem}/{key}", file.stem, (Picture(folder.find(image)),), (caption, positive, *texts)))
    return items


def judge(item: Item, scores: Scores, text_scores: Scores) -> dict[str, float]:
    """``original``, ``augmented``, ``brittle``."""
    caption, positive, wrong = (float(score) for score in scores[0, :3])
    first, second = wins(caption, wrong), wins(positive, wrong)
    return {
        "original": wins(caption, float(scores[0, -1])),
        "augmented": first_win(scores[0, :3], RIGHT),
        "brittle": 0.5 if 0.5 in (first, second) else abs(first - second),
    }


def aggregate(counts: Mapping[str, int]) -> list[Row]:
    """For each metric: each file, and all items."""
    files = sorted(counts)
    return [row for metric in METRICS for row in (*each(files, metric), Row("all items", metric, pooled(files)))]


def chance(items: Sequence[Item]) -> dict[str, float]:
    """Chance for scores in random order."""
    return {"original": 1 / 2, "augmented": 1 / 3, "brittle": 1 / 3}
