"""Grounding DINO asked with the captions: which instance each phrase stands for, and what the plan makes of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.settings import Settings, validate_settings
from tests.support.tiny_models import dino_folder, owl_folder, picture, sam_folder
from udfs import images
from udfs.captions.lexicon import find_mentions
from udfs.masks import to_rle
from udfs.plan.planner import plan_family
from udfs.role import Row
from udfs.segment.detection import Detection
from udfs.segment.grounded import Grounded
from udfs.segment.segmenter import Detector, Segmenter
from udfs.segment.segmenter import instances as instance_rows

WORDS = "a man and woman in red two men women another with dog blue shirt the smiles"
# Where the fake model sees things: the left half of the picture, and its right half.
LEFT, RIGHT = (0.0, 0.0, 48.0, 72.0), (48.0, 0.0, 96.0, 72.0)
BOXES = [[0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]]  # the same, as the model says it


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> str:
    return dino_folder(tmp_path_factory.mktemp("dino"), [WORDS])


def settings(weights: str, sam: str = "", **more: float) -> Settings:
    tree = {"kind": "grounded", "weights": weights, "box_weights": sam, "confidence": 0.01, "max_instances": 5}
    return validate_settings({"segmenter": tree | more})


def captioned(*captions: str) -> Row:
    """The row of a picture with these captions, read by rules."""
    texts = [{"caption_id": str(i), "caption": caption, "status": "ok"} for i, caption in enumerate(captions)]
    read = [
        {"caption_id": text["caption_id"], "monotone": True, "status": "ok", "components": find_mentions(text["caption"])}
        for text in texts
    ]
    return {"image": picture(72, 96), "annotations": None, "texts": texts, "captions": read}


Look = Callable[..., list[Detection]]


@pytest.fixture
def look(dino: str, monkeypatch: pytest.MonkeyPatch) -> Look:
    """What is detected when each word gives these scores (logits) to the left and the right half of the picture."""

    def look(words: dict[str, tuple[float, float]], *captions: str) -> list[Detection]:
        eyes = Grounded(settings(dino, confidence=0.3), "cpu", outlines=False)

        class FakeModel:
            config = eyes._model.config

            def __call__(self, *, input_ids: torch.Tensor, **_: object) -> object:
                logits = torch.full((1, 2, 64), -9.0)
                for place, word in enumerate(eyes._processor.tokenizer.convert_ids_to_tokens(input_ids[0])):
                    logits[0, :, place] = torch.tensor(words.get(word, (-9.0, -9.0)))
                return type("Output", (), {"logits": logits, "pred_boxes": torch.tensor([BOXES])})

        monkeypatch.setattr(eyes, "_model", FakeModel())
        row = captioned(*captions)
        [found] = eyes.find([images.decode(row["image"])], [row])  # type: ignore[list-item]
        return found

    return look


def said(found: list[Detection], *captions: str) -> dict[tuple[float, ...], list[str]]:
    """The phrases of each detection."""
    return {d.box: [captions[int(p["caption_id"])][p["start"] : p["end"]] for p in d.phrases or ()] for d in found}


PEOPLE = {"person": (3.0, 3.0), "man": (2.0, 0.0), "woman": (0.0, 2.0), "men": (2.0, 2.0), "red": (-2.0, 2.0)}


def test_each_phrase_goes_to_what_it_fits_best(look: Look) -> None:
    captions = ("a man and a woman", "two men", "the woman smiles")
    found = look(PEOPLE, *captions)
    assert {d.label for d in found} == {"person"}
    assert said(found, *captions) == {LEFT: ["man", "men"], RIGHT: ["woman", "men", "woman"]}


def test_a_single_thing_is_one_and_two_phrases_of_a_caption_are_two(look: Look) -> None:
    words = PEOPLE | {"man": (2.0, 1.0), "woman": (1.5, 1.0)}
    assert said(look(words, "the man smiles"), "the man smiles") == {LEFT: ["man"], RIGHT: []}
    # Both fit the left one best; the man does so better, which leaves the other for the woman.
    assert said(look(words, "a woman and a man"), "a woman and a man") == {LEFT: ["man"], RIGHT: ["woman"]}


def test_a_second_name_of_a_thing_goes_to_nobody_else(look: Look) -> None:
    caption = "a woman smiles. the man smiles"  # one of them is the other, by another name
    words = PEOPLE | {"woman": (2.0, -1.0), "man": (1.5, -0.5)}
    assert said(look(words, caption), caption) == {LEFT: ["woman"], RIGHT: []}


def test_words_that_are_the_same_are_not_guessed(look: Look) -> None:
    caption = "a man and another man with a dog"
    assert said(look(PEOPLE, caption), caption) == {LEFT: [], RIGHT: []}
    # Nor do others get what they stand for.
    caption, words = "a man and another man with two women", PEOPLE | {"women": (-0.5, 2.0), "man": (2.0, -9.0)}
    assert said(look(words, caption), caption) == {LEFT: [], RIGHT: ["women"]}


def test_a_box_that_reaches_out_of_the_picture_has_its_phrase(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(__name__ + ".BOXES", [[0.13, 0.5, 0.9, 1.0], [0.75, 0.5, 0.5, 1.0]])
    [(box, phrases), _] = said(look(PEOPLE, "a man"), "a man").items()
    assert box == pytest.approx((0.0, 0.0, 55.68, 72.0)) and phrases == ["man"]


def test_what_only_a_phrase_finds_is_an_instance_of_its_class(look: Look) -> None:
    found = look({"woman": (-9.0, 2.0)}, "a woman")
    assert [(d.label, d.box, len(d.phrases or ())) for d in found] == [("person", RIGHT, 1)]


def test_without_captions_the_labels_are_asked(look: Look) -> None:
    assert said(look(PEOPLE)) == {LEFT: [], RIGHT: []}


def test_the_plan_tells_apart_what_phrases_tell_apart(look: Look) -> None:
    def components(*captions: str) -> list[tuple[str, list[str]]]:
        outlined = []
        for detection in look(PEOPLE, *captions):
            mask = np.zeros((72, 96), dtype=bool)
            mask[10:60, slice(4, 30) if detection.box == LEFT else slice(60, 86)] = True
            outlined.append(replace(detection, mask=to_rle(mask)))
        row = captioned(*captions)
        family = plan_family(row["captions"], row["texts"], instance_rows(outlined), validate_settings({}))
        return [(part["name"], part["traits"]) for part in family["components"]]

    assert components("a man and a woman") == [("man", ["age=adult", "sex=male"]), ("woman", ["age=adult", "sex=female"])]
    assert components("a man") == [("person", [])], "nothing is said of the other one"


def test_boxes_masks_and_phrases_of_a_random_model(dino: str, tmp_path: Path) -> None:
    chosen = settings(dino, sam_folder(tmp_path))
    captions = ("a man and a woman", "a dog")
    row: Any = captioned(*captions)
    [answer] = Segmenter(chosen, "cpu")([row])
    assert 0 < len(answer["instances"]) <= 5
    assert all(isinstance(instance["phrases"], list) for instance in answer["instances"])
    assert all((instance["mask"]["height"], instance["mask"]["width"]) == (72, 96) for instance in answer["instances"])
    _, again = Segmenter(chosen, "cpu")([row | {"image": picture(50, 40, seed=1)}, row])
    assert again == answer
    # Dual images are asked for the labels alone.
    [seen] = Detector(settings(dino), "cpu")([row | {"removed": ["dog"], "before": ["person"]}])
    assert seen["residual"] is not None


def test_only_grounding_dino_reads_captions(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a owlv2; segmenter.kind=grounded takes Grounding DINO"):
        Grounded(settings(owl_folder(tmp_path)), "cpu", outlines=False)
