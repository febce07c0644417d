"""The diffusers path on a tiny pipeline of random weights, in the real format, through the real loading code."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.settings import Settings, validate_settings
from udfs import images, masks
from udfs.inpaint.inpainter import Inpainter
from udfs.role import Failure, Row


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion 1 inpainting (nine input channels), two blocks wide, saved as a folder."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("tiny-inpaint")
    letters = [chr(c) for c in range(33, 127)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=9,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
    )
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
        pad_token_id=len(words) - 1,
    )
    pipe: Any = StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder / "tiny", safe_serialization=True)
    return folder / "tiny"


def wanted(folder: Path, **inpainter: object) -> Settings:
    model = {"kind": "diffusers", "weights": str(folder), "steps": 2, "size": 32, "batch_size": 3, "dilate": 0.03}
    return validate_settings({"codec": {"format": "png"}, "inpainter": {**model, **inpainter}})


def family(record_id: str, shift: int = 0) -> Row:
    rgb = np.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    found = np.zeros((2, 64, 96), np.bool_)
    found[0, 10 + shift : 25 + shift, 8:20] = True
    found[1, 30:50, 60:85] = True
    components = [{"label": str(i), "masks": [masks.to_rle(m)], "boxes": []} for i, m in enumerate(found)]
    return {"record_id": record_id, "image": images.encode(rgb, wanted(Path()).codec), "components": components}


def only(results: list[Row | Failure]) -> list[Row]:
    (result,) = results
    assert isinstance(result, dict), result
    return result["duals"]


def pixels(results: list) -> list[np.ndarray]:
    return [images.decode(dual["image"]) for result in results for dual in result["duals"]]


def test_a_family_through_the_real_loading_code(pipeline: Path) -> None:
    model = Inpainter(wanted(pipeline), "cpu")
    results = model([family("a")])
    assert [d["status"] for d in only(results)] == ["ok"] * 4
    assert [d["reused"] for d in only(results)] == [False, False, False, True]
    original, first, second, both = pixels(results)
    changed = (first != original).any(axis=2)
    assert changed[10:25, 8:20].mean() > 0.9
    assert not changed[:, 40:].any()
    assert (both[:, :40] == first[:, :40]).all()
    assert (both[:, 40:] == second[:, 40:]).all()
    assert (model.name, len(model.version)) == ("tiny", 12)


def test_the_same_seed_paints_the_same_whatever_shares_the_batch(pipeline: Path) -> None:
    model = Inpainter(wanted(pipeline), "cpu")
    alone = pixels(model([family("a")]))
    together = pixels(model([family("b", 5), family("a")]))[4:]
    for left, right in zip(alone, together, strict=True):
        assert np.abs(left.astype(int) - right).max() <= 1
    other = pixels(Inpainter(wanted(pipeline, seed=7), "cpu")([family("a")]))
    assert np.abs(alone[1].astype(int) - other[1]).max() > 10


def test_naive_calls_once_a_subset(pipeline: Path) -> None:
    duals = only(Inpainter(wanted(pipeline, reuse=False), "cpu")([family("a")]))
    assert [(d["status"], d["reused"]) for d in duals] == [("ok", False)] * 4


def test_what_cannot_be_loaded_says_why(pipeline: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inpainter.weights"):
        Inpainter(validate_settings({"inpainter": {"kind": "diffusers"}}), "cpu")
    with pytest.raises(ValueError, match="multiple"):
        Inpainter(wanted(pipeline, size=33), "cpu")
    # Weights in torch's own format are pickles, and are not opened.
    for file in pipeline.rglob("*"):
        target = tmp_path / file.relative_to(pipeline)
        if file.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            name = "diffusion_pytorch_model.bin" if file.suffix == ".safetensors" else file.name
            target.with_name(name).write_bytes(file.read_bytes())
    with pytest.raises(OSError, match="safetensors"):
        Inpainter(wanted(tmp_path), "cpu")
