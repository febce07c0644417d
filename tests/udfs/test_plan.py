"""Which components make a family: the rule on hand-made rows, captions read by the rules extractor."""

from typing import Any

import numpy as np

from jobs.settings import load_settings
from udfs.extract.rules import read_caption
from udfs.masks import to_rle
from udfs.plan.planner import carried_by, plan_family

Row = dict[str, Any]


def instance(
    label: str, area: float = 0.1, score: float = 0.9, crowd: bool = False, box: tuple[float, ...] = (0, 0, 10, 10)
) -> Row:
    left, top, width, height = box
    return {
        "label": label,
        "score": score,
        "box": {"x": left, "y": top, "width": width, "height": height},
        "mask": None,
        "area_fraction": area,
        "crowd": crowd,
    }


def plan(captions: list[str], instances: list[Row], *overrides: str) -> Row:
    texts = [{"caption_id": str(i), "caption": caption, "status": "ok"} for i, caption in enumerate(captions)]
    return plan_family([read_caption(text) for text in texts], texts, instances, load_settings("annotations", overrides))


def labels(family: Row) -> list[str]:
    return [component["label"] for component in family["components"]]


def test_a_component_is_named_and_detected():
    family = plan(["A brown dog on a couch."], [instance("dog"), instance("car")])
    assert (family["n"], family["reason"]) == (1, None)
    assert family["components"] == [
        {
            "label": "dog",
            "name": "dog",
            "traits": [],
            "phrases": ["brown dog"],
            "instances": [0],
            "attached": [],
            "carries": [],
            "area_fraction": 0.1,
        }
    ]
    assert family["others"] == []
    assert family["captions"] == [{"caption_id": "0", "status": "ok", "monotone": True, "names": 1, "may_name": 0}]


def test_ranking_most_captions_then_largest_then_name():
    captions = ["A dog, a cat, a car and a horse.", "A cat on the road."]
    found = [instance("car", 0.1), instance("dog", 0.2), instance("horse", 0.1), instance("cat", 0.01)]
    assert labels(plan(captions, found)) == ["cat", "dog", "car"]
    assert labels(plan(captions, found, "components.n=2")) == ["cat", "dog"]
    assert labels(plan(captions, found, "components.n=6")) == ["cat", "dog", "car", "horse"]


def test_the_first_of_equally_frequent_reasons_is_that_of_the_first_label():
    found = [instance("dog", 0.9), instance("cat", 0.0001)]
    assert plan(["A dog and a cat."], found)["reason"] == plan(["A cat and a dog."], found)["reason"] == "too_small"


def test_bits_follow_the_components():
    family = plan(["A dog and a cat.", "A cat.", "A street."], [instance("dog", 0.2), instance("cat")])
    assert labels(family) == ["cat", "dog"]
    assert [caption["names"] for caption in family["captions"]] == [0b11, 0b01, 0]


def test_all_instances_go_together_down_to_the_lower_score_crowds_included():
    found = [instance("dog", 0.1), instance("dog", 0.1, 0.2), instance("dog", 0.1, 0.1), instance("dog", 0.05, 0.6, crowd=True)]
    family = plan(["Dogs in a park."], found)
    assert family["components"][0]["instances"] == [0, 1, 3], "0.1 is below plan.remove_score"
    assert round(family["components"][0]["area_fraction"], 6) == 0.25


def test_a_label_enters_at_the_higher_score():
    assert plan(["A dog."], [instance("dog", score=0.49)])["reason"] == "none_found"
    assert plan(["A dog."], [instance("dog", score=0.5)])["n"] == 1
    assert plan(["A dog."], [instance("dog", score=0.49)], "plan.enter_score=0.4")["n"] == 1


def test_more_counted_than_found_is_a_mismatch():
    assert plan(["Three dogs."], [instance("dog")] * 2)["reason"] == "count_mismatch"
    assert plan(["Three dogs."], [instance("dog")] * 3)["n"] == 1
    assert plan(["A dog."], [instance("dog")] * 3)["n"] == 1, "more found than counted is no mismatch: all go"
    assert plan(["Three dogs."], [instance("dog", crowd=True)])["n"] == 1, "a crowd is any number"
    assert plan(["A dog.", "Two dogs."], [instance("dog")])["reason"] == "count_mismatch", "one caption is enough"


def test_components_outside_area_limits_are_dropped():
    assert plan(["A dog."], [instance("dog", 0.001)])["reason"] == "too_small"
    assert plan(["A dog."], [instance("dog", 0.6)])["reason"] == "too_large"
    assert plan(["Dogs."], [instance("dog", 0.3), instance("dog", 0.3)])["reason"] == "too_large", "areas add up"
    family = plan(["A dog, a cat and a car."], [instance("dog", 0.45), instance("cat", 0.4), instance("car", 0.2)])
    assert labels(family) == ["dog", "car"], "the cat would pass plan.max_total_area; a smaller one still fits"
    assert plan(["A dog."], [instance("dog", 0.4)], "plan.max_total_area=0.3")["reason"] == "too_large"


def test_a_family_without_a_component_says_why():
    assert plan(["A street at night."], [instance("dog")])["reason"] == "none_named"
    assert plan(["A dog."], [])["reason"] == "none_found"
    empty = plan([], [instance("dog")])
    assert (empty["n"], empty["reason"], empty["components"], empty["captions"]) == (0, "none_named", [], [])
    # The reason of most labels is told.
    assert plan(["A dog, a cat and a car."], [instance("car", 0.9)])["reason"] == "none_found"


