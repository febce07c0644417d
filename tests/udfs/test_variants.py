"""Variants of texts: what a rule makes of written examples, what it refuses, and on scenes whether negatives are false."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.chain import SIDE_STAGES, fresh_from, stages_named
from jobs.engine.stream import Run, StageError
from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.captions import tell
from jobs.scenes.meaning import parse
from jobs.scenes.truth import holds
from jobs.scenes.vocabulary import words_of
from jobs.settings import Settings, load_settings
from tests.support import roots
from udfs import masks
from udfs.captions.lexicon import normalise
from udfs.language import model as language
from udfs.role import Failure, Row
from udfs.variants import replace as variant_replace
from udfs.variants.generator import POSITIVE, VariantGenerator
from udfs.variants.llm import LanguageModelVariants, one_change
from udfs.variants.paraphrase import paraphrases, rewrites
from udfs.variants.phrases import Caption, Known, Variant
from udfs.variants.swap import reorders, swaps

RULES = ("swap", "replace_noun", "replace_adjective", "replace_relation", "paraphrase", "rewrite")


def texts(variants: Iterator[Variant]) -> list[str]:
    return [variant.text for variant in variants if variant.text]


def reasons(variants: Iterator[Variant]) -> set[str]:
    return {variant.reason for variant in variants if variant.text is None}


def vary(captions: Sequence[str], *, labels: Sequence[str] = (), seen: Sequence[str] = (), **settings: Any) -> list[Row]:
    """The variants of one image's captions, by the rules."""
    (result,) = VariantGenerator(with_variants(**settings), "cpu")([image(captions, labels, seen)])
    assert isinstance(result, dict)
    return result["variants"]


def with_variants(**settings: Any) -> Settings:
    tree = load_settings("annotations").model_dump() | {"variants": settings}
    return Settings.model_validate(tree)


def image(captions: Sequence[str], labels: Sequence[str] = (), seen: Sequence[str] = ()) -> Row:
    rows = [{"caption_id": str(i), "subset": 0, "caption": caption} for i, caption in enumerate(captions)]
    return {"record_id": "r", "components": [{"label": label} for label in labels], "seen": list(seen), "used": [], "texts": rows}


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
def test_swap_exchanges_nouns_or_adjectives(caption: str, swapped: str):
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
    candidates = list(swaps(Caption.of(caption)))
    assert texts(iter(candidates)) == []
    assert "same_meaning" in reasons(iter(candidates))


def test_implausible_swaps_are_not_made():
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


def test_nouns_are_replaced_by_absent_classes():
    """Animals for an animal; not the one that is seen, nor one that another caption names."""
    rows = vary(
        ["A dog sleeps on a bed.", "a dog and maybe a bird"], labels=["dog", "bed"], seen=["cat"], kinds=["replace_noun"], each=40
    )
    first = [row["text"] for row in rows if row["caption_id"] == "0"]
    assert "A zebra sleeps on a bed." in first
    assert not any(word in text for text in first for word in ("cat", "bird"))
    assert {"A dog sleeps on a chair.", "An elephant sleeps on a bed."} <= set(first)


def test_replacements_prefer_words_of_the_data_set():
    """No replacement is told by a word that no true caption has."""
    caption = Caption.of("a red dog")
    known = Known(frozenset(["dog"]), frozenset(), frozenset(["horse", "car", "blue"]))
    assert texts(variant_replace.nouns(caption, known, Random(0))) == ["a red horse"]
    assert texts(variant_replace.adjectives(caption, known, Random(0))) == ["a blue dog"]


def test_no_replacement_if_every_class_is_in_the_image():
    everything = Known(frozenset(load_labels()))
    assert reasons(variant_replace.nouns(Caption.of("a dog"), everything, Random(0))) == {"in_image"}


def load_labels() -> Sequence[str]:
    from udfs.captions.lexicon import labels

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
def test_replaced_adjectives_and_relations(
    make: Callable[[Caption, Known, Random], Iterator[Variant]], caption: str, replaced: str
):
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
    negatives = texts(make(Caption.of(caption), Known(), Random(0)))
    assert not any(word in text.split() for text in negatives for word in ("tan", "orange", "standing", "under", "elephant"))


