import json
import time
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.originals import COCO_MINI
from udfs.captions.lexicon import attached_words, carried_labels, count_named, find_mentions, is_monotone, labels, normalise

ANIMALS = {"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"}


def sure(caption):
    return [m["label"] for m in find_mentions(caption) if m["certain"]]


def perhaps(caption):
    return {m["label"] for m in find_mentions(caption) if not m["certain"]}


def test_labels_are_cocos_eighty_in_order():
    assert len(set(labels())) == 80
    assert labels()[0] == "person"
    assert labels()[-1] == "toothbrush"
    assert {"hot dog", "dining table", "tv", "hair drier"} <= set(labels())


def test_a_mention_is_a_slice_of_its_caption():
    caption = "Two large brown dogs and a group of young people on a black and white sofa."
    mentions = [(m["phrase"], m["head"], m["label"], m["rank"]) for m in find_mentions(caption)]
    assert mentions == [
        ("large brown dogs", "dogs", "dog", 0),
        ("group of young people", "people", "person", 1),
        ("black and white sofa", "sofa", "couch", 2),
    ]
    assert all(m["phrase"] == caption[m["start"] : m["end"]] for m in find_mentions(caption))


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("A man eats a hot dog.", ["person", "hot dog"]),  # the longest term wins
        ("A teddy bear by a fire hydrant and a stop sign", ["teddy bear", "fire hydrant", "stop sign"]),
        ("A baseball glove, a tennis racquet and wine glasses", ["baseball glove", "tennis racket", "wine glass"]),
        ("Skiers, firemen and a policewoman", ["person", "person", "person"]),
        ("three geese, two oxen, mice and knives", ["bird", "cow", "knife"]),
        ("a pug on a loveseat watching telly", ["dog", "couch", "tv"]),
        ("a double-decker bus and a hot-dog stand", ["bus"]),
        ("an orange and white cat beside an orange", ["cat", "orange"]),  # a colour, then a fruit
        ("a boy in an orange shirt drinks orange juice", ["person"]),
        ("a bus stop, a train station, a dog house and a car park", []),
        ("a bear hug, banana bread, an apple pie and a chair lift", []),
        ("a remote area with a phone booth and book shelves", []),
        ("a baby elephant with its mother", ["elephant"]),  # the baby is no person
        ("a female tennis player", ["person"]),
        ("a man swings his bat at a baseball", ["person", "baseball bat"]),  # no animal: baseball is in the caption
        ("a mouse next to a laptop", ["mouse", "laptop"]),
        ("a train's wheels and a man's hand", ["train", "person"]),  # parts
        ("a room with no dog or cat and a bed", ["bed"]),
        ("a man without a hat or a dog", ["person"]),
        # After "a" and a person, a word in "s" is a verb.
        ("A child kicks a ball", ["person", "sports ball"]),
        ("One blonde-haired child squeezes paint", ["person"]),
        ("A child slides while another child watches", ["person", "person"]),
        ("A boy pets a kitten", ["person", "cat"]),
        ("A woman holding a baby points at a clock", ["person", "person", "clock"]),
        ("A family of 7 poses", ["person"]),
        ("Two couples pose near crowds", ["person", "person"]),
        ("A young male surfing and a child upside down", ["person", "person"]),
        ("A car with child seats and a baby bottles", ["car"]),
        ("A dirt biker, a scuba diver and a goalie", ["person", "person", "person"]),
        ("A child alone on a bench, a baby asleep", ["person", "bench", "person"]),
        ("A child dress, a baby pants, a baby glass and a man in a female dress", ["person"]),
        ("A baby changing table, a family dining table and baby bedding", ["dining table"]),
        ("Rafters, a hunter green couch and crowds of birds", ["couch", "bird"]),
    ],
)
def test_what_a_caption_surely_names(caption, named):
    assert sure(caption) == named


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("some animals", ANIMALS),
        ("fruit in a basket", {"banana", "apple", "orange", "bowl"}),
        ("a bike", {"bicycle", "motorcycle"}),
        ("a glass on a table", {"cup", "wine glass", "vase", "dining table"}),
        ("a monitor", {"tv", "laptop"}),
        ("a man surfing", {"surfboard"}),  # true of no image without the board
        ("a man skis down a hill", {"skis"}),  # a verb
        ("a hand on a keyboard", {"person"}),
        ("a statue of a horse", {"horse"}),
        ("a zebra enclosure", {"zebra"}),
        ("a man's hat", {"person"}),  # he need not be there
        ("They sit.", {"*"}),
        ("a dog and a cat, and they sleep", {"dog", "cat"}),  # what came before
        ("a man with his horse", {"person"}),
        ("a street and a blue sky over some buildings", set()),  # scenery
        ("a quokka", {"*"}),  # in no list: it may be anything
        ("many items", {"*"}),
        ("The small child climbs a wall", {"person"}),  # or child climbs, like baby clothes
        ("Two teams play", {"person"}),
        ("The spelunker finds water", {"*"}),
        ("Two girls in silk dresses", set()),
    ],
)
def test_what_a_caption_perhaps_names(caption, named):
    assert perhaps(caption) == named