def test_perhaps_named_makes_no_component_but_is_known():
    assert plan(["Some animals."], [instance("dog")])["reason"] == "none_named"
    family = plan(["A dog.", "Animals on grass.", "They wait.", "A car."], [instance("dog")])
    assert labels(family) == ["dog"]
    assert [(caption["names"], caption["may_name"]) for caption in family["captions"]] == [(1, 0), (0, 1), (0, 1), (0, 0)]


def test_a_caption_that_is_not_monotone_keeps_its_masks_and_says_so():
    (naming,) = plan(["Both dogs sleep."], [instance("dog"), instance("dog")])["captions"]
    assert naming == {"caption_id": "0", "status": "not_monotone", "monotone": False, "names": 1, "may_name": 0}


def test_what_a_person_carries_goes_with_the_person():
    person, tie = instance("person", 0.3, box=(0, 0, 50, 100)), instance("tie", 0.02, box=(20, 20, 5, 30))
    family = plan(["A man in a tie."], [person, tie])
    assert labels(family) == ["person"], "a worn tie is no component of its own"
    (component,) = family["components"]
    assert (component["instances"], component["attached"], component["carries"]) == ([0], [1], ["tie"])
    assert family["captions"][0]["names"] == 1


def test_a_text_that_names_only_what_is_carried_names_the_carrier():
    person, tie = instance("person", 0.3, box=(0, 0, 50, 100)), instance("tie", 0.02, box=(20, 20, 5, 30))
    family = plan(["A man.", "A red tie."], [person, tie])
    assert [caption["names"] for caption in family["captions"]] == [1, 1]


def test_a_second_tie_that_nobody_wears_stays_and_is_then_not_carried_away():
    person, worn = instance("person", 0.3, box=(0, 0, 50, 100)), instance("tie", 0.02, box=(20, 20, 5, 30))
    loose = instance("tie", 0.02, box=(200, 0, 5, 30))
    family = plan(["A man."], [person, worn, loose])
    assert family["components"][0]["attached"] == [1]
    assert family["components"][0]["carries"] == []


def test_carried_by_needs_a_person_around_it():
    person, bag = instance("person", box=(0, 0, 50, 100)), instance("handbag", box=(45, 50, 20, 20))
    assert carried_by([person, bag]) == {}, "a quarter of the bag's box is inside"
    assert carried_by([instance("person", box=(0, 0, 70, 100)), bag]) == {1: 0}
    assert carried_by([instance("person", crowd=True, box=(0, 0, 70, 100)), bag]) == {}, "a crowd is nobody"
    assert carried_by([instance("dog", box=(0, 0, 70, 100)), bag]) == {}


def outlined(label: str, left: int, top: int, right: int, bottom: int, score: float = 0.9) -> Row:
    """An instance that fills a rectangle of a picture of 100 x 100 pixels."""
    mask = np.zeros((100, 100), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    row = instance(label, mask.mean(), score, box=(left, top, right - left, bottom - top))
    return row | {"mask": to_rle(mask)}


def test_what_lies_in_a_component_goes_with_it():
    bowl, carrot = outlined("bowl", 0, 0, 40, 40), outlined("carrot", 10, 10, 20, 20)
    family = plan(["A bowl.", "A bowl with a carrot.", "A carrot."], [bowl, outlined("dog", 60, 60, 90, 90), carrot])
    (component,) = family["components"]
    assert (component["label"], component["attached"], component["carries"]) == ("bowl", [2], ["carrot"])
    assert [caption["names"] for caption in family["captions"]] == [1, 1, 1], "a text with a carrot is false without the bowl"


def test_a_label_is_no_component_where_a_better_one_would_go_with_it():
    bowl, carrot = outlined("bowl", 0, 0, 40, 40), outlined("carrot", 10, 10, 20, 20)
    family = plan(["A carrot in a bowl.", "A carrot."], [bowl, carrot])
    assert [(c["label"], c["attached"]) for c in family["components"]] == [("carrot", [])]


def test_half_of_its_pixels_must_go():
    for right, attached in ((19, []), (20, [1])):
        bed, cup = outlined("bed", 0, 0, right, 100), outlined("cup", 10, 0, 28, 10)
        family = plan(["A bed.", "A cup on a bed."], [bed, cup], "components.n=1")
        assert [(c["label"], c["attached"]) for c in family["components"]] == [("bed", attached)], right


def test_another_thing_of_the_label_stays():
    found = [outlined("bowl", 0, 0, 40, 40), outlined("carrot", 10, 10, 20, 20), outlined("carrot", 60, 60, 70, 70)]
    family = plan(["A bowl.", "A bowl and a carrot."], found)
    assert [(c["label"], c["attached"], c["carries"]) for c in family["components"]] == [("bowl", [1], [])]
    assert [caption["names"] for caption in family["captions"]] == [1, 1]


def test_what_is_doubtful_goes_with_nothing():
    bowl, carrot = outlined("bowl", 0, 0, 40, 40), outlined("carrot", 10, 10, 20, 20, score=0.3)
    family = plan(["A bowl.", "A bowl with a carrot."], [bowl, carrot])
    assert [(c["label"], c["attached"], c["carries"]) for c in family["components"]] == [("bowl", [], [])]


def test_what_no_caption_names_is_left_to_the_pixels():
    family = plan(["A bowl."], [outlined("bowl", 0, 0, 40, 40), outlined("carrot", 10, 10, 20, 20)])
    assert family["components"][0]["attached"] == []


def test_a_mask_that_cannot_be_read_goes_with_nothing():
    broken = outlined("carrot", 10, 10, 20, 20) | {"mask": {"height": 100, "width": 100, "counts": "\x7f"}}
    family = plan(["A bowl with a carrot."], [outlined("bowl", 0, 0, 40, 40), broken])
    assert labels(family) == ["bowl", "carrot"], "the inpainter will say what is wrong with it"
