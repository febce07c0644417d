"""The model of a run: which weights are trained, and how open_clip and the embedder load them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training.model import CONFIG, WEIGHTS, Model, build, export, interpolated, plain_state
from training.options import Options, OptionsError, make_options
from udfs.embed.clip import ClipModel
from udfs.embed.settings import EmbedderSettings

VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 16, "width": 32, "heads": 2, "layers": 2}
TINY = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT}
# open_clip's ResNet has batch norms.
RESNET = TINY | {"vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8}}


def options(model: Path | str, **more: Any) -> Options:
    return make_options({"snapshot": "none", "output": "none", "model": str(model), "device": "cpu"} | more)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip folder with random weights, to start from."""
    return exported(tmp_path_factory.mktemp("models"), "start", TINY)


def exported(folder: Path, name: str, config: dict[str, Any]) -> Path:
    (folder / f"{name}.json").write_text(json.dumps(config))
    model = build(options(folder / f"{name}.json"))
    export(model, plain_state(model), folder / name)
    return folder / name


def nudge(model: Model) -> None:
    """Change the weights that are trained, as training would."""
    with torch.no_grad():
        for parameter in model.network.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))


def embeddings(folder: Path) -> np.ndarray:
    clip = ClipModel(EmbedderSettings(model=str(folder / CONFIG), checkpoint=str(folder / WEIGHTS)), "cpu")
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return np.array([*clip.embed_images([picture]), *clip.embed_texts(["a dog on a sofa"])])


def features(model: Model) -> torch.Tensor:
    network: Any = model.network.eval()
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tokens = model.tokenize(["a dog on a sofa"])
        return torch.cat([network.encode_image(pixels, normalize=True), network.encode_text(tokens, normalize=True)])


def test_an_export_is_what_the_embedder_loads(start: Path, tmp_path: Path) -> None:
    model = build(options(start))
    nudge(model)
    with torch.no_grad():
        model.log_scale.fill_(3.0)
    export(model, plain_state(model), tmp_path / "trained")
    reloaded = build(options(tmp_path / "trained"))
    assert torch.equal(features(reloaded), features(model))
    assert reloaded.log_scale.item() == 3.0 and reloaded.log_scale.shape == ()
    assert np.abs(embeddings(tmp_path / "trained") - embeddings(start)).max() > 1e-3
    assert reloaded.version != model.version


def test_an_export_replaces_the_one_before(start: Path, tmp_path: Path) -> None:
    model = build(options(start))
    for _ in range(2):
        export(model, plain_state(model), tmp_path / "trained")
    assert [path.name for path in tmp_path.iterdir()] == ["trained"]


def test_lora_starts_as_the_checkpoint_and_merges_into_it(start: Path, tmp_path: Path) -> None:
    model = build(options(start, lora_rank=2))
    assert torch.equal(features(model), features(build(options(start))))
    trained = [name for name, parameter in model.network.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * 2 * 4 and all("lora_" in name for name in trained)  # 2 matrices, 2 layers, of 4 blocks
    nudge(model)
    export(model, plain_state(model), tmp_path / "merged")
    merged = build(options(tmp_path / "merged"))
    torch.testing.assert_close(features(merged), features(model), atol=1e-5, rtol=1e-4)
    assert (features(merged) - features(build(options(start)))).abs().max() > 1e-3
    assert not any("lora" in name for name in plain_state(merged))
    with pytest.raises(OptionsError, match="no linear layer"):
        build(options(start, lora_rank=2, lora_layers="nothing"))


def test_wise_ft_ends_are_exact_and_its_middle_is_between(start: Path) -> None:
    model = build(options(start))
    first = plain_state(model)
    nudge(model)
    last = plain_state(model)
    assert all(torch.equal(first[key], value) for key, value in interpolated(first, last, 0.0).items())
    assert all(torch.equal(last[key], value) for key, value in interpolated(first, last, 1.0).items())
    middle = interpolated(first, last, 0.25)
    torch.testing.assert_close(middle["visual.proj"], 0.75 * first["visual.proj"] + 0.25 * last["visual.proj"])


@pytest.mark.parametrize("tower", ["image", "text"])
def test_a_frozen_tower_is_not_trained(start: Path, tower: str) -> None:
    model = build(options(start, freeze=tower))
    trained = {name.startswith("visual.") for name, parameter in model.network.named_parameters() if parameter.requires_grad}
    assert trained == {tower == "text"}


def test_batch_norms_keep_a_checkpoints_statistics_or_need_one_process(tmp_path: Path) -> None:
    resnet = exported(tmp_path, "resnet", RESNET)
    model = build(options(resnet), world=2)
    model.network.train()
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network: Any = model.network
    pair, single = network.encode_image(pixels), network.encode_image(pixels[:1])
    torch.testing.assert_close(pair[:1], single, atol=1e-5, rtol=1e-4)
    export(model, plain_state(model), tmp_path / "again")
    torch.testing.assert_close(embeddings(tmp_path / "again"), embeddings(resnet))
    with pytest.raises(OptionsError, match="one process"):
        build(options(tmp_path / "resnet.json"), world=2)


def test_missing_and_unfitting_weights_are_named(start: Path, tmp_path: Path) -> None:
    torch.save({}, tmp_path / "openai-ViT-B-32.pt")
    for model, more, message in (
        ("ViT-B-32", {"checkpoint": str(tmp_path / "none.pt")}, "neither a file nor an open_clip tag"),
        ("ViT-B-32", {"checkpoint": str(tmp_path / "openai-ViT-B-32.pt")}, "other activation.*ViT-B-32-quickgelu"),
        ("ViT-B-99", {}, "ViT-B-99"),
        (str(start), {"checkpoint": str(tmp_path / "openai-ViT-B-32.pt")}, "leave out --checkpoint"),
    ):
        with pytest.raises(OptionsError, match=message):
            build(options(model, **more))


def test_fresh_weights_come_from_the_seed(start: Path) -> None:
    config = start.with_suffix(".json")
    weights, same_seed, other_seed = (plain_state(build(options(config, seed=seed))) for seed in (0, 0, 1))
    assert torch.equal(weights["visual.proj"], same_seed["visual.proj"]) and not torch.equal(
        weights["visual.proj"], other_seed["visual.proj"]
    )


def test_the_hash_covers_what_changes_weights_and_nothing_else() -> None:
    base = options("ViT-B-32")
    assert options("ViT-B-32", zero=2, workers=1, output="elsewhere", eval_every=7).run_hash == base.run_hash
    assert (
        len({options("ViT-B-32", **{name: value}).run_hash for name, value in (("lr", 1e-4), ("seed", 1), ("flip", True))}) == 3
    )
    assert options("ViT-B-32", lr=1e-4).run_hash != base.run_hash
