"""Captions of scenes: what is said is true, where it stands is known, and the same scene is always told alike."""

from dataclasses import replace

import pytest

from scenes import layout
from scenes.captions import CAPTIONS, Caption, Forms, tell
from scenes.domain import Domain, DomainError, load
from scenes.dual_texts import right, subsets
from scenes.faults import faults
from scenes.scene import Relation, Scene, Thing
from scenes.words import plural, words_of
from udfs.lexicon import find_mentions, is_monotone

OBJECTS = load("objects")


def thing(label: str, colour: str = "red", x: float = 0.5, y: float = 0.8, **more: object) -> Thing:
    return Thing(label, colour, str(more.get("material", "plain")), "medium", x, y, 0.2, False)


def scene(*things: Thing, relations: tuple[Relation, ...] = (), split: str = "train", index: int = 0) -> Scene:
    return Scene("objects", split, 0, index, 64, "grass", (0.5, 0.2), 1.0, things, relations)  # type: ignore[arg-type]


def told(count: int, forms: Forms, split: str = "test") -> list[tuple[Scene, Caption]]:
    scenes = [layout.sample("objects", split, 1, index, 64) for index in range(count)]  # type: ignore[arg-type]
    return [(one, caption) for one in scenes for caption in tell(OBJECTS, one, forms)]


ALL = told(150, "all")


def test_five_captions_always_the_same() -> None:
    one = layout.sample("objects", "train", 0, 5, 64)
    captions = tell(OBJECTS, one)
    assert len(captions) == CAPTIONS
    assert captions == tell(OBJECTS, one)


def test_the_split_chooses_the_forms() -> None:
    assert {c.forms for _, c in told(40, "train")} == {"train"}
    assert {c.forms for _, c in told(40, "heldout")} == {"heldout"}
    train = [c for i in range(40) for c in tell(OBJECTS, layout.sample("objects", "train", 0, i, 64))]
    test = [c for i in range(40) for c in tell(OBJECTS, layout.sample("objects", "test", 0, i, 64))]
    assert {c.forms for c in train} == {"train"}
    assert {c.forms for c in test} == {"train", "heldout"}


def test_what_is_named_is_there_and_about_half_names_everything() -> None:
    everything = several = 0
    for one, caption in ALL:
        assert set(caption.labels) <= set(one.labels)
        known = [label for label in one.labels if label in OBJECTS.known]
        if len(known) > 1 and caption.tale.phrases:
            several += 1
            everything += set(known) <= {label for phrase in caption.tale.phrases for label in phrase.labels}
    assert 0.4 < everything / several < 0.8


def test_attributes_counts_and_relations_are_those_of_the_scene() -> None:
    for one, caption in ALL:
        for item in caption.meaning.items:
            there = [t for t in one.things if t.label == item.label]
            fit = [t for t in there if all(getattr(item, k) in ("", getattr(t, k)) for k in ("colour", "material", "size"))]
            assert item.count <= len(fit) or not item.label.isalpha(), caption.text
        for subject, name, other in caption.meaning.facts:
            named = [(one.things[r.subject].label, r.name, one.things[r.object].label) for r in one.relations]
            assert name == "next to" or (subject.label, name, other.label) in named, caption.text


def test_what_hangs_flies_or_stands_on_another_thing_is_not_on_the_ground() -> None:
    grounded = 0
    for one, caption in ALL:
        raised = {one.things[r.subject].label for r in one.relations if r.name == "on"}
        raised |= {label for label in one.labels if OBJECTS.kinds[label].place != "floor"}
        named = {label for phrase in caption.tale.phrases for label in phrase.labels}
        grounded += bool(named and caption.meaning.ground)
        assert not (caption.meaning.ground and raised & named), caption.text
    assert grounded > 50


def test_mentions_are_where_the_words_are() -> None:
    forms = words_of(OBJECTS).forms
    for _, caption in ALL:
        for mention in caption.mentions:
            said = caption.text[mention.start : mention.end].lower()
            if mention.certain:
                ends = [form for form in forms if said.endswith(" ".join(form))]
                assert any(forms[form][0] == mention.labels[0] for form in ends), (caption.text, said)


def test_every_kind_of_caption_is_told() -> None:
    frames = {caption.tale.frame.name for _, caption in ALL}
    joins = {caption.tale.join.name for _, caption in ALL if caption.tale.second}
    assert frames >= {"plain", "there", "photo", "sitting", "fronted", "inverted", "seen", "only"}
    assert joins >= {"and", "with", "relation", "pronoun", "says", "oxford", "that", "two_sentences", "turned"}
    names = {phrase.name for _, caption in ALL for phrase in caption.tale.phrases}
    assert names & {"@fruit", "@food", "@object", "@vehicle", "@animal"}
    denied = [caption for _, caption in ALL if not caption.monotone]
    assert 0.01 < len(denied) / len(ALL) < 0.15


def test_good_grammar_in_captions_and_right_dual_texts() -> None:
    for _, caption in ALL:
        assert not faults(caption.text, OBJECTS), caption.text
        for removed in subsets(caption):
            text = right(caption, removed)
            assert text is None or not faults(text, OBJECTS), (caption.text, removed, text)


def test_the_lexicon_knows_every_noun_and_no_ground() -> None:
    for label, nouns in words_of(OBJECTS).nouns.items():
        for noun in nouns:
            for said in (noun, plural(noun)):
                found = {(m["label"], m["certain"]) for m in find_mentions(f"the {said}")}
                assert found == {(label, True)}, said
    for phrases in words_of(OBJECTS).grounds.values():
        for phrase in phrases:
            assert find_mentions(f"a cup {phrase}")[1:] == [], phrase
            assert is_monotone(f"a cup {phrase}")


def test_a_bare_scene_is_told_by_its_ground() -> None:
    captions = tell(OBJECTS, scene(thing("scissors")))
    assert all("grass" in c.text.lower() or "lawn" in c.text.lower() for c in captions)
    assert all(c.monotone and not c.mentions for c in captions)


def test_two_things_that_stand_in_a_relation_are_told_so() -> None:
    things = (thing("cup", x=0.2), thing("vase", "blue", x=0.8))
    one = scene(*things, relations=(Relation(0, "left of", 1), Relation(1, "right of", 0)))
    captions = [caption for index in range(8) for caption in tell(OBJECTS, replace(one, index=index))]
    facts = [fact for caption in captions for fact in caption.meaning.facts]
    assert facts
    assert all((a.label, name, b.label) == ("cup", "left of", "vase") for a, name, b in facts)


def test_unknown_words_are_refused() -> None:
    tree = OBJECTS.model_dump() | {"words": {"said": {"colours": {"mauve": "mauve"}}}}
    with pytest.raises(DomainError, match="no 'mauve'"):
        words_of(Domain.model_validate(tree))
    tree |= {"words": {"said": {"colour": {}}}}
    with pytest.raises(DomainError, match="unknown key 'colour'"):
        words_of(Domain.model_validate(tree))
