"""The head of a phrase: whose box it is."""

import pytest

from udfs.captions.heads import Head, head_of
from udfs.captions.vocabulary import using


@pytest.mark.parametrize(
    ("phrase", "head"),
    [
        ("A little girl", Head("girl", "person")),
        ("two large brown dogs", Head("dogs", "dog", 2)),
        ("a black and white dog", Head("dog", "dog")),
        ("A small , brown dog", Head("dog", "dog")),
        ("a group of young people", Head("people", "person", 2)),
        ("a man and a woman", Head("man", "person", 2)),
        ("a man and his dog", Head("man", None)),  # a box of both is neither
        ("a dog 's tail", Head("tail", None)),
        ("a man wearing a hat", Head("man", "person")),
        ("two of the men", Head("men", "person", 2)),
        ("the boys ' shirt", Head("shirt", None)),
        ("a bus window", Head("window", None)),
        ("the edge of a pool", Head("edge", None)),
        ("a glass of wine", Head("glass of wine", "wine glass")),
        ("a boat in the water", Head("boat", "boat")),
        ("a wooden playhouse", Head("playhouse", None)),
        ("a bike", Head("bike", None)),  # a bicycle or a motorcycle
        ("an orange shirt", Head("shirt", None)),
        ("someone else 's surfboard", Head("surfboard", "surfboard")),
        ("", Head("", None)),
        ("\ud800 of \0", Head("", None)),
    ],
)
def test_a_phrase_is_for_its_head(phrase: str, head: Head) -> None:
    assert head_of(phrase) == head


def test_the_lexicon_is_the_selected_one() -> None:
    with using("garments"):
        assert head_of("an orange shirt") == Head("shirt", "shirt")
    assert head_of("an orange shirt") == Head("shirt", None)
