"""Open vocabulary on tiny random models in their own formats, with the lexicon's labels as queries."""

from pathlib import Path

import pytest
import torch

from jobs.settings import Settings, validate_settings
from tests.support.tiny_models import dino_folder, owl_folder, picture, sam_folder
from udfs import images
from udfs.captions import lexicon
from udfs.segment.open_vocabulary import OpenVocabulary
from udfs.segment.segmenter import Detector, Segmenter


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> str:
    return dino_folder(tmp_path_factory.mktemp("dino"))


@pytest.fixture(scope="module")
def owl(tmp_path_factory: pytest.TempPathFactory) -> str:
    return owl_folder(tmp_path_factory.mktemp("owl"))


def settings(weights: str, sam: str = "", **more: float) -> Settings:
    tree = {"kind": "open_vocabulary", "weights": weights, "box_weights": sam, "confidence": 0.01, "max_instances": 5}
    return validate_settings({"segmenter": tree | more})


@pytest.mark.parametrize("kind", ["dino", "owl"])
def test_boxes_have_our_labels_and_masks_the_pictures_size(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    chosen = settings(request.getfixturevalue(kind), sam_folder(tmp_path))
    row = {"image": picture(72, 96), "annotations": None, "removed": [], "before": []}
    [answer] = Segmenter(chosen, "cpu")([row])
    assert 0 < len(answer["instances"]) <= 5
    for instance in answer["instances"]:
        assert instance["label"] in lexicon.labels()
        assert (instance["mask"]["height"], instance["mask"]["width"]) == (72, 96)
        box = instance["box"]
        assert box["x"] >= 0 and box["x"] + box["width"] <= 96.001 and box["y"] + box["height"] <= 72.001
    # Alone or with others, with masks or without: the same boxes.
    other = row | {"image": picture(50, 40, seed=1)}
    _, seen = Detector(settings(chosen.segmenter.weights), "cpu")([other, row])
    boxes = [(d["label"], d["score"], tuple(d["box"].values())) for d in seen["detections"]]
    assert {(i["label"], i["score"], tuple(i["box"].values())) for i in answer["instances"]} <= set(boxes)


def test_prompts_fit_the_text_encoder_and_name_every_label_at_its_tokens(dino: str) -> None:
    eyes = OpenVocabulary(settings(dino), "cpu", outlines=False)
    tokenizer, named = eyes._processor.tokenizer, []
    texts = [(label, [(0, len(label))]) for label in lexicon.labels()]
    for prompt in eyes._prompts(texts):
        tokens = tokenizer(prompt.text)["input_ids"]
        assert len(tokens) <= 64
        assert prompt.first == len(named)
        named += [tokenizer.decode(tokens[span]) for (span,) in prompt.tokens]
    assert named == list(lexicon.labels())
    assert len(list(eyes._prompts(texts))) > 1


def test_a_text_that_does_not_fit_alone_is_in_no_prompt(dino: str) -> None:
    eyes = OpenVocabulary(settings(dino), "cpu", outlines=False)
    texts = [("cat", [(0, 3)]), ("dog " * 70, [(0, 3)]), ("hot dog", [(0, 3), (4, 7)])]
    first, last = eyes._prompts(texts)
    assert (first.text, first.first, last.text, last.first) == ("cat.", 0, "hot dog.", 2)
    assert last.tokens == [[slice(1, 2), slice(2, 3)]]


def test_a_label_of_two_words_needs_both(dino: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """ "dog" in the picture must not be a "hot dog"."""
    eyes = OpenVocabulary(settings(dino, confidence=0.3), "cpu", outlines=False)
    eyes._labels = ["hot dog", "dog"]
    [prompt] = eyes._prompts([(label, [(0, len(label))]) for label in eyes._labels])
    assert prompt.text == "hot dog. dog."

    class FakeModel:
        config = eyes._model.config

        def __call__(self, **_: object) -> object:
            logits = torch.full((1, 1, 64), -9.0)
            logits[0, 0, [2, 4]] = 2.0  # both tokens "dog", not the token "hot"
            return type("Output", (), {"logits": logits, "pred_boxes": torch.tensor([[[0.5, 0.5, 0.5, 0.5]]])})

    monkeypatch.setattr(eyes, "_model", FakeModel())
    [[found]] = eyes.find([images.decode(picture(72, 96))], [{}])
    assert found.label == "dog"
    assert found.box == (24.0, 18.0, 72.0, 54.0)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        OpenVocabulary(settings(sam_folder(tmp_path)), "cpu", outlines=False)
