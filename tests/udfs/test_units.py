"""Components by phrase: how a class is divided, what the parts are called, and the texts of a family that has some."""

import re
from typing import Any

import numpy as np

from jobs.settings import load_settings
from tests.support.marked import unmarked
from udfs.captions.lexicon import find_mentions
from udfs.captions.referents import Referents
from udfs.extract.llm import read_caption
from udfs.masks import to_rle
from udfs.plan.planner import plan_family, to_rewrite
from udfs.rewrite.rewriter import Rewriter

Row = dict[str, Any]
SETTINGS = load_settings("annotations")


def plan(captions: list[str], things: dict[str, Row], *overrides: str) -> tuple[Row, list[Row], list[Row]]:
    """The family of captions whose phrases stand in brackets after the letters of the things that they refer to.

    ``things``: by letter the instance. Returns the family, the captions, and what was read in them.
    """
    texts, phrases = [], {letter: [] for letter in things}
    for number, marked in enumerate(captions):
        caption, places = unmarked(marked)
        for letters, start, end in places:
            for letter in letters:
                phrases[letter].append({"caption_id": str(number), "start": start, "end": end})
        texts.append({"caption_id": str(number), "caption": caption, "status": "ok"})
    read = [read_caption(text) for text in texts]
    instances = [thing | {"phrases": phrases[letter]} for letter, thing in things.items()]
    return plan_family(read, texts, instances, load_settings("annotations", overrides)), texts, read  # type: ignore[arg-type,return-value]


def thing(label: str, left: int, width: int = 8, crowd: bool = False) -> Row:
    mask = np.zeros((40, 100), dtype=np.bool_)
    mask[10:20, left : left + width] = True
    box = {"x": float(left), "y": 10.0, "width": float(width), "height": 10.0}
    return {"label": label, "score": 1.0, "box": box, "mask": to_rle(mask), "area_fraction": mask.mean(), "crowd": crowd}


PAIR = {"m": thing("person", 0, 12), "w": thing("person", 40), "d": thing("dog", 80)}


def names(family: Row) -> list[tuple[str, list[int]]]:
    return [(part["name"], part["instances"]) for part in family["components"]]


def masks(family: Row) -> list[tuple[int, int]]:
    return [(naming["names"], naming["may_name"]) for naming in family["captions"]]


def test_phrases_divide_a_class() -> None:
    captions = ["[m A man] and [w a woman] .", "[m A man] walks [d a dog] .", "[mw Two people] .", "[w Someone] waits ."]
    family, _, _ = plan(captions, PAIR)
    assert names(family) == [("man", [0]), ("woman", [1]), ("dog", [2])]
    assert masks(family) == [(0b011, 0), (0b101, 0), (0b011, 0), (0, 0b011)]
    assert [part["label"] for part in family["components"]] == ["person", "person", "dog"]
    phrases = [part["phrases"] for part in family["components"]]
    assert phrases == [["Someone", "man", "people"], ["Someone", "people", "woman"], ["dog"]]
    assert family["others"] == []


def test_what_nothing_tells_apart_stays_together() -> None:
    for captions in (
        ["[m A man] and [w a man] ."],
        ["[m A man] and [w a biker] ."],
        ["[m A man] in red and [w a man] ."],
        ["[m A man] and a woman ."],  # of whom no phrase says which she is
        ["[mw A man and a woman] ."],
    ):
        family, _, _ = plan(captions, PAIR)
        assert names(family) == [("person", [0, 1])], captions
        assert family["components"][0]["traits"] == []


def test_without_phrases_a_class_is_whole() -> None:
    family, _, _ = plan(["A man and a woman ."], PAIR)
    assert names(family) == [("person", [0, 1])]


def test_a_crowd_is_not_divided() -> None:
    family, _, _ = plan(["[m Some men] and [w a woman] ."], PAIR | {"m": thing("person", 0, crowd=True)})
    assert names(family) == [("person", [0, 1])]


def test_what_lies_in_another_is_not_told_apart() -> None:
    family, _, _ = plan(["[m A man] with [w a baby] ."], PAIR | {"w": thing("person", 2, 6)})
    assert names(family) == [("person", [0, 1])]


def test_clothes_and_colours_tell_apart() -> None:
    family, _, _ = plan(["[m A man] in a red shirt and [w a man] in a blue shirt with [d a dog] ."], PAIR)
    assert names(family) == [("man in red", [0]), ("dog", [2]), ("man in blue", [1])]
    dogs = {"m": thing("dog", 0, 12), "w": thing("dog", 40)}
    family, _, _ = plan(["[m A black dog] and [w a brown dog] .", "[mw Two dogs] ."], dogs)
    assert names(family) == [("black dog", [0]), ("brown dog", [1])]


def test_co_reference_over_the_captions() -> None:
    """ "A girl" in one caption is "a child in pink" in another: what is said of her is said of one instance."""
    family, _, _ = plan(["[w A girl] and [m a man] .", "[w A child] in pink ."], PAIR)
    assert names(family) == [("girl", [1]), ("man", [0])]
    assert family["components"][0]["traits"] == ["age=child", "sex=female", "worn=purple", "worn=red"]


def test_a_part_that_is_no_component_stays_in_every_image() -> None:
    family, _, _ = plan(["[m A man] and [w a woman] with [d a dog] .", "[m A man] ."], PAIR, "components.n=1")
    assert names(family) == [("man", [0])]
    assert family["others"] == [{"label": "person", "traits": ["age=adult", "sex=female"], "things": 1, "goes_with": -1}]
    assert masks(family) == [(0b1, 0), (0b1, 0)]


