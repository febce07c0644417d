"""Variants of texts: what a rule makes of written examples, what it refuses, and on scenes whether negatives are false."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.chain import BESIDE, fresh_from, named
from jobs.settings import Settings, load_settings
from jobs.stream import StageError
from scenes import domain as domains
from scenes import layout
from scenes.captions import tell
from scenes.holds import holds
from scenes.meaning import parse
from scenes.words import words_of
from tests import roots
from udfs import language, masks, variant_replace
from udfs.lexicon import normalise
from udfs.role import Failure, Row
from udfs.variant_llm import LanguageModelVariants, one_change
from udfs.variant_phrases import Caption, Known, Variant
from udfs.variant_rewrite import paraphrases, rewrites
from udfs.variant_swap import reorders, swaps
from udfs.variants import POSITIVE, Variants

RULES = ("swap", "replace_noun", "replace_adjective", "replace_relation", "paraphrase", "rewrite")


def texts(found: Iterator[Variant]) -> list[str]:
    return [variant.text for variant in found if variant.text]


def reasons(found: Iterator[Variant]) -> set[str]:
    return {variant.reason for variant in found if variant.text is None}


def vary(captions: Sequence[str], *, labels: Sequence[str] = (), seen: Sequence[str] = (), **settings: Any) -> list[Row]:
    """The variants of one image's captions, by the rules."""
    (found,) = Variants(with_variants(**settings), "cpu")([image(captions, labels, seen)])
    assert isinstance(found, dict)
    return found["variants"]


def with_variants(**settings: Any) -> Settings:
    tree = load_settings("annotations").model_dump() | {"variants": settings}
    return Settings.model_validate(tree)


def image(captions: Sequence[str], labels: Sequence[str] = (), seen: Sequence[str] = ()) -> Row:
    told = [{"caption_id": str(i), "subset": 0, "caption": caption} for i, caption in enumerate(captions)]
    return {"record_id": "r", "labels": list(labels), "seen": list(seen), "used": [], "texts": told}


@pytest.mark.parametrize(
    ("caption", "swapped"),
    [
        ("A dog chases a cat.", "A cat chases a dog."),
        ("a small cup on a wooden table", "a wooden table on a small cup"),
        ("a red cup next to a blue plate", "a blue cup next to a red plate"),
        ("A man in a blue shirt rides a brown horse.", "A man in a brown shirt rides a blue horse."),
        ("An apple on a plate", "A plate on an apple"),  # articles follow
        ("a red car behind a blue car", "a blue car behind a red car"),
        ("Dogs run after horses", "Horses run after dogs"),
    ],
)
def test_a_swap(caption: str, swapped: str):
    assert swapped in texts(swaps(Caption.of(caption)))


@pytest.mark.parametrize(
    "caption",
    [
        "a dog and a cat",
        "A dog and a cat sleep on it.",
        "a cup next to a plate",
        "a man with a dog",
        "a dog beside a cat",
        "a cup sitting next to a plate",
        "a dog, a cat and a horse",
        "There is a tv. It is beside a vase.",
        "A cup stands alone. It is beside a vase.",
        "a red car and a blue car",
        "a red ball and a ball",
        "a red ball and a box",  # the box may be red as well
        "a tiny cup and a small bowl",
    ],
)
def test_a_swap_that_may_mean_the_same_is_none(caption: str):
    found = list(swaps(Caption.of(caption)))
    assert texts(iter(found)) == []
    assert "same_meaning" in reasons(iter(found))


def test_no_swap_that_nobody_would_say():
    """Clothes, parts, owners, measures, views, and nouns of another number stay where they are."""
    for caption in (
        "a man in a hat",
        "a picture of a dog",
        "the leg of a table",
        "a man's dog on a bed",
        "two dogs on a bed",
        "a bowl of soup",
    ):
        assert texts(swaps(Caption.of(caption))) == [], caption


@pytest.mark.parametrize(
    ("caption", "turned"),
    [
        ("A dog and a cat sleep on it.", "A cat and a dog sleep on it."),
        ("a cup next to a plate", "a plate next to a cup"),
        ("a photo of an apple and two bananas", "a photo of two bananas and an apple"),
    ],
)
def test_what_means_the_same_is_a_paraphrase(caption: str, turned: str):
    assert texts(reorders(Caption.of(caption))) == [turned]