def test_a_colour_of_another_caption_is_left_out():
    """Two balls may be there: "a blue ball" is said of one of them."""
    rows = vary(["a red ball", "a blue ball behind a red one"], kinds=["replace_adjective"], each=40)
    assert not any("blue" in row["text"] for row in rows if row["caption_id"] == "0" and row["text"])


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
    rows = vary(captions, labels=["dog", "cat"])
    assert {(row["caption_id"], row["kind"]) for row in rows} == {(str(i), kind) for i in range(3) for kind in RULES}
    for row in rows:
        assert (row["text"] is None) == (row["status"] != "ok")
    by_kind = {row["kind"]: row["status"] for row in rows if row["caption_id"] == "1"}
    assert by_kind["swap"] == "no_candidate"
    assert {row["status"] for row in rows if row["caption_id"] == "2" and row["kind"] == "swap"} == {"same_meaning"}


def test_masks_and_names_are_the_variants_own():
    (variant,) = vary(["a cat"], labels=["cat"], seen=(), kinds=["replace_noun"], each=1)
    assert variant["mentions"] == 0 and variant["names"] and "cat" not in variant["names"]
    (same,) = vary(["a photo of a dog and a cat"], labels=["cat", "dog"], kinds=["paraphrase"], each=1)
    assert same["mentions"] == 3 and same["names"] == ["cat", "dog"]


def test_a_negative_is_no_other_text_of_the_image():
    rows = vary(["a dog chases a cat", "a cat chases a dog"], kinds=["swap"])
    assert {row["status"] for row in rows} == {"true_text"}


def test_the_same_variants_again():
    """A seed, a record and a text decide; what else is in the batch does not."""
    first, second = (image(["a red dog on a blue bed near a green chair"]) | {"record_id": key} for key in "ab")
    role = VariantGenerator(with_variants(), "cpu")
    assert role([first, second])[0] == role([first])[0]
    assert role([first])[0] != role([second])[0]


def test_on_scenes_negatives_are_false_and_paraphrases_true():
    """Read by the scenes' own parser, as far as it knows the words. Relations apart: on scenes to sit is to stand."""
    world, counts = domains.load("objects"), Counter[tuple[bool, str]]()
    words = words_of(world)
    used = [*world.known, *(word for table in (words.colours, words.materials) for said in table.values() for word in said)]
    role = VariantGenerator(with_variants(kinds=["swap", "replace_noun", "replace_adjective", "paraphrase", "rewrite"]), "cpu")
    for index in range(10):
        scene = layout.sample("objects", "test", 11, index, 96)
        row = image([caption.text for caption in tell(world, scene, "all")], scene.labels[:3], scene.labels) | {"used": used}
        (result,) = role([row])
        assert isinstance(result, dict)
        for variant in result["variants"]:
            if variant["text"] and not (said := parse(variant["text"], world)).unparsed:
                counts[variant["kind"] in POSITIVE, "true" if holds(said, scene, world) else "false"] += 1
    assert counts[True, "true"] > 50 and counts[False, "false"] > 80
    assert counts[True, "false"] == 0
    assert counts[False, "true"] == 0


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ("A woman walks his cat.", "not_one_change"),
        ("A man walks his horse.", ""),
        ("A man walks an old elephant on the moon today.", "not_one_change"),
        ("A man walks without dog.", "denies"),
    ],
)
def test_a_model_may_replace_exactly_one_phrase(changed: str, fault: str):
    assert one_change("A man walks his dog.", changed) == fault


class FakeModel:
    """Replies as prescribed."""

    name, version = "fake", "1"

    def __init__(self, replies: dict[str, str | Failure]) -> None:
        self.replies = replies

    def __call__(self, prompts: Sequence[str]) -> list[str | Failure]:
        return [self.replies[prompt.removeprefix("Caption: ").strip('"')] for prompt in prompts]


def test_llm_replacements_pass_checks_or_get_a_reason(monkeypatch: pytest.MonkeyPatch):
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
    role = VariantGenerator(settings, "cpu")
    assert role.name == "fake+rules"
    (result,) = role([image(list(replies))])
    assert isinstance(result, dict)
    outcomes = {row["caption_id"]: row["text"] or row["status"] for row in result["variants"]}
    assert outcomes == {"0": "a horse on a bed", "1": "same_meaning", "2": "in_image", "3": "not_one_change", "4": "model_error"}


