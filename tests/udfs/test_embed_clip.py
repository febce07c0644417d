"""CLIP embeddings from a tiny random open_clip model: config file and checkpoint as open_clip itself writes them."""

import gc
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.settings import Settings, validate_settings
from tests.support.tiny_models import clip_files, picture
from udfs.embed import clip as embed_clip
from udfs.embed.clip import ClipModel, ImageEmbedder, TextEmbedder
from udfs.embed.settings import EmbedderSettings
from udfs.role import Failure


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    config, checkpoint = clip_files(tmp_path_factory.mktemp("clip"))
    return validate_settings({"embedder": {"model": config, "checkpoint": checkpoint}})


def vectors(results: list) -> np.ndarray:
    return np.array([result["embedding"] for result in results])


def test_embeddings_have_unit_length_and_tell_pictures_apart(settings: Settings) -> None:
    role = ImageEmbedder(settings, "cpu")
    found = vectors(role([{"image": picture(seed=seed)} for seed in (0, 1, 0)]))
    assert found.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found[0], found[2], atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_equal_texts_have_equal_embeddings_and_are_encoded_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    role = TextEmbedder(settings, "cpu")
    encoded: list[int] = []
    encode = role._clip.model.encode_text
    monkeypatch.setattr(role._clip.model, "encode_text", lambda tokens, **k: encoded.append(len(tokens)) or encode(tokens, **k))
    found = role([{"text": text} for text in ("a dog", "a cat", "a dog")])
    assert found[0] == found[2] != found[1]
    assert encoded == [2]
    np.testing.assert_allclose(np.linalg.norm(vectors(found), axis=1), 1, atol=1e-5)


def test_any_text_is_embedded(settings: Settings) -> None:
    texts = ["", " ", "\ud800", "\x00", "🐕" * 300, "word " * 5000]
    assert vectors(TextEmbedder(settings, "cpu")([{"text": text} for text in texts])).shape == (len(texts), 16)


def test_a_broken_picture_fails_alone(settings: Settings) -> None:
    broken, good = ImageEmbedder(settings, "cpu")([{"image": b"no image"}, {"image": picture()}])
    assert isinstance(broken, Failure) and broken.status == "undecodable_image"
    assert not isinstance(good, Failure)


def test_both_roles_share_one_model_that_goes_with_them(settings: Settings) -> None:
    image, text = ImageEmbedder(settings, "cpu"), TextEmbedder(settings, "cpu")
    assert image._clip is text._clip
    assert (image.name, image.version) == (text.name, text.version)
    del image, text
    gc.collect()
    assert not embed_clip._loaded


def test_safetensors_and_torch_checkpoints_give_the_same(settings: Settings, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    torch.save({"state_dict": load_file(settings.embedder.checkpoint)}, tmp_path / "clip.pt")
    other = ClipModel(EmbedderSettings(model=settings.embedder.model, checkpoint=str(tmp_path / "clip.pt")), "cpu")
    assert other.embed_texts(["a dog"]) == ClipModel(settings.embedder, "cpu").embed_texts(["a dog"])
    assert other.version != ClipModel(settings.embedder, "cpu").version


def test_preprocessing_comes_from_open_clips_own_config(settings: Settings, tmp_path: Path) -> None:
    tree = {
        "model_cfg": json.loads(Path(settings.embedder.model).read_text()),
        "preprocess_cfg": {"mean": [0.0] * 3, "std": [0.5] * 3, "resize_mode": "squash"},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(tree))
    model = ClipModel(
        EmbedderSettings(model=str(tmp_path / "open_clip_config.json"), checkpoint=settings.embedder.checkpoint), "cpu"
    )
    normalise = model.preprocess.transforms[-1]
    assert tuple(normalise.mean) == (0.0,) * 3 and tuple(normalise.std) == (0.5,) * 3


def test_the_quick_gelu_trap_is_an_error_that_names_the_way_out() -> None:
    with pytest.raises(ValueError, match="embedder.model=ViT-B-32-quickgelu"):
        ClipModel(EmbedderSettings(model="ViT-B-32", checkpoint="openai"), "cpu")
    with pytest.raises(ValueError, match="quickgelu"):
        ClipModel(EmbedderSettings(model="ViT-B-32", checkpoint="/models/ViT-B-32-openai.safetensors"), "cpu")


def test_quick_gelu_of_the_config_is_followed(settings: Settings, tmp_path: Path) -> None:
    tree = json.loads(Path(settings.embedder.model).read_text()) | {"quick_gelu": True}
    (tmp_path / "quick.json").write_text(json.dumps(tree))
    quick = ClipModel(EmbedderSettings(model=str(tmp_path / "quick.json"), checkpoint=settings.embedder.checkpoint), "cpu")
    assert quick.embed_texts(["a dog"]) != ClipModel(settings.embedder, "cpu").embed_texts(["a dog"])


def test_random_weights_are_refused(settings: Settings) -> None:
    with pytest.raises(ValueError, match="checkpoint is empty"):
        ClipModel(EmbedderSettings(model=settings.embedder.model, checkpoint=""), "cpu")
    with pytest.raises(ValueError, match="no model 'ViT-Q-9'"):
        ClipModel(EmbedderSettings(model="ViT-Q-9", checkpoint="openai"), "cpu")
