"""The parser reads the grammar's captions and other texts; right dual texts mean the scene without the removed things."""

import pytest

from jobs.scenes import layout
from jobs.scenes.captions import tell
from jobs.scenes.domain import load
from jobs.scenes.dual_texts import right, right_meaning, subsets
from jobs.scenes.meaning import MANY, Item, meaning, parse
from training.acceptance.grammar_faults import faults

OBJECTS = load("objects")
CUP, VASE, BALL = Item("cup"), Item("vase"), Item("sports ball")


@pytest.mark.parametrize("split", ["train", "test"])
def test_captions_and_right_dual_texts_are_read_back(split: str) -> None:
    texts = 0
    for index in range(200):
        scene = layout.sample("objects", split, 2, index, 64)  # type: ignore[arg-type]
        for caption in tell(OBJECTS, scene, "all"):
            assert parse(caption.text, OBJECTS) == caption.meaning, caption.text
            for removed in subsets(caption):
                text = right(caption, removed)
                if text is not None:
                    assert parse(text, OBJECTS) == right_meaning(caption, removed), (caption.text, removed, text)
                    texts += 1
    assert texts > 1000


def test_a_right_dual_text_names_nothing_that_was_removed() -> None:
    for index in range(100):
        for caption in tell(OBJECTS, layout.sample("objects", "test", 3, index, 64), "all"):
            for removed in subsets(caption):
                text = right(caption, removed)
                named = {item.label for item in parse(text or "", OBJECTS).items}
                assert not named & set(removed), (caption.text, removed, text)
                assert (text is None) == (not caption.monotone or (len(removed) == len(caption.labels) and not _rest(caption)))


def _rest(caption) -> bool:  # type: ignore[no-untyped-def]
    groups = [p for p in caption.tale.phrases if p.name.startswith("@") and not set(p.labels) <= set(caption.labels)]
    return bool(caption.tale.place or groups)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A cup and a vase.", meaning([CUP, VASE])),
        ("the vase and the mug", meaning([CUP, VASE])),
        ("a cup to the left of a vase", meaning([CUP, VASE], [(CUP, "left of", VASE)])),
        ("A vase is right of a cup.", meaning([CUP, VASE], [(CUP, "left of", VASE)])),
        ("a cup and a vase next to it", meaning([CUP, VASE], [(VASE, "next to", CUP)])),
        ("a vase near a cup", meaning([CUP, VASE], [(VASE, "next to", CUP)])),
        ("There is a cup. It is behind a vase.", meaning([CUP, VASE], [(CUP, "behind", VASE)])),
        ("In front of a cup is a vase", meaning([CUP, VASE], [(CUP, "behind", VASE)])),
        ("a cup next to a vase and a ball", meaning([CUP, VASE, BALL], [(CUP, "next to", VASE), (CUP, "next to", BALL)])),
        (
            "On the lawn there are two small red striped cups",
            meaning([Item("cup", 2, "red", "striped", "small")], ground="grass"),
        ),
        ("some cups on the grass", meaning([Item("cup", MANY)], ground="grass")),
        ("a photo of the grass", meaning([], ground="grass")),
        ("a cup that is red and a vase", meaning([Item("cup", 1, "red"), VASE])),
        (
            "two cups which are red behind a vase",
            meaning([Item("cup", 2, "red"), VASE], [(Item("cup", 2, "red"), "behind", VASE)]),
        ),
        ("only a cup", meaning([CUP], exclusive=True)),
        ("a cup and no ball", meaning([CUP, Item("sports ball", 0)])),
        ("some fruit and a pair of scissors", meaning([Item("@fruit", MANY), Item("scissors")])),
    ],
)
def test_meanings_of_texts(text: str, wanted: object) -> None:
    assert parse(text, OBJECTS) == wanted


@pytest.mark.parametrize(
    ("text", "unparsed"),
    [
        ("a cup next to", ("next to",)),
        ("a cup and", ("and",)),
        ("a cup next to it", ("it", "next to")),
        ("a cup with on the grass", ("with",)),
        ("a photo, a cup", ("a", "photo")),
        ("a dragon and a cup", ("a", "dragon")),
        ("a cups", ("a cups",)),
        ("a cup, , a vase", (",",)),
        ("two cups next to it", ("it", "next to")),
        ("two cups that is red", ("red",)),
    ],
)
def test_what_is_not_understood_is_reported(text: str, unparsed: tuple[str, ...]) -> None:
    assert parse(text, OBJECTS).unparsed == unparsed


@pytest.mark.parametrize("text", ["", "   ", "،؛", "a " * 500, "\x00 \ud800 a cup", "and and , . of of"])
def test_no_text_raises(text: str) -> None:
    parse(text, OBJECTS)
    faults(text, OBJECTS)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a apple", "article: a apple"),
        ("an cup", "article: an cup"),
        ("a cup and a a vase", "doubled: a"),
        ("a cup next to", "loose end: to"),
        ("and a cup", "loose start: and"),
        ("There are a cup", "agreement: are"),
        ("There is two cups", "agreement: is"),
        ("a cup are on the grass", "agreement: are"),
        ("a cup and a vase is on the grass", "agreement: is"),
        ("On the grass are a cup", "agreement: are"),
        ("Two cups that is next to a vase", "agreement: is"),
        ("...", "no words"),
    ],
)
def test_faults_of_grammar(text: str, fault: str) -> None:
    assert fault in faults(text, OBJECTS)


@pytest.mark.parametrize(
    "text",
    [
        "There is a cup and two vases",
        "A cup with two vases is on the grass",
        "On the grass are a cup and a vase",
        "There are cups. They are near an umbrella",
        "a cup to the left of two vases is on the rug",
        "some fruit is on the rug",
        "a ball is next to a cup",
    ],
)
def test_good_grammar_has_none(text: str) -> None:
    assert faults(text, OBJECTS) == []