def test_a_model_without_a_kind_is_an_error():
    settings = with_variants(kinds=["swap"], model={"kind": "openai", "model": "m"})
    assert settings.variants.model is not None
    with pytest.raises(ValueError, match="no kind of llm_replace, rewrite is asked for"):
        LanguageModelVariants(settings.variants.model, "cpu", settings.variants.kinds)


def check_inside(run: Run, key: str, variants: list[roots.Row]) -> None:
    """A dog in a car goes with it: texts that name the dog name the car's component, duals and variants too."""
    (family,) = (row for row in roots.rows(run, "families") if row["record_id"] == key)
    named = {component["label"]: component["carries"] for component in family["components"]}
    assert named == {"car": ["dog"], "cat": []} and [caption["names"] for caption in family["captions"]].count(0b11) == 2
    car, cat = (1 << [component["label"] for component in family["components"]].index(label) for label in ("car", "cat"))
    (row,) = (row for row in roots.rows(run, "dual_texts") if row["record_id"] == key)
    texts = {text["subset"]: text for text in row["texts"] if text["caption_id"] == family["captions"][2]["caption_id"]}
    assert (texts[cat]["caption"], texts[cat]["mentions"], texts[cat]["status"]) == ("A dog.", car, "ok")
    assert (texts[car]["caption"], texts[car]["mentions"], texts[car]["status"]) == ("A cat.", cat, "ok")
    of_dogs = {variant["mentions"] for variant in variants if variant["text"] and "dog" in variant["text"]}
    assert of_dogs and all(mask & car for mask in of_dogs)


def test_the_stage(spark: SparkSession, tmp_path: Path):
    """Beside the chain: by name alone, one row a record, a row or a reason for every text and kind; gone with its source."""
    run = roots.open_root(spark, tmp_path / "root", "variants.each=9")
    pets = roots.Picture(
        "pets.png", ["A dog sits to the left of a cat.", "a red dog"], [("dog", (4, 4, 24, 24)), ("cat", (70, 40, 90, 60))]
    )
    bare = roots.Picture("bare.png", ["a nice view"])
    things = [("car", (0, 0, 48, 40)), ("dog", (10, 10, 30, 30)), ("cat", (60, 20, 84, 50))]
    inside = roots.Picture("inside.png", ["A car and a cat.", "A car on a road.", "A dog and a cat."], things)
    roots.take(run, roots.Source(tmp_path / "one").write(pets, bare, inside))
    roots.run_stages(run, "ingest", "extract", "segment", "plan", "rewrite")
    assert not run.store.exists("text_variants")
    roots.run_stages(run, "variants", "placebos")
    variants, duals = roots.by_key(roots.rows(run, "text_variants"), "record_id"), roots.rows(run, "dual_texts")
    assert len(variants) == len(duals) == 3
    for row in duals:
        row_variants = variants[row["record_id"]]
        assert row_variants["status"] == "ok" and row_variants["model"] == "rules"
        wanted = {(text["caption_id"], text["subset"]) for text in row["texts"] if text["status"] == "ok"}
        wanted |= {(text["caption_id"], 0) for text in row_variants["variants"]}
        assert {(text["caption_id"], text["subset"], text["kind"]) for text in row_variants["variants"]} == {
            (*place, kind) for place in wanted for kind in RULES
        }
    texts = {normalise(text["text"]) for row in variants.values() for text in row["variants"] if text["text"]}
    assert "a cat sits to the left of a dog" in texts
    assert "a dog sits to the right of a cat" in texts
    keys = {row["source_key"]: row["record_id"] for row in roots.rows(run, "images")}
    check_inside(run, keys["inside.png"], variants[keys["inside.png"]]["variants"])
    placebos = roots.by_key(roots.rows(run, "placebos"), "record_id")
    assert placebos.keys() == {keys["pets.png"], keys["inside.png"]}, "a nice view has no component"
    placebo = placebos[keys["pets.png"]]
    assert placebo["status"] == "ok" and placebo["label"] in ("dog", "cat") and placebo["inpainter"] == "opencv"
    assert masks.from_rle(placebo["mask"]).sum() == 20 * 20, "as large as the dog or the cat"
    fresh_from(run, "rewrite")
    assert not run.store.exists("text_variants") and not run.store.exists("placebos")
    with pytest.raises(StageError, match="side stages: variants"):
        stages_named(["variant"])
    assert stages_named(["variants", "rewrite"])[-1] in SIDE_STAGES