@pytest.mark.parametrize(
    "caption",
    [
        "a dog and a cat in a hat",  # the hat might change its wearer
        "a man and his dog",
        "a man on a horse next to a cow",
        "There is a dog and two cats.",  # is, are
        "a dog on a couch",
    ],
)
def test_what_may_mean_something_else_is_not_turned(caption: str):
    assert texts(reorders(Caption.of(caption))) == []


def test_a_noun_gives_way_to_what_is_not_there():
    """Animals for an animal; not the one that is seen, nor one that another caption names."""
    found = vary(
        ["A dog sleeps on a bed.", "a dog and maybe a bird"], labels=["dog", "bed"], seen=["cat"], kinds=["replace_noun"], each=40
    )
    first = [row["text"] for row in found if row["caption_id"] == "0"]
    assert "A zebra sleeps on a bed." in first
    assert not any(word in text for text in first for word in ("cat", "bird"))
    assert {"A dog sleeps on a chair.", "An elephant sleeps on a bed."} <= set(first)


def test_words_in_use_come_first():
    """No replacement is told by a word that no true caption has."""
    caption = Caption.of("a red dog")
    known = Known(frozenset(["dog"]), frozenset(), frozenset(["horse", "car", "blue"]))
    assert texts(variant_replace.nouns(caption, known, Random(0))) == ["a red horse"]
    assert texts(variant_replace.adjectives(caption, known, Random(0))) == ["a blue dog"]


def test_all_alternatives_in_the_image():
    everything = Known(frozenset(load_labels()))
    assert reasons(variant_replace.nouns(Caption.of("a dog"), everything, Random(0))) == {"in_image"}


def load_labels() -> Sequence[str]:
    from udfs.lexicon import labels

    return labels()


@pytest.mark.parametrize(
    ("make", "caption", "replaced"),
    [
        (variant_replace.adjectives, "a large box", "a small box"),
        (variant_replace.adjectives, "an old house", "a new house"),
        (variant_replace.adjectives, "an old woman", "a young woman"),
        (variant_replace.relations, "a cup in front of a plate", "a cup behind a plate"),
        (variant_replace.relations, "a cup to the left of a plate", "a cup to the right of a plate"),
        (variant_replace.relations, "a dog is sleeping on a bed", "a dog is sleeping under a bed"),
        (variant_replace.relations, "a man sits", "a man runs"),
        (variant_replace.relations, "dogs running", "dogs sleeping"),
    ],
)
def test_a_replacement(make: Callable[[Caption, Known, Random], Iterator[Variant]], caption: str, replaced: str):
    assert replaced in texts(make(Caption.of(caption), Known(), Random(0)))


@pytest.mark.parametrize(
    ("make", "caption"),
    [
        (variant_replace.adjectives, "a brown dog"),
        (variant_replace.relations, "a cup sitting on it"),
        (variant_replace.relations, "a walk on a sunny day"),
        (variant_replace.nouns, "a man and a tree"),
    ],
)
def test_no_replacement_that_may_be_true(make: Callable[[Caption, Known, Random], Iterator[Variant]], caption: str):
    """Brown is near tan and orange, a cup that sits stands as well, nothing is under a day, and the tree is of no class."""
    found = texts(make(Caption.of(caption), Known(), Random(0)))
    assert not any(word in text.split() for text in found for word in ("tan", "orange", "standing", "under", "elephant"))


def test_a_colour_of_another_caption_is_left_out():
    """Two balls may be there: "a blue ball" is said of one of them."""
    found = vary(["a red ball", "a blue ball behind a red one"], kinds=["replace_adjective"], each=40)
    assert not any("blue" in row["text"] for row in found if row["caption_id"] == "0" and row["text"])


