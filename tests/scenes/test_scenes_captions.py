"""Captions of scenes: they are true, their mentions have the right spans, and a scene always gets the same captions."""

from dataclasses import replace

import pytest

from jobs.scenes import layout
from jobs.scenes.captions import CAPTIONS, Caption, Forms, tell
from jobs.scenes.domain import Domain, DomainError, load
from jobs.scenes.dual_texts import right, subsets
from jobs.scenes.scene import Relation, Scene, Thing
from jobs.scenes.vocabulary import plural, words_of
from training.acceptance.grammar_faults import faults
from udfs.captions.lexicon import find_mentions, is_monotone

OBJECTS = load("objects")


def thing(label: str, colour: str = "red", x: float = 0.5, y: float = 0.8, **attributes: object) -> Thing:
    return Thing(label, colour, str(attributes.get("material", "plain")), "medium", x, y, 0.2, False)


def scene(*things: Thing, relations: tuple[Relation, ...] = (), split: str = "train", index: int = 0) -> Scene:
    return Scene("objects", split, 0, index, 64, "grass", (0.5, 0.2), 1.0, things, relations)  # type: ignore[arg-type]


def captioned(count: int, forms: Forms, split: str = "test") -> list[tuple[Scene, Caption]]:
    scenes = [layout.sample("objects", split, 1, index, 64) for index in range(count)]  # type: ignore[arg-type]
    return [(sampled, caption) for sampled in scenes for caption in tell(OBJECTS, sampled, forms)]


ALL = captioned(150, "all")


def test_five_captions_always_the_same() -> None:
    sampled = layout.sample("objects", "train", 0, 5, 64)
    captions = tell(OBJECTS, sampled)
    assert len(captions) == CAPTIONS
    assert captions == tell(OBJECTS, sampled)


def test_the_split_chooses_the_forms() -> None:
    assert {c.forms for _, c in captioned(40, "train")} == {"train"}
    assert {c.forms for _, c in captioned(40, "heldout")} == {"heldout"}
    train = [c for i in range(40) for c in tell(OBJECTS, layout.sample("objects", "train", 0, i, 64))]
    test = [c for i in range(40) for c in tell(OBJECTS, layout.sample("objects", "test", 0, i, 64))]
    assert {c.forms for c in train} == {"train"}
    assert {c.forms for c in test} == {"train", "heldout"}


def test_captions_name_only_what_is_in_the_scene_and_half_name_everything() -> None:
    everything = several = 0
    for sampled, caption in ALL:
        assert set(caption.labels) <= set(sampled.labels)
        known = [label for label in sampled.labels if label in OBJECTS.known]
        if len(known) > 1 and caption.tale.phrases:
            several += 1
            everything += set(known) <= {label for phrase in caption.tale.phrases for label in phrase.labels}
    assert 0.4 < everything / several < 0.8


def test_attributes_counts_and_relations_are_those_of_the_scene() -> None:
    for sampled, caption in ALL:
        for item in caption.meaning.items:
            same_label = [t for t in sampled.things if t.label == item.label]
            fit = [t for t in same_label if all(getattr(item, k) in ("", getattr(t, k)) for k in ("colour", "material", "size"))]
            assert item.count <= len(fit) or not item.label.isalpha(), caption.text
        for subject, name, target in caption.meaning.facts:
            named = [(sampled.things[r.subject].label, r.name, sampled.things[r.object].label) for r in sampled.relations]
            assert name == "next to" or (subject.label, name, target.label) in named, caption.text


def test_what_hangs_flies_or_stands_on_another_thing_is_not_on_the_ground() -> None:
    grounded = 0
    for sampled, caption in ALL:
        raised = {sampled.things[r.subject].label for r in sampled.relations if r.name == "on"}
        raised |= {label for label in sampled.labels if OBJECTS.kinds[label].place != "floor"}
        named = {label for phrase in caption.tale.phrases for label in phrase.labels}
        grounded += bool(named and caption.meaning.ground)
        assert not (caption.meaning.ground and raised & named), caption.text
    assert grounded > 50


def test_mentions_are_where_the_words_are() -> None:
    forms = words_of(OBJECTS).forms
    for _, caption in ALL:
        for mention in caption.mentions:
            mentioned = caption.text[mention.start : mention.end].lower()
            if mention.certain:
                ends = [form for form in forms if mentioned.endswith(" ".join(form))]
                assert any(forms[form][0] == mention.labels[0] for form in ends), (caption.text, mentioned)


def test_every_kind_of_caption_occurs() -> None:
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
            for form in (noun, plural(noun)):
                mentions = {(m["label"], m["certain"]) for m in find_mentions(f"the {form}")}
                assert mentions == {(label, True)}, form
    for phrases in words_of(OBJECTS).grounds.values():
        for phrase in phrases:
            assert find_mentions(f"a cup {phrase}")[1:] == [], phrase
            assert is_monotone(f"a cup {phrase}")


def test_a_scene_without_known_things_is_described_by_its_ground() -> None:
    captions = tell(OBJECTS, scene(thing("scissors")))
    assert all("grass" in c.text.lower() or "lawn" in c.text.lower() for c in captions)
    assert all(c.monotone and not c.mentions for c in captions)


def test_relations_of_two_things_are_described() -> None:
    things = (thing("cup", x=0.2), thing("vase", "blue", x=0.8))
    related = scene(*things, relations=(Relation(0, "left of", 1), Relation(1, "right of", 0)))
    captions = [caption for index in range(8) for caption in tell(OBJECTS, replace(related, index=index))]
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
