"""The labels of dual texts, and the command that scores the rules by them."""

import hashlib
import json

import pytest

from tests.bench.rewriting import captions_of, score, spell, wilson, words
from tests.support.originals import REPOSITORY, SHARED
from udfs.truth import submasks

LABELS = REPOSITORY / "tests" / "labels"
CAPTIONS = SHARED / "data" / "benchmarks" / "aro" / "coco_karpathy_test.json"


def entry(caption: str, labels: list[str], texts: dict) -> tuple[list[dict], dict[str, str]]:
    digest = hashlib.sha256(caption.encode()).hexdigest()
    return [{"sha256": digest, "labels": labels, "texts": texts}], {digest: caption}


def test_a_text_is_spelled_by_the_places_of_its_words():
    assert spell("0-1 with 4", words("A man, riding his horse.")) == ["a", "man", "with", "horse"]


def test_texts_are_right_wrong_unlabelled_or_refused():
    texts = {
        "person": {"right": ["3-4"]},
        "horse": {"right": ["0-2"], "wrong": {"0-1": "lost verb"}},
        "person,horse": {"right": []},
    }
    result = score(*entry("A man riding a horse.", ["person", "horse"], texts))
    assert dict(result.verdicts) == {"right": 1, "wrong": 1, "refused": 1}
    assert (dict(result.kinds), dict(result.reasons), result.missed) == ({"lost verb": 1}, {"nothing_left": 1}, 0)
    result = score(*entry("A man riding a horse.", ["person"], {"person": {"right": []}}))
    assert dict(result.verdicts) == {"unlabelled": 1}


def test_an_absent_caption_is_left_out():
    entries, _ = entry("A man riding a horse.", ["person"], {"person": {"right": ["3-4"]}})
    assert score(entries, {}).written == 0


def test_the_interval_is_wilsons():
    low, high = wilson(9, 10)
    assert (round(low, 3), round(high, 3)) == (0.596, 0.982)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("name", ["coco_rewrites.json", "coco_rewrites_development.json"])
def test_every_subset_is_labelled(name):
    entries = json.loads((LABELS / name).read_text())["captions"]
    for record in entries:
        wanted = {
            ",".join(label for i, label in enumerate(record["labels"]) if subset >> i & 1)
            for subset in submasks((1 << len(record["labels"])) - 1)
        }
        assert set(record["texts"]) == wanted
    assert len({record["sha256"] for record in entries}) == len(entries) == 200


@pytest.mark.shared("data/benchmarks/aro/coco_karpathy_test.json")
def test_the_rules_are_as_right_as_when_they_were_measured():
    known = {hashlib.sha256(c.encode()).hexdigest(): c for c in captions_of(json.loads(CAPTIONS.read_text()))}
    result = score(json.loads((LABELS / "coco_rewrites.json").read_text())["captions"], known)
    assert sum(result.verdicts.values()) == 414
    assert result.verdicts["wrong"] <= 35
    assert result.verdicts["right"] >= 275
