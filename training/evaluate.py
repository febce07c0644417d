"""A model on a benchmark: distinct pictures and texts are embedded once, items judged, averages given with intervals.

One JSON file says all that a number depends on: model and version, the files' hashes, what is missing, ties, draws and seed.
Next to each score stand the blind baselines on the same items.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training import blind
from training.benchmarks import Answering, Benchmark, BenchmarkError, Judging, benchmark
from training.benchmarks.averages import Score, summarise, values_of
from training.benchmarks.encode import Encoder, Features, embed_pictures, embed_texts, similarities
from training.benchmarks.item import Item, Verdict, find_files, pictures_of

Baselines = dict[str, dict[tuple[str, str], float]]
_ANOTHER_HARNESS = Path(__file__).parent / "benchmarks" / "published.yaml"


@dataclass(frozen=True)
class Options:
    """How to evaluate. ``limit``: items a group at most, 0 for all; retrieval among fewer images is an easier question."""

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
    """What came out. ``missing``: path to reason; ``baselines``: baseline to (row, metric) to value."""

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
        """The whole as JSON; ``with_items`` with each item's verdicts, for paired comparisons."""
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
    """Evaluate a model on a benchmark. ``of_benchmark``: what its ``load`` takes besides, such as ARO's ``seed``.

    Raises:
        BenchmarkError: no such benchmark, files or option; or not one item has its images.
    """
    options = options or Options()
    suite = benchmark(name)
    items = _limited(_loaded(suite, data, images, of_benchmark), options.limit)
    pictures, failed = embed_pictures(
        encoder, pictures_of(items), options.batch_size, options.workers, options.max_pixels, options.max_bytes
    )
    there = [item for item in items if not any(picture in failed for picture in item.images)]
    missing = {str(picture.path): reason for picture, reason in failed.items()}
    if not there:
        some = next(iter(missing.items()), ("nothing", "no item"))
        raise BenchmarkError(f"not one of {len(items)} items can be scored; the first image: {some[0]} ({some[1]})")
    extra = getattr(suite, "extra_texts", None)
    texts = [text for item in there for text in item.texts] + (extra(there) if extra is not None else [])
    features = Features(pictures, embed_texts(encoder, texts))
    if not all(np.isfinite(vector).all() for vectors in (features.images, features.texts) for vector in vectors.values()):
        raise BenchmarkError(f"{encoder.name} gives features that are no numbers: its training diverged, or it overflowed")
    verdicts = judged(suite, there, features)
    counts = dict(Counter(item.group for item in there))
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
        scored=len(there),
        missing=missing,
        scores=summarise(verdicts, rows, lost, options.draws, options.seed),
        figures=figures(there, features) if figures is not None else {},
        baselines=_baselines(suite, items, there, rows, options.blind),
        verdicts=verdicts,
    )


def _loaded(suite: Benchmark, data: Path, images: Path, of_benchmark: Mapping[str, str]) -> list[Item]:
    if not data.exists():
        raise BenchmarkError(f"there is no {data}")
    known = suite.load.__annotations__.keys() - {"data", "images", "return"}
    if strange := sorted(of_benchmark.keys() - known):
        raise BenchmarkError(f"no option {', '.join(strange)}; there is {', '.join(sorted(known)) or 'none'}")
    items = suite.load(data, images, **of_benchmark)
    if not items:
        raise BenchmarkError(f"the files in {data} have no item")
    return items


def _limited(items: Sequence[Item], limit: int) -> list[Item]:
    """The first ``limit`` items of each group."""
    seen: Counter[str] = Counter()
    kept = []
    for item in items:
        seen[item.group] += 1
        if not limit or seen[item.group] <= limit:
            kept.append(item)
    return kept


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
    suite: Benchmark, items: Sequence[Item], there: Sequence[Item], rows: Sequence[Any], all_of_them: bool
) -> Baselines:
    """Chance, and where the question is one of texts the blind baselines, on the items that were scored."""
    found: Baselines = {"chance": blind.chances(suite, there, rows)}
    asked = blind.askable(suite, items)
    if all_of_them and asked and isinstance(suite, Judging):
        keys = {item.key for item in there}
        for name, baseline in blind.BASELINES.items():
            # The probe learns from all items, also from those whose image is missing.
            found[name] = values_of([verdict for verdict in baseline(suite, asked) if verdict.key in keys], rows)
    return found


def published(name: str) -> dict[str, Any]:
    """Numbers that others have published on this benchmark, in per cent, by their own harness; empty if none are noted.

    {"source": str, "columns": ["ROW" or "ROW / METRIC"], "models": {model: a value or None for each column}}
    """
    import yaml

    return yaml.safe_load(_ANOTHER_HARNESS.read_text(encoding="utf-8")).get(name, {})


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
