"""What tells things of one class apart, and which components a text's mentions refer to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.captions.lexicon import find_mentions
from udfs.captions.referents import OtherRow, Referents
from udfs.captions.traits import from_strings, to_strings, told_apart, traits_of, united

MAN, WOMAN = ["age=adult", "sex=male"], ["age=adult", "sex=female"]


def traits(caption: str, at: int = 0) -> dict[str, list[str]]:
    """Of the mention number ``at``."""
    return {trait: sorted(values) for trait, values in traits_of(caption, find_mentions(caption)[at]).items()}


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A man waits.", {"sex": ["male"], "age": ["adult"]}),
        ("Two young girls wait.", {"sex": ["female"], "age": ["child"]}),
        ("A person waits.", {}),
        ("A man in a red and white shirt waits.", {"sex": ["male"], "age": ["adult"], "worn shirt": ["brown", "red", "white"]}),
        ("A man in red.", {"sex": ["male"], "age": ["adult"], "worn": ["brown", "red"]}),
        ("A man dressed in a long green coat waits.", {"sex": ["male"], "age": ["adult"], "worn coat": ["green"]}),
        ("A man in a red car.", {"sex": ["male"], "age": ["adult"]}),
        ("A man in white water.", {"sex": ["male"], "age": ["adult"]}),
        ("A boy in yellow and a girl in green.", {"sex": ["male"], "age": ["child"], "worn": ["yellow"]}),
        ("A man in the snow.", {"sex": ["male"], "age": ["adult"]}),
        ("A small brown dog.", {"size": ["small"], "colour": ["brown"]}),
        ("A dog in a red shirt.", {}),
    ],
)
def test_traits(caption: str, expected: dict[str, list[str]]) -> None:
    assert traits(caption) == expected


def test_told_apart() -> None:
    def apart(first: str, second: str) -> bool:
        one, other = (traits_of(caption, find_mentions(caption)[0]) for caption in (first, second))
        assert told_apart(one, other) == told_apart(other, one)
        return told_apart(one, other)

    assert apart("a man", "a woman") and apart("a man", "a boy") and apart("a black dog", "a brown dog")
    assert apart("a man in red", "a man in blue on a bench") and apart("a man in a red shirt", "a man in blue shirts")
    assert not apart("a man in a black hat", "a man in a white shirt") and not apart("a red-haired girl", "a blue-shirted girl")
    assert not apart("a man", "a biker") and not apart("a man in red", "a man") and not apart("a dog", "a brown dog")
    assert not apart("a tan dog", "a brown dog") and not apart("a black and white dog", "a white dog")


@given(st.dictionaries(st.sampled_from(["sex", "worn"]), st.frozensets(st.sampled_from(["a", "b"]), min_size=1)))
def test_traits_survive_the_tables(given: dict[str, frozenset[str]]) -> None:
    assert from_strings(to_strings(given)) == given
    assert united([given, given]) == given


NOUNS = {  # the sex and age that a noun says, and its plural
    "man": ("male", "adult", "men"),
    "woman": ("female", "adult", "women"),
    "boy": ("male", "child", "boys"),
    "girl": ("female", "child", "girls"),
    "child": (None, "child", "children"),
    "person": (None, None, "people"),
}
KINDS = [(sex, age) for sex in ("male", "female") for age in ("adult", "child")]


@given(
    things=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    is_component=st.lists(st.booleans(), min_size=4, max_size=4),
    noun=st.sampled_from(sorted(NOUNS)),
    stated=st.integers(1, 4),
)
def test_a_text_is_false_without_what_it_surely_names_and_true_with_all_that_it_may_name(
    things: list[int], is_component: list[bool], noun: str, stated: int
) -> None:
    """The truth relation over a world of people: kinds of them, how many there are of each, and which can be removed."""
    world = [(kind, count, own) for kind, count, own in zip(KINDS, things, is_component, strict=True) if count]
    parts = [world_part for world_part in world if world_part[2]]
    others: Any = [
        {"label": "person", "traits": [f"age={age}", f"sex={sex}"], "things": count, "goes_with": -1}
        for (sex, age), count, own in world
        if not own
    ]
    family = Referents([row("person", [f"age={age}", f"sex={sex}"], count) for (sex, age), count, _ in parts], others)
    sex, age, plural = NOUNS[noun]
    text = f"A {noun} waits." if stated == 1 else f"{('Two', 'Three', 'Four')[stated - 2]} {plural} wait."

    def is_true(removed: int) -> bool:
        gone = [kind for bit, (kind, _, _) in enumerate(parts) if removed >> bit & 1]
        fits = [count for (s, a), count, _ in world if (s, a) not in gone and sex in (None, s) and age in (None, a)]
        return sum(fits) >= stated

    sure, perhaps = family.masks(text)
    if is_true(0) and len(world) > 1:
        for removed in range(1 << len(parts)):
            if sure & removed:
                assert not is_true(removed)
            if not (sure | perhaps) & removed:
                assert is_true(removed)


def row(label: str, traits: list[str], things: int = 1, **more: Any) -> Any:
    return {"label": label, "traits": traits, "things": things} | more


COUPLE = Referents([row("person", MAN), row("person", WOMAN), row("dog", [])])


@pytest.mark.parametrize(
    ("text", "sure", "perhaps"),
    [
        ("A man.", 0b001, 0),
        ("A woman with a dog.", 0b110, 0),
        ("A man and a woman.", 0b011, 0),
        ("A person.", 0, 0b011),  # either
        ("Two people.", 0b011, 0),  # false without either
        ("Three people.", 0b011, 0),
        ("She waits.", 0, 0b010),
        ("A child.", 0, 0),  # neither
        ("A bird.", 0, 0),
    ],
)
def test_a_mention_refers_to_what_its_words_do_not_rule_out(text: str, sure: int, perhaps: int) -> None:
    assert COUPLE.masks(text) == (sure, perhaps)


def test_counts_are_of_things() -> None:
    crowd = Referents([row("person", MAN, 3), row("person", WOMAN, 1)])
    assert crowd.masks("Two people.") == (0b01, 0b10), "three men are left without the woman, and one without them"
    assert crowd.masks("Four people.") == (0b11, 0)


def test_what_no_image_lacks_makes_a_mention_true_for_good() -> None:
    others: list[OtherRow] = [{"label": "person", "traits": WOMAN, "things": 1, "goes_with": -1}]
    family = Referents([row("person", MAN)], others)
    assert family.masks("A person.") == (0, 0b1)
    assert family.masks("A man.") == (0b1, 0)
    assert family.masks("A woman.") == (0, 0)
    (mention,) = find_mentions("A person.")
    assert not family.of("A person.", mention).lost(0b1), "the woman is left"
    gone: list[OtherRow] = [{"label": "person", "traits": WOMAN, "things": 1, "goes_with": 0}]
    assert Referents([row("bed", [])], [*gone, others[0] | {"traits": MAN}]).masks("A woman.") == (0b1, 0), "she lies in it"  # type: ignore[list-item]


def test_lost_and_wronged() -> None:
    def reference(text: str, at: int = 0) -> Any:
        return COUPLE.of(text, find_mentions(text)[at])

    two = reference("Two people.")
    assert not two.lost(0b001) and two.wronged(0b001) and two.lost(0b011) and not two.wronged(0b011)
    somebody = reference("A person.")
    assert not somebody.lost(0b001) and not somebody.wronged(0b001) and somebody.lost(0b011)
    anything = reference("A gizmo.") if find_mentions("A gizmo.") else reference("It.")
    assert anything.perhaps == 0b111 and not anything.lost(0b111), "it may be what is no component"


def test_whole_classes_are_told_by_their_label_alone() -> None:
    family = Referents.of_labels(["person", "dog"], [["tie"], []])
    assert family.masks("A woman.") == family.masks("Five men.") == family.masks("A tie.") == (0b01, 0)
