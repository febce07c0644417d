"""Open vocabulary on tiny random models in their own formats, with the lexicon's labels as queries."""

import json
from pathlib import Path

import pytest
import torch

from jobs.settings import Settings, validate_settings
from tests.support.tiny_models import bert_tokenizer, picture, sam_folder
from udfs import images
from udfs.captions import lexicon
from udfs.segment.open_vocabulary import OpenVocabulary
from udfs.segment.segmenter import Detector, Segmenter


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import (
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dino")
    tokenizer = bert_tokenizer(folder, lexicon.labels())
    swin = {"image_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4}
    text = {"model_type": "bert", "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "intermediate_size": 32}
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 12, "encoder_ffn_dim": 32}
    sizes |= {"decoder_ffn_dim": 32, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_text_len": 64}
    config = GroundingDinoConfig(backbone_config=SwinConfig(**swin, out_indices=[2, 3, 4]), text_config=text, **sizes)
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    processor = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(processor, tokenizer).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def owl(tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import CLIPTokenizer, Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("owl")
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=32)
    layers = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = layers | {"vocab_size": len(vocabulary), "max_position_embeddings": 32, "pad_token_id": 0}
    text |= {"bos_token_id": len(vocabulary) - 2, "eos_token_id": len(vocabulary) - 1}
    vision = layers | {"image_size": 64, "patch_size": 16}
    model = Owlv2ForObjectDetection(Owlv2Config(text_config=text, vision_config=vision, projection_dim=32))
    model.save_pretrained(folder)
    Owlv2Processor(Owlv2ImageProcessor(size={"height": 64, "width": 64}), tokenizer).save_pretrained(folder)
    return str(folder)


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
    for first, prompt, spans in eyes._prompts():
        tokens = tokenizer(prompt)["input_ids"]
        assert len(tokens) <= 64
        assert first == len(named)
        named += [tokenizer.decode(tokens[span]) for span in spans]
    assert named == list(lexicon.labels())
    assert len(list(eyes._prompts())) > 1


def test_a_label_of_two_words_needs_both(dino: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """ "dog" in the picture must not be a "hot dog"."""
    eyes = OpenVocabulary(settings(dino, confidence=0.3), "cpu", outlines=False)
    eyes._labels = ["hot dog", "dog"]
    [(_, prompt, _)] = eyes._prompts()
    assert prompt == "hot dog. dog."

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
