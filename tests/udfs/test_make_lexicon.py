"""A lexicon that is made for other classes, and the nouns that a lexicon lacks."""

from pathlib import Path

import pytest
import yaml

from udfs.captions.lexicon import attached_words, find_mentions, labels
from udfs.captions.make_lexicon import Lacking, lacking, make
from udfs.captions.vocabulary import LexiconError, using

CLASSES = ["trombone", "Steel_drum", "coffee table", "side table", "drill", "dog", "duck", "People"]


def named(caption: str) -> set[tuple[str, bool]]:
    return {(mention["label"], mention["certain"]) for mention in find_mentions(caption)}


def test_a_made_lexicon_reads_captions(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(make(CLASSES))
    with using(str(tmp_path / "mine.yaml")):
        assert list(labels()) == CLASSES, "as the detector spells them"
        assert named("A boy plays two trombones.") == {("People", True), ("trombone", True)}
        assert named("A drum on a coffee table.") == {("Steel_drum", False), ("coffee table", True)}
        assert named("A table.") == {("coffee table", False), ("side table", False)}
        assert named("Steel drums.") == {("Steel_drum", True)}
        assert named("A puppy sees a bus.") >= {("dog", True)}
        assert "tail" in attached_words("dog") and "shirt" in attached_words("People")
        assert named("An animal in a bedroom.") == {("dog", False)}, "and the bedroom names nothing"


def test_doubtful_words_and_plurals_stand_beside_the_class() -> None:
    text = make(CLASSES)
    assert '  "drill": # drills; AMBIGUOUS: also a verb' in text
    assert '  "trombone": # trombones' in text
    assert '  "dog": # dogs\n' in text


def test_the_name_of_a_class_names_no_other() -> None:
    tree = yaml.safe_load(make(["bird", "duck"]))
    assert tree["labels"]["duck"] == {"certain": "duck"}
    assert "duck" not in tree["labels"]["bird"]["certain"].split(", ")
    assert "duckling" in tree["labels"]["bird"]["certain"].split(", ")


CAPTIONS = [
    "A man in a wet suit rides a wave on a surfboard.",
    "A cow and two sheep next to a dog house by a bus stop.",
    "Skiing people, a bat and a ball; the batter swings.",
    "An animal near some fruit and furniture, a mouse and a keyboard.",
    "A teddy bear, a hot dog and a glass of wine on a table.",
    "A woman with a handbag and a tie in a bedroom.",
]


def test_with_cocos_classes_it_is_cocos_lexicon(tmp_path: Path) -> None:
    (tmp_path / "coco.yaml").write_text(make(labels()))
    wanted = [named(caption) for caption in CAPTIONS]
    with using(str(tmp_path / "coco.yaml")):
        assert [named(caption) for caption in CAPTIONS] == wanted


@pytest.mark.parametrize(
    ("classes", "message"),
    [([], "there is no class"), (["dog", "Dog"], "two classes are called 'dog'"), (["!"], "no name of a class")],
)
def test_classes_that_make_no_lexicon_are_an_error(classes: list[str], message: str) -> None:
    with pytest.raises(LexiconError, match=message):
        make(classes)


def test_nouns_without_a_class_are_counted_by_captions() -> None:
    captions = ["A guitar and guitars.", "A dog with a guitar and a flugelhorn.", "It is a dog."]
    assert lacking(captions) == [
        Lacking("guitar", 2, True, "A guitar and guitars."),
        Lacking("flugelhorn", 1, False, "A dog with a guitar and a flugelhorn."),
    ]