def test_more_than_were_found_is_a_mismatch() -> None:
    family, _, _ = plan(["[m A man] and [w a woman] .", "[m Two men] and [w a woman] ."], PAIR)
    assert (family["n"], family["reason"]) == (0, "count_mismatch")


def written(captions: list[str], things: dict[str, Row]) -> dict[tuple[str, int], Row]:
    family, texts, read = plan(captions, things)
    asked = to_rewrite(family, read, texts)  # type: ignore[arg-type]
    (answer,) = Rewriter(SETTINGS, "cpu", [])([asked])
    assert isinstance(answer, dict)
    referents = Referents(asked["components"], asked["others"])
    for text in answer["texts"]:
        assert text["status"] != "ok" or referents.masks(text["caption"]) == (text["mentions"], text["may_mention"])
    return {(text["caption_id"], text["subset"]): text for text in answer["texts"]}


def test_texts_without_one_of_a_class() -> None:
    texts = written(["[m A man] in a hat and [w a woman] in a hat with [d a dog] .", "[mw Two people] wait ."], PAIR)
    assert texts["0", 0b001]["caption"] == "A woman in a hat with a dog."
    assert texts["0", 0b001]["mentions"] == 0b110
    assert texts["0", 0b010]["mentions"] == 0b101 and texts["0", 0b010]["caption"].startswith("A man in a hat")
    assert texts["0", 0b011]["caption"] == "A dog." and texts["0", 0b011]["status"] == "ok"
    assert (texts["1", 0b001]["status"], texts["1", 0b001]["caption"]) == ("not_rewritable", None), "one of two people"
    assert texts["1", 0b011]["status"] == "nothing_left"


def test_a_text_that_names_the_removed_one_fails() -> None:
    from udfs.rewrite.checks import Apart, check

    referents = Referents([{"label": "person", "traits": ["sex=male"]}, {"label": "person", "traits": ["sex=female"]}])
    original = "A man in a hat and a woman on a bench."

    def failed(text: str) -> list[str]:
        return check(original, text, [], [], Apart(referents, 0b01, 0b10, frozenset({"person"}), find_mentions(original)[:1]))

    assert failed("A woman on a bench.") == []
    assert failed("A man on a bench.") == ["names_removed", "lost_kept", "leftover_attachment"]
    assert "lost_kept" in failed("A bench.")
    assert "leftover_attachment" in failed("A woman in a hat on a bench.")


def test_what_takes_two() -> None:
    texts = written(["[m A man] and [w a woman] walking towards each other ."], PAIR)
    assert (texts["0", 0b01]["status"], texts["0", 0b01]["checks"]) == ("check_failed", ["lost_partner"])
    three = PAIR | {"n": thing("person", 20)}
    texts = written(["[mn Two men] and [w a woman] posing together ."], three)
    woman = next(subset for (_, subset), text in texts.items() if text["caption"] == "Two men posing together.")
    assert texts["0", woman]["status"] == "ok"


def test_the_order_of_the_instances_changes_nothing() -> None:
    """A child may be the boy or the girl, and then nobody is told apart: not the first two that fit."""
    captions = ["[w A girl] with [d a dog] .", "[n A child] with [d a dog] .", "[m A boy] with [d a dog] ."]
    four = PAIR | {"n": thing("person", 20)}
    for order in ("wnmd", "mnwd", "nmwd"):
        family, _, _ = plan(captions, {letter: four[letter] for letter in order})
        assert [part["name"] for part in family["components"]] == ["person", "dog"]


def test_of_an_other_unit_some_may_go_with_a_component() -> None:
    captions = ["[mn Two men] and [w a woman] with [d a dog] .", "[d A dog] .", "[d A dog] and [w a woman] ."]
    inside = {"m": thing("person", 0), "n": thing("person", 82, 3), "w": thing("person", 40), "d": thing("dog", 80)}
    family, _, _ = plan(captions, inside, "components.n=2")
    assert names(family) == [("dog", [3]), ("woman", [2])] and family["components"][0]["attached"] == [1]
    men = {"label": "person", "traits": ["age=adult", "sex=male"], "things": 1}
    assert family["others"] == [men | {"goes_with": -1}, men | {"goes_with": 0}]
    assert masks(family)[0] == (0b11, 0), "of two men one is left without the dog"


def test_what_was_said_of_one_is_not_said_of_the_other() -> None:
    from udfs.rewrite.checks import Apart, check

    referents = Referents([{"label": "person", "traits": ["sex=male"]}, {"label": "person", "traits": ["sex=female"]}])
    for original, wrong in (
        ("An old man and a young woman with a dog .", "An old woman with a dog."),
        ("A man in a red hat and a woman in a coat .", "A woman in a red coat."),
    ):
        apart = Apart(referents, 0b01, 0b10, frozenset({"person"}), find_mentions(original)[:1])
        assert "leftover_attachment" in check(original, wrong, [], ["dog"] if "dog" in original else [], apart)


def test_one_is_not_between() -> None:
    for caption in ("[m A man] and [w a woman] kiss .", "[d A dog] runs between [m a boy] and [w a girl] ."):
        texts = written([caption], PAIR)
        one = [text for text in texts.values() if text["mentions"].bit_count() and text["status"] == "ok"]
        assert not [text for text in one if re.search("kiss|between", text["caption"]) and "and" not in text["caption"]]


def test_a_phrase_without_its_place_says_nothing() -> None:
    lost = {"m": thing("person", 0) | {"phrases": [{"caption_id": "0", "start": None, "end": 5}]}, "w": thing("person", 40)}
    texts = [{"caption_id": "0", "caption": "A man and a woman.", "status": "ok"}]
    family = plan_family([read_caption(texts[0])], texts, list(lost.values()), SETTINGS)  # type: ignore[arg-type,list-item]
    assert [part["name"] for part in family["components"]] == ["person"]
