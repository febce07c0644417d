"""What the texts of a batch are to its images: inside a family, across families, of equal strings, of what was made false."""

import itertools

import torch

from jobs.truth import relation, relation_tensor
from tests.batch_examples import Image, Text, facts
from training.batch import TextKind
from training.pairs import Pair, pairs

APPLE, BANANA = 0b01, 0b10
FRUIT = APPLE | BANANA


def names(found: torch.Tensor) -> list[list[str]]:
    return [[Pair(int(one)).name for one in row] for row in found]


def test_one_relation_for_ints_and_tensors():
    """All sixteen to the fourth settings of four bits."""
    masks = torch.tensor(list(itertools.product(range(16), repeat=4)))
    found = relation_tensor(*masks.T)
    assert found.dtype == torch.int8
    assert found.tolist() == [int(relation(*case)) for case in masks.tolist()]


def test_a_family():
    """An apple and a banana, and the picture without the apple."""
    both, one = "an apple and a banana", "a banana"
    batch = facts(
        [Image(1, 0, "apple banana"), Image(1, APPLE, "banana")],
        [Text(1, FRUIT, FRUIT, both), Text(1, FRUIT, BANANA, one), Text(1, 0, 0, "some fruit", may_mention=FRUIT, owner=0)],
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


def test_what_was_removed_is_not_present():
    """The dual image of a dog's family has no dog to make another family's dog true of it."""
    batch = facts([Image(1, 1, ""), Image(2, 0, "dog")], [Text(1, 1, 0, "grass"), Text(2, 1, 1, "a dog")])
    assert names(pairs(batch))[0] == ["POSITIVE", "NEGATIVE"]


def test_equal_strings_are_one_text():
    """Two families with the caption "a banana": neither's is a negative of the other, although one image's banana was missed."""
    batch = facts(
        [Image(1, 0, ""), Image(2, 0, "banana"), Image(2, BANANA, "")],
        [Text(1, 1, 1, "a banana"), Text(2, BANANA, BANANA, "a banana"), Text(2, BANANA, 0, "a table")],
    )
    found = names(pairs(batch))
    assert found[0][:2] == ["POSITIVE", "POSITIVE"]
    assert found[1][:2] == ["POSITIVE", "POSITIVE"]
    assert found[2][:2] == ["CONTRADICTORY", "CONTRADICTORY"], "whoever wrote it, it names what is gone here"


def swapped(string: str, owner: int = 0, mentions: int = FRUIT) -> Text:
    return Text(1, FRUIT, mentions, string, kind=TextKind.NEGATIVE, variant=0, owner=owner)


def test_a_made_negative():
    """False of its image and of its placebo; unknown to the others, unless it names what is gone there."""
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
    made = [row[4:] for row in names(pairs(batch))]
    assert made == [
        ["CONTRADICTORY", "UNKNOWN"],
        ["CONTRADICTORY", "UNKNOWN"],
        ["CONTRADICTORY", "CONTRADICTORY"],
        ["CHANCE", "CHANCE"],
    ]


def test_a_made_negative_that_is_a_true_text_is_true():
    """A replacement may hit on what another caption of the image says, or on one of its dual texts."""
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


def test_a_paraphrase_is_what_its_source_is():
    paraphrase = Text(1, FRUIT, FRUIT, "a banana with an apple", kind=TextKind.POSITIVE, variant=0, owner=0)
    batch = facts(
        [Image(1, 0, "apple banana"), Image(1, APPLE, "banana")],
        [Text(1, FRUIT, FRUIT, "an apple and a banana"), Text(1, FRUIT, BANANA, "a banana"), paraphrase],
    )
    assert [row[2] for row in names(pairs(batch))] == ["POSITIVE", "CONTRADICTORY"]
