"""Evaluation of a model on a benchmark: embed distinct pictures and texts once, judge items, average with intervals.

One JSON file has everything that a score depends on: model and version, hashes of the files, missing images, ties, draws and
seed. Each score comes with the blind baselines on the same items.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from training.benchmarks import Answering, Benchmark, BenchmarkError, Judging, benchmark, blind
from training.benchmarks.averages import Row, Score, summarise, values_of
from training.benchmarks.encode import Encoder, Features, embed_pictures, embed_texts, similarities
from training.benchmarks.item import Item, Verdict, find_files, pictures_of

Baselines = dict[str, dict[tuple[str, str], float]]
_PUBLISHED = Path(__file__).parent / "published.yaml"


class Published(TypedDict, total=False):
    """Published scores on a benchmark, in percent, by another harness; without keys if there are none."""

    source: str
    columns: list[str]  # "ROW" or "ROW / METRIC"
    models: dict[str, list[float | None]]  # by model, a score or None for each column


@dataclass(frozen=True)
class Options:
    """How to evaluate. ``limit``: largest number of items per group, 0 for all; fewer images make retrieval easier."""

    limit: int = 0
    batch_size: int = 64
    workers: int = 4
    draws: int = 1000
    seed: int = 0
    blind: bool = True
    max_pixels: int = 50_000_000
    max_bytes: int = 64_000_000


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation. ``missing``: path to reason; ``baselines``: baseline to (row, metric) to value."""

    benchmark: str
    model: str
    version: str
    settings: dict[str, Any]
    files: dict[str, str]
    absent: list[str]
    items: int
    scored: int
    missing: dict[str, str]
    scores: list[Score]
    figures: dict[str, float]
    baselines: Baselines
    verdicts: list[Verdict]

    def as_json(self, with_items: bool = False) -> str:
        """Everything as JSON; ``with_items``: with each item's verdicts, for paired comparisons."""
        tree = asdict(self)
        tree["baselines"] = [
            {"baseline": name, "name": row, "metric": metric, "value": value}
            for name, values in self.baselines.items()
            for (row, metric), value in values.items()
        ]
        tree["published"] = published(self.benchmark)
        if not with_items:
            del tree["verdicts"]
        return json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False)


def evaluate(
    name: str, data: Path, images: Path, encoder: Encoder, options: Options | None = None, **of_benchmark: str
) -> Evaluation:
    """Evaluate a model on a benchmark. ``of_benchmark``: further options of its ``load``, such as ARO's ``seed``.

    Raises:
        BenchmarkError: there is no such benchmark, file or option, or no item has its images.
    """
    options = options or Options()
    suite = benchmark(name)
    items = _limited(_loaded(suite, data, images, of_benchmark), options.limit)
    pictures, failed = embed_pictures(
        encoder, pictures_of(items), options.batch_size, options.workers, options.max_pixels, options.max_bytes
    )
    complete = [item for item in items if not any(picture in failed for picture in item.images)]
    missing = {str(picture.path): reason for picture, reason in failed.items()}
    if not complete:
        path, reason = next(iter(missing.items()), ("nothing", "no item"))
        raise BenchmarkError(f"none of {len(items)} items can be scored; the first missing image: {path} ({reason})")
    extra = getattr(suite, "extra_texts", None)
    texts = [text for item in complete for text in item.texts] + (extra(complete) if extra is not None else [])
    features = Features(pictures, embed_texts(encoder, texts))
    if not all(np.isfinite(vector).all() for vectors in (features.images, features.texts) for vector in vectors.values()):
        raise BenchmarkError(f"{encoder.name} gives features that are not finite: its training diverged, or it overflowed")
    verdicts = judged(suite, complete, features)
    counts = dict(Counter(item.group for item in complete))
    rows = suite.aggregate(counts)
    lost = Counter(item.group for item in items) - Counter(counts)
    figures = getattr(suite, "figures", None)
    files, absent = find_files(data, suite.FILES) if suite.FILES else ([], [])
    return Evaluation(
        benchmark=name,
        model=encoder.name,
        version=encoder.version,
        settings=asdict(options) | of_benchmark,
        files={file.name if file == data else file.relative_to(data).as_posix(): _digest(file) for file in files},
        absent=absent,
        items=len(items),
        scored=len(complete),
        missing=missing,
        scores=summarise(verdicts, rows, lost, options.draws, options.seed),
        figures=figures(complete, features) if figures is not None else {},
        baselines=_baselines(suite, items, complete, rows, options.blind),
        verdicts=verdicts,
    )


def _loaded(suite: Benchmark, data: Path, images: Path, of_benchmark: Mapping[str, str]) -> list[Item]:
    if not data.exists():
        raise BenchmarkError(f"there is no {data}")
    known = suite.load.__annotations__.keys() - {"data", "images", "return"}
    if unknown := sorted(of_benchmark.keys() - known):
        raise BenchmarkError(f"no option {', '.join(unknown)}; options are: {', '.join(sorted(known)) or 'none'}")
    items = suite.load(data, images, **of_benchmark)
    if not items:
        raise BenchmarkError(f"the files in {data} have no items")
    return items


def _limited(items: Sequence[Item], limit: int) -> list[Item]:
    """The first ``limit`` items of each group."""
    seen: Counter[str] = Counter()
    limited = []
    for item in items:
        seen[item.group] += 1
        if not limit or seen[item.group] <= limit:
            limited.append(item)
    return limited


def judged(suite: Benchmark, items: Sequence[Item], features: Features) -> list[Verdict]:
    """The verdict on each item, from float32 cosines."""
    if isinstance(suite, Answering):
        return suite.answer(items, features)
    verdicts = []
    for item in items:
        texts = features.of_texts(item.texts)
        values = suite.judge(item, similarities(features.of_images(item.images), texts), similarities(texts, texts))
        verdicts.append(Verdict(item.key, item.group, str(item.images[0].path), values))
    return verdicts


def _baselines(
    suite: Benchmark, items: Sequence[Item], complete: Sequence[Item], rows: Sequence[Row], with_blind: bool
) -> Baselines:
    """Chance and, if items are choices between texts, the blind baselines, on the items that were scored."""
    baselines: Baselines = {"chance": blind.chances(suite, complete, rows)}
    choices = blind.askable(suite, items)
    if with_blind and choices and isinstance(suite, Judging):
        keys = {item.key for item in complete}
        for name, baseline in blind.BASELINES.items():
            # The probe is fitted on all items, including those with a missing image.
            baselines[name] = values_of([verdict for verdict in baseline(suite, choices) if verdict.key in keys], rows)
    return baselines


def published(name: str) -> Published:
    """Published scores on a benchmark; empty if there are none."""
    import yaml

    return yaml.safe_load(_PUBLISHED.read_text(encoding="utf-8")).get(name, {})


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
