"""What a rewritten caption must not do, one failing and one passing text a check."""

import pytest

from udfs.rewrite_checks import check, masks

ORIGINAL = "A man in a red shirt and two dogs are sitting on a couch."


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        (" . ", "empty"),
        (ORIGINAL, "repeat"),
        ("A man and two dogs are sitting on a couch.", "names_removed"),
        ("A couch.", "lost_kept"),
        ("Two dogs and a cat on a couch.", "names_new"),
        ("Two dogs in a red shirt are sitting on a couch.", "leftover_attachment"),
        ("Two dogs without others on a couch.", "forbidden_word"),
        ("And two dogs are sitting on a couch.", "bad_list"),
        ("Two dogs and and a couch.", "bad_list"),
        ("Two dogs are sitting on a couch with.", "bad_list"),
        ("Two dogs are sitting on an couch.", "bad_article"),
        ("Two dogs is sitting on a couch.", "bad_agreement"),
        ("Two dogs are sitting on a couch " + "and sitting there " * 5, "too_long"),
    ],
)
def test_each_fault_has_its_code(text, code):
    assert code in check(ORIGINAL, text, removed=["person"], kept=["dog", "couch"])


@pytest.mark.parametrize("text", ["Two dogs are sitting on a couch.", "Two dogs on a couch.", "A couch with two dogs"])
def test_a_right_text_passes(text):
    assert check(ORIGINAL, text, removed=["person"], kept=["dog", "couch"]) == []


def test_a_fault_of_the_original_is_no_fault_of_the_text():
    assert check("a man and an bus", "an bus", removed=["person"], kept=["bus"]) == []


def test_a_clothing_word_of_something_else_may_stay():
    assert check("A man with a dog in a hat", "A dog in a hat", removed=["person"], kept=["dog"]) == []


def test_masks_tell_sure_from_perhaps():
    labels = ["dog", "cat", "bus"]
    assert masks("A dog near a bus.", labels) == (0b101, 0)
    sure, perhaps = masks("Two animals on a couch.", labels)
    assert sure == 0 and perhaps == 0b011
    assert masks("", labels) == (0, 0)
