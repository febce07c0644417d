"""Blind baselines: what a benchmark's texts give away without the images. They are reported next to every score.

``chance``: guessing. ``shorter``: the text with fewer characters. ``probe``: a linear model on the words and word pairs in which
two texts differ, fitted on four fifths of the benchmark's images and tested on the rest. The probe is fitted on the benchmark's
own texts, so it bounds what style gives away and is not the score of an untrained model. It cannot help where two images share
two texts.

    python -m training.benchmarks.blind --benchmark NAME --data DIR        the table, without a model and without images
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from training.benchmarks import BENCHMARKS, Benchmark, Judging, benchmark
from training.benchmarks.averages import Row, groups_of, values_of
from training.benchmarks.item import Item, Verdict
from training.tables import markdown_table

FOLDS = 5
# A word or a punctuation mark: in some sets only the wrong text ends with a full stop.
_WORD = r"\w+(?:[-'’]\w+)*|[^\w\s]"

TextScores = NDArray[np.float64]


def askable(suite: Benchmark, items: Sequence[Item]) -> list[Item]:
    """The items that ask which of several texts is true of one image."""
    return [item for item in items if suite.RIGHT and len(item.images) == 1 and len(item.texts) > 1]


def chances(suite: Benchmark, items: Sequence[Item], rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """Chance in each row, by name and metric. It differs between rows, as items may have different numbers of texts."""
    members: dict[str, list[Item]] = {}
    for item in items:
        members.setdefault(item.group, []).append(item)
    return {
        (row.name, row.metric): suite.chance([item for group in sorted(groups_of(row.part)) for item in members[group]])[
            row.metric
        ]
        for row in rows
    }


def shorter(suite: Judging, items: Sequence[Item]) -> list[Verdict]:
    """The verdicts of a model that prefers the shorter text."""
    return [_judged(suite, item, -np.array([len(text) for text in item.texts], dtype=np.float64)) for item in items]


def probe(suite: Judging, items: Sequence[Item]) -> list[Verdict]:
    """The verdicts of the text-only probe, fitted separately for each task; a task with fewer than two images has none."""
    tasks: dict[str, list[Item]] = {}
    for item in items:
        tasks.setdefault(item.task, []).append(item)
    return [
        _judged(suite, item, scores)
        for members in tasks.values()
        for item, scores in zip(members, _probe_scores(members, suite.RIGHT), strict=False)
    ]


def _judged(suite: Judging, item: Item, scores: TextScores) -> Verdict:
    size = len(item.texts)
    # Metrics that compare texts with texts need a model: they are NaN here, and left out.
    metrics = suite.judge(item, scores[None].astype(np.float32), np.full((size, size), np.nan, dtype=np.float32))
    values = {name: value for name, value in metrics.items() if not np.isnan(value)}
    return Verdict(item.key, item.group, str(item.images[0].path), values)


def _probe_scores(items: Sequence[Item], right: int) -> Iterator[TextScores]:
    """For each item, the scores [T] of its texts by the model that was fitted without its image."""
    from scipy.sparse import vstack
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    images = [str(item.images[0].path) for item in items]
    folds = min(FOLDS, len(set(images)))
    if folds < 2:
        return
    texts = [text for item in items for text in item.texts]
    counts = CountVectorizer(ngram_range=(1, 2), token_pattern=_WORD).fit_transform(texts)
    ends = np.cumsum([len(item.texts) for item in items])
    starts = ends - [len(item.texts) for item in items]
    pairs = [(number, *pair) for number, item in enumerate(items) for pair in _pairs(len(item.texts), right)]
    owner, good, bad = np.array(pairs).T
    differences = counts[starts[owner] + good] - counts[starts[owner] + bad]
    scores = np.empty(len(texts))
    for train, held in GroupKFold(folds).split(np.arange(len(items)), groups=images):
        fitted = np.flatnonzero(np.isin(owner, train))
        # The fit needs both labels; without an intercept the reversed difference adds no information.
        rows = vstack([differences[fitted], -differences[fitted]])
        labels = np.repeat([1, 0], len(fitted))
        weights = LogisticRegression(fit_intercept=False, solver="liblinear").fit(rows, labels).coef_[0]
        for number in held:
            scores[starts[number] : ends[number]] = counts[starts[number] : ends[number]] @ weights
    yield from (scores[start:end] for start, end in zip(starts, ends, strict=True))


def _pairs(texts: int, right: int) -> Iterator[tuple[int, int]]:
    return ((good, bad) for good in range(right) for bad in range(right, texts))


BASELINES: dict[str, Callable[[Judging, Sequence[Item]], list[Verdict]]] = {"shorter": shorter, "probe": probe}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the baselines of a benchmark as a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m training.benchmarks.blind", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--benchmark", required=True, choices=[*BENCHMARKS])
    parser.add_argument("--data", required=True, type=Path, help="folder of the benchmark's files, or one of them")
    options = parser.parse_args(arguments)
    suite = benchmark(options.benchmark)
    with TemporaryDirectory() as empty:  # images are not read
        items = suite.load(options.data, Path(empty))
    items = askable(suite, items)
    if not items or not isinstance(suite, Judging):
        parser.error(f"{options.benchmark} has no items that ask which of several texts is true of one image")
    counts: dict[str, int] = {}
    for item in items:
        counts[item.group] = counts.get(item.group, 0) + 1
    rows = [row for row in suite.aggregate(counts) if not row.detail]
    guess = chances(suite, items, rows)
    baselines = {name: values_of(baseline(suite, items), rows) for name, baseline in BASELINES.items()}
    table = []
    for row in rows:
        cells = [values.get((row.name, row.metric)) for values in baselines.values()]
        shown = ("-" if cell is None else f"{100 * cell:.1f}" for cell in cells)
        number = sum(counts[group] for group in groups_of(row.part))
        table.append((row.name, row.metric, number, f"{100 * guess[row.name, row.metric]:.1f}", *shown))
    print("\n".join(markdown_table(("row", "metric", "items", "chance", *baselines), table)))


if __name__ == "__main__":
    main()
