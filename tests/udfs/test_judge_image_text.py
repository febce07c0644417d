"""The image-text judge on a tiny random BLIP saved in its own format."""

import pytest
import torch

from jobs.settings import Settings, validate_settings
from tests.support.tiny_models import WORDS, bert_tokenizer, picture
from udfs.judge.image_text import ImageTextJudge
from udfs.role import Failure


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    from transformers import BlipConfig, BlipForImageTextRetrieval, BlipImageProcessor, BlipProcessor

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("blip")
    layers = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = layers | {"image_size": 32, "patch_size": 16, "initializer_range": 0.5}
    text = layers | {"vocab_size": len(WORDS), "encoder_hidden_size": 32, "max_position_embeddings": 16}
    text |= {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "initializer_range": 0.5}
    BlipForImageTextRetrieval(BlipConfig(vision_config=vision, text_config=text, image_text_hidden_size=8)).save_pretrained(
        folder
    )
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), bert_tokenizer(folder)).save_pretrained(folder)
    return validate_settings({"judge": {"image_text": str(folder)}})


def test_the_probability_depends_on_image_and_text(settings: Settings) -> None:
    judge = ImageTextJudge(settings, "cpu")
    first, second = picture(seed=0), picture(seed=1)
    pairs = [(first, "a dog"), (first, "a hot cat on a teddy bear"), (second, "a dog")]
    results = judge([{"image": image, "text": text} for image, text in pairs])
    probabilities = [r["probability"] for r in results if not isinstance(r, Failure)]
    assert all(0 < p < 1 for p in probabilities) and len(set(probabilities)) == 3
    # Padding to a longer neighbour changes nothing.
    [single] = judge([{"image": first, "text": "a dog"}])
    assert not isinstance(single, Failure) and single["probability"] == pytest.approx(probabilities[0], abs=1e-5)


def test_it_asks_the_models_own_head(settings: Settings) -> None:
    judge = ImageTextJudge(settings, "cpu")
    from udfs import images

    inputs = judge._processor(images=images.decode(picture()), text="a dog", return_tensors="pt")
    with torch.inference_mode():
        expected = judge._model(**inputs).itm_score.softmax(1)[0, 1].item()
    [result] = judge([{"image": picture(), "text": "a dog"}])
    assert not isinstance(result, Failure) and result["probability"] == pytest.approx(expected, abs=1e-6)


def test_long_and_broken_texts_and_pictures_touch_only_their_own_row(settings: Settings) -> None:
    rows = [{"image": picture(), "text": "dog " * 500}, {"image": b"", "text": "a dog"}, {"image": picture(), "text": "\ud800"}]
    long, empty, surrogate = ImageTextJudge(settings, "cpu")(rows)
    assert isinstance(empty, Failure) and empty.status == "empty_file"
    assert not isinstance(long, Failure) and not isinstance(surrogate, Failure)
