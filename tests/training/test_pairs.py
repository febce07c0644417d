"""How the texts of a batch relate to its images: inside a family, across families, equal strings, generated negatives."""

import itertools

import torch

from tests.support.batch_examples import Image, Text, facts
from training.data.batch import TextKind
from training.methods.pairs import Pair, pairs
from udfs.truth import relation, relation_tensor

APPLE, BANANA = 0b01, 0b10
FRUIT = APPLE | BANANA


def names(relations: torch.Tensor) -> list[list[str]]:
    return [[Pair(int(code)).name for code in row] for row in relations]


def test_one_relation_for_ints_and_tensors():
    """All 16 ** 4 combinations of four masks of four bits."""
    masks = torch.tensor(list(itertools.product(range(16), repeat=4)))
    relations = relation_tensor(*masks.T)
    assert relations.dtype == torch.int8
    assert relations.tolist() == [int(relation(*case)) for case in masks.tolist()]


def test_a_family():
    """An apple and a banana, and the picture without the apple."""
    full, banana = "an apple and a banana", "a banana"
    batch = facts(
        [Image(1, 0, "apple banana"), Image(1, APPLE, "banana")],
        [Text(1, FRUIT, FRUIT, full), Text(1, FRUIT, BANANA, banana), Text(1, 0, 0, "some fruit", may_mention=FRUIT, owner=0)],
    )
    assert names(pairs(batch)) == [["POSITIVE", "ENTAILED", "POSITIVE"], ["CONTRADICTORY", "POSITIVE", "UNKNOWN"]]


def test_across_families_labels_decide():
    """A dog is seen in the other image, a cat is not; a text that names nothing may be true anywhere."""
    batch = facts(
        [Image(1, 0, "dog cat"), Image(2, 0, "dog"), Image(3, 0, "")],
        [Text(1, 1, 1, "a dog and a cat"), Text(2, 1, 1, "a dog"), Text(3, 0, 0, "a nice view")],
    )
    assert names(pairs(batch)) == [
        ["POSITIVE", "CHANCE", "CHANCE"],
        ["NEGATIVE", "POSITIVE", "CHANCE"],
        ["NEGATIVE", "NEGATIVE", "POSITIVE"],
    ]


def test_removed_labels_are_not_present():
    """The dual image has no dog any more, so another family's text about a dog is a negative for it."""
    batch = facts([Image(1, 1, ""), Image(2, 0, "dog")], [Text(1, 1, 0, "grass"), Text(2, 1, 1, "a dog")])
    assert names(pairs(batch))[0] == ["POSITIVE", "NEGATIVE"]


def test_equal_strings_are_one_text():
    """Two families have the caption "a banana": neither is a negative of the other, although one image's banana was missed."""
    batch = facts(
        [Image(1, 0, ""), Image(2, 0, "banana"), Image(2, BANANA, "")],
        [Text(1, 1, 1, "a banana"), Text(2, BANANA, BANANA, "a banana"), Text(2, BANANA, 0, "a table")],
    )
    relations = names(pairs(batch))
    assert relations[0][:2] == ["POSITIVE", "POSITIVE"]
    assert relations[1][:2] == ["POSITIVE", "POSITIVE"]
    assert relations[2][:2] == ["CONTRADICTORY", "CONTRADICTORY"], "whichever family it comes from, it names what is gone here"


def swapped(string: str, owner: int = 0, mentions: int = FRUIT) -> Text:
    return Text(1, FRUIT, mentions, string, kind=TextKind.NEGATIVE, variant=0, owner=owner)


def test_a_generated_negative():
    """False of its image and of that image's placebo; unknown for the others, unless it names what is gone there."""
    batch = facts(
        [Image(1, 0, "apple banana"), Image(1, 0, "apple banana"), Image(1, APPLE, "banana"), Image(2, 0, "apple banana")],
        [
            Text(1, FRUIT, FRUIT, "an apple on a banana"),
            Text(1, FRUIT, FRUIT, "an apple on a banana"),
            Text(1, FRUIT, BANANA, "a banana"),
            Text(2, FRUIT, FRUIT, "an apple beside a banana"),
            swapped("a banana on an apple"),
            swapped("a green banana", owner=2, mentions=BANANA),
        ],
    )
    relations = [row[4:] for row in names(pairs(batch))]
    assert relations == [
        ["CONTRADICTORY", "UNKNOWN"],
        ["CONTRADICTORY", "UNKNOWN"],
        ["CONTRADICTORY", "CONTRADICTORY"],
        ["CHANCE", "CHANCE"],
    ]


def test_a_generated_negative_that_equals_a_true_text_is_true():
    """A replacement may happen to equal another caption of the image, or one of its dual texts."""
    batch = facts(
        [Image(1, 0, "apple banana")],
        [
            Text(1, FRUIT, FRUIT, "an apple and a banana"),
            Text(1, FRUIT, FRUIT, "a banana and an apple", owner=0),
            Text(1, FRUIT, BANANA, "a banana", owner=0),
            swapped("a banana and an apple"),
            swapped("a banana", mentions=BANANA),
        ],
    )
    assert names(pairs(batch))[0][3:] == ["POSITIVE", "ENTAILED"]


def test_a_paraphrase_relates_as_its_source_does():
    paraphrase = Text(1, FRUIT, FRUIT, "a banana with an apple", kind=TextKind.POSITIVE, variant=0, owner=0)
    batch = facts(
        [Image(1, 0, "apple banana"), Image(1, APPLE, "banana")],
        [Text(1, FRUIT, FRUIT, "an apple and a banana"), Text(1, FRUIT, BANANA, "a banana"), paraphrase],
    )
    assert [row[2] for row in names(pairs(batch))] == ["POSITIVE", "CONTRADICTORY"]