def test_a_word_may_name_one_class_and_imply_another():
    readings = {m["label"]: m["certain"] for m in find_mentions("a surfer")}
    assert readings == {"person": True, "surfboard": False}


def test_the_subject_ranks_before_what_the_caption_opens_with():
    ranks = {m["label"]: m["rank"] for m in find_mentions("In a bowl a banana and a carrot")}
    assert ranks == {"banana": 0, "bowl": 1, "carrot": 2}


@pytest.mark.parametrize(
    ("caption", "least"),
    [
        ("a dog", 1),
        ("dogs", 2),
        ("two large dogs", 2),
        ("a couple of dogs", 2),
        ("several dogs", 3),
        ("a dozen dogs", 12),
        ("2 dogs", 2),
        ("a group of four people", 4),
        ("five sheep", 5),
        ("a sheep", 1),
        ("two dozen donuts", 24),
        ("a pair of scissors", 1),
        ("a two-story bus", 1),
        ("a three tiered cake", 1),
        ("a man and two dogs", 1),
    ],
)
def test_count_named_is_the_least_number_stated(caption, least):
    assert count_named(caption, find_mentions(caption)[0]) == least


@pytest.mark.parametrize(
    "caption",
    [
        "Two people and a dog",
        "A cat and two dogs in front of a house",
        "Two zebras facing each other",
        "Boats all over the harbour",
        "Several animals in a field",
        "A no parking sign behind a car",
        "Trees on both sides of a bus",
        "",
    ],
)
def test_stays_true_when_things_go(caption):
    assert is_monotone(caption)


@pytest.mark.parametrize(
    "caption",
    [
        "Both the dog and the cat sleep",
        "Only a dog",
        "A man alone on a bench",
        "No dog in the room",
        "A room without people",
        "All animals are asleep",
        "Nothing but a chair",
        "An empty bench",
        "Three animals in a field",
        "Two of them are dogs",
        "A dog and a cat sleep together",
        "A man and a dog look at each other",
        "A dog that isn't asleep",
    ],
)
def test_does_not_stay_true_when_things_go(caption):
    assert not is_monotone(caption)


def test_what_goes_with_a_removed_thing():
    assert {"shirt", "hats", "hand"} <= attached_words("person")
    assert {"tail", "leash", "collar"} <= attached_words("dog")
    assert {"wheel", "windows"} <= attached_words("bus")
    assert not attached_words("no such class")
    assert carried_labels() <= set(labels())
    assert "tie" in carried_labels()


def test_normalise():
    assert normalise("  A Dog,\tand a  CAT. ") == normalise("a dog and a cat") == "a dog and a cat"
    assert normalise("🐶") != normalise("🐱")


PIECES = ["a", "dog's", "two", "hot", "dogs", "it", "their", "no", "of", "and", "group", "orange", "''", ",", "-", "عربي", "🐶"]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(), st.just(chr(0xD800)))))
def test_any_text_gives_mentions_that_are_its_own_slices(parts):
    caption = " ".join(parts)
    for mention in find_mentions(caption):
        assert caption[mention["start"] : mention["end"]] == mention["phrase"]
        assert mention["phrase"].endswith(mention["head"])
        assert mention["label"] == "*" or mention["label"] in labels()
        assert count_named(caption, mention) >= 1
    assert is_monotone(caption) in (True, False)


@pytest.mark.parametrize("unit", ["a dog ", "it ", "of a group ", "very ", "- ' ", "two big ", "\x00\u200f🐶", "hot "])
def test_hostile_lengths_take_linear_time(unit):
    find_mentions("warm up")
    start = time.process_time()
    find_mentions((unit * 10_000)[:10_000])
    assert time.process_time() - start < 2.0


@pytest.mark.shared("data/coco-mini")
def test_finds_the_annotated_objects_of_photographs():
    """A floor that a worse lexicon falls through; most that is annotated and not found is in no caption."""
    folder = COCO_MINI / "annotations"
    named, annotated, captions = defaultdict(set), defaultdict(set), []
    for split in ("train", "val"):
        table = json.loads((folder / f"instances_{split}2017.json").read_text())
        names = {c["id"]: c["name"] for c in table["categories"]}
        for a in table["annotations"]:
            annotated[a["image_id"]].add(names[a["category_id"]])
        for a in json.loads((folder / f"captions_{split}2017.json").read_text())["annotations"]:
            named[a["image_id"]] |= set(sure(a["caption"]))
            captions.append(a["caption"])
    both = sum(len(named[image] & annotated[image]) for image in named)
    assert both / sum(map(len, named.values())) > 0.9  # precision; measured 0.93
    assert both > 170  # measured 181 of 408
    assert sum(bool(named[image] & annotated[image]) for image in named) >= 90  # images, measured 95 of 101
    assert sum("*" in perhaps(caption) for caption in captions) < 0.05 * len(captions)  # measured 12 of 505


def test_a_compound_whose_plural_may_be_a_verb_perhaps_names_its_first_word() -> None:
    assert find_mentions("a lamp at the bus stop") == []
    assert [(m["label"], m["certain"]) for m in find_mentions("A blue bus stops beside a lamp")] == [("bus", False)]