@pytest.mark.parametrize(
    ("caption", "others"),
    [
        ("A dog sleeping on a bed.", {"There is a dog sleeping on a bed.", "A dog is sleeping on a bed."}),
        ("A dog sleeps on a bed.", {"A dog is sleeping on a bed.", "Here is a dog sleeping on a bed."}),
        ("Two dogs are on a couch", {"Two dogs are on a sofa"}),
        ("There is a cup on a table", {"A cup on a table", "Here is a cup on a table"}),
        ("a large box near a bed", {"there is a large box near a bed", "a big box near a bed"}),
    ],
)
def test_rewrites(caption: str, others: set[str]):
    assert others <= set(texts(rewrites(Caption.of(caption))))


def test_no_rewrite_of_what_is_part_of_a_name():
    """A street light is no road light, a cable car no cable automobile."""
    assert texts(paraphrases(Caption.of("a street light and a cable car"))) == []
    assert texts(paraphrases(Caption.of("a street with a car"))) == ["a street with an automobile", "a road with a car"]


def test_every_text_and_kind_has_a_row_or_a_reason():
    captions = ["A dog chases a cat.", "a nice view", "a dog and a cat"]
    found = vary(captions, labels=["dog", "cat"])
    assert {(row["caption_id"], row["kind"]) for row in found} == {(str(i), kind) for i in range(3) for kind in RULES}
    for row in found:
        assert (row["text"] is None) == (row["status"] != "ok")
    by_kind = {row["kind"]: row["status"] for row in found if row["caption_id"] == "1"}
    assert by_kind["swap"] == "no_candidate"
    assert {row["status"] for row in found if row["caption_id"] == "2" and row["kind"] == "swap"} == {"same_meaning"}


def test_masks_and_names_are_the_variants_own():
    (found,) = vary(["a cat"], labels=["cat"], seen=(), kinds=["replace_noun"], each=1)
    assert found["mentions"] == 0 and found["names"] and "cat" not in found["names"]
    (same,) = vary(["a photo of a dog and a cat"], labels=["cat", "dog"], kinds=["paraphrase"], each=1)
    assert same["mentions"] == 3 and same["names"] == ["cat", "dog"]


def test_a_negative_is_no_other_text_of_the_image():
    found = vary(["a dog chases a cat", "a cat chases a dog"], kinds=["swap"])
    assert {row["status"] for row in found} == {"true_text"}


def test_the_same_variants_again():
    """A seed, a record and a text decide; what else is in the batch does not."""
    one, other = (image(["a red dog on a blue bed near a green chair"]) | {"record_id": key} for key in "ab")
    role = Variants(with_variants(), "cpu")
    assert role([one, other])[0] == role([one])[0]
    assert role([one])[0] != role([other])[0]


def test_on_scenes_negatives_are_false_and_paraphrases_true():
    """Read by the scenes' own parser, as far as it knows the words. Relations apart: on scenes to sit is to stand."""
    world, found = domains.load("objects"), Counter[tuple[bool, str]]()
    words = words_of(world)
    used = [*world.known, *(word for table in (words.colours, words.materials) for said in table.values() for word in said)]
    role = Variants(with_variants(kinds=["swap", "replace_noun", "replace_adjective", "paraphrase", "rewrite"]), "cpu")
    for index in range(10):
        scene = layout.sample("objects", "test", 11, index, 96)
        row = image([caption.text for caption in tell(world, scene, "all")], scene.labels[:3], scene.labels) | {"used": used}
        (made,) = role([row])
        assert isinstance(made, dict)
        for one in made["variants"]:
            if one["text"] and not (said := parse(one["text"], world)).unparsed:
                found[one["kind"] in POSITIVE, "true" if holds(said, scene, world) else "false"] += 1
    assert found[True, "true"] > 50 and found[False, "false"] > 80
    assert found[True, "false"] == 0
    assert found[False, "true"] == 0


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        ("A woman walks his cat.", "not_one_change"),
        ("A man walks his horse.", ""),
        ("A man walks an old elephant on the moon today.", "not_one_change"),
        ("A man walks without dog.", "denies"),
    ],
)
def test_what_a_model_exchanged(made: str, fault: str):
    assert one_change("A man walks his dog.", made) == fault


