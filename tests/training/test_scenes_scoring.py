"""The scores of the rules on scenes: intervals, and what counts as right."""

from collections import Counter

import pytest

from jobs.scenes import layout
from jobs.scenes.captions import tell
from jobs.scenes.domain import load
from jobs.settings import load_settings
from training.acceptance.rewriting import extraction, report, run
from training.statistics import wilson

OBJECTS = load("objects")


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (50, 100, 0.404, 0.596), (95, 100, 0.888, 0.978)],
)
def test_wilson_intervals_are_those_of_textbooks(hits: int, total: int, low: float, high: float) -> None:
    assert wilson(hits, total) == pytest.approx((low, high), abs=0.001)


def test_the_rules_read_and_rewrite_most_captions_of_the_training_forms() -> None:
    scenes = [layout.sample("objects", "test", 9, index, 64) for index in range(60)]
    judged, counts = run(OBJECTS, scenes, "train", load_settings("annotations"))
    monotone = [result for result in judged if result.caption.monotone]
    assert len(monotone) > 200
    # A worse lexicon or worse rules fall below this floor.
    assert sum(not result.fault for result in monotone) / len(monotone) > 0.93
    assert counts["sure made and read"] / counts["sure made"] > 0.98
    lines = list(report(judged, counts, 5))
    assert any(line.startswith("  all") for line in lines)


def test_wrong_texts_are_called_wrong() -> None:
    from training.acceptance.rewriting import _fault

    captions = [c for i in range(40) for c in tell(OBJECTS, layout.sample("objects", "test", 0, i, 64), "train")]
    caption = next(c for c in captions if c.monotone and len(c.labels) == 2 and not c.tale.relation)
    removed = caption.labels[:1]
    texts = {
        caption.text: "another meaning",  # nothing was removed
        "": "another meaning",
        "a frog": "unparsed",
    }
    for text, fault in texts.items():
        row = {"caption": text, "status": "ok"}
        assert fault in _fault(OBJECTS, caption, removed, row, "something")


def test_extraction_counts_mentions_made_and_read() -> None:
    counts: Counter[str] = Counter()
    for index in range(20):
        for caption in tell(OBJECTS, layout.sample("objects", "test", 0, index, 64), "all"):
            caption_counts = extraction(caption)
            assert caption_counts["sure made and read"] <= caption_counts["sure made"]
            assert caption_counts["sure made"] == len({(m.start, m.end) for m in caption.mentions if m.certain})
            counts += caption_counts
    assert counts["sure made"] > 50