class FakeModel:
    """Says what it is told to say."""

    name, version = "fake", "1"

    def __init__(self, replies: dict[str, str | Failure]) -> None:
        self.replies = replies

    def __call__(self, prompts: Sequence[str]) -> list[str | Failure]:
        return [self.replies[prompt.removeprefix("Caption: ").strip('"')] for prompt in prompts]


def test_a_language_model(monkeypatch: pytest.MonkeyPatch):
    """Its replacement passes the checks or has a reason: a wider word, a text that says more, a failed call."""
    replies: dict[str, str | Failure] = {
        "a dog on a bed": '"a horse on a bed"',
        "a man on a bed": '"a person on a bed"',
        "a cat on a bed": '"a pet on a bed"',
        "a cow on a bed": '"a cow and a bird"',
        "a bear on a bed": Failure("model_error", "out of tokens"),
    }
    monkeypatch.setattr(language, "load", lambda *_: FakeModel(replies))
    settings = with_variants(kinds=["llm_replace"], model={"kind": "openai", "model": "m", "base_url": "http://localhost:1"})
    role = Variants(settings, "cpu")
    assert role.name == "fake+rules"
    (found,) = role([image(list(replies))])
    assert isinstance(found, dict)
    said = {row["caption_id"]: row["text"] or row["status"] for row in found["variants"]}
    assert said == {"0": "a horse on a bed", "1": "same_meaning", "2": "in_image", "3": "not_one_change", "4": "model_error"}


def test_a_model_without_a_kind_is_an_error():
    settings = with_variants(kinds=["swap"], model={"kind": "openai", "model": "m"})
    assert settings.variants.model is not None
    with pytest.raises(ValueError, match="no kind of llm_replace, rewrite is asked for"):
        LanguageModelVariants(settings.variants.model, "cpu", settings.variants.kinds)


def test_the_stage(spark: SparkSession, tmp_path: Path):
    """Beside the chain: by name alone, one row a record, a row or a reason for every text and kind; gone with its source."""
    run = roots.open_root(spark, tmp_path / "root", "variants.each=9")
    pets = roots.Picture(
        "pets.png", ["A dog sits to the left of a cat.", "a red dog"], [("dog", (4, 4, 24, 24)), ("cat", (70, 40, 90, 60))]
    )
    bare = roots.Picture("bare.png", ["a nice view"])
    roots.take(run, roots.Source(tmp_path / "one").write(pets, bare))
    roots.run_stages(run, "ingest", "extract", "segment", "plan", "rewrite")
    assert not run.store.exists("text_variants")
    roots.run_stages(run, "variants", "placebos")
    found, duals = roots.by_key(roots.rows(run, "text_variants"), "record_id"), roots.rows(run, "dual_texts")
    assert len(found) == len(duals) == 2
    for row in duals:
        made = found[row["record_id"]]
        assert made["status"] == "ok" and made["model"] == "rules"
        wanted = {(one["caption_id"], one["subset"]) for one in row["texts"] if one["status"] == "ok"}
        wanted |= {(one["caption_id"], 0) for one in made["variants"]}
        assert {(one["caption_id"], one["subset"], one["kind"]) for one in made["variants"]} == {
            (*place, kind) for place in wanted for kind in RULES
        }
    said = {normalise(one["text"]) for row in found.values() for one in row["variants"] if one["text"]}
    assert "a cat sits to the left of a dog" in said
    assert "a dog sits to the right of a cat" in said
    (placebo,) = roots.rows(run, "placebos")
    with_dog_and_cat = {row["record_id"] for row in roots.rows(run, "families") if row["n"] == 2}
    assert {placebo["record_id"]} == with_dog_and_cat, "a nice view has no component"
    assert placebo["status"] == "ok" and placebo["label"] in ("dog", "cat") and placebo["inpainter"] == "opencv"
    assert masks.from_rle(placebo["mask"]).sum() == 20 * 20, "as large as the dog or the cat"
    fresh_from(run, "rewrite")
    assert not run.store.exists("text_variants") and not run.store.exists("placebos")
    with pytest.raises(StageError, match="beside it variants"):
        named(["variant"])
    assert named(["variants", "rewrite"])[-1] in BESIDE
