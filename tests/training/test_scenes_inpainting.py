"""The inpainters for scenes: their data, short trainings, both roles, and the score against the true removal."""

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from jobs.scenes.domain import load
from jobs.scenes.layout import sample
from jobs.settings import Settings, validate_settings
from training.acceptance import inpainting as score_inpainting
from training.acceptance import inpainting_leak
from training.acceptance.inpainting_cases import MeanFill, Removal, cases, left_over, psnr, removals, squared_error, ssim
from training.acceptance.inpainting_leak import SIDE, leaks, singles, views
from training.acceptance.scores import Score
from training.embedded import train_gan_inpainter, train_inpainter
from training.embedded.inpainting_data import Crops, all_crops, batch, cached_crops, components, crops, strokes
from udfs import images
from udfs.inpaint.inpainter import Inpainter
from udfs.inpaint.lattice import Hole
from udfs.inpaint.pixel_pipeline import PixelInpaintPipeline
from udfs.inpaint.settings import InpainterSettings
from udfs.inpaint.torchscript import TorchScript
from udfs.masks import to_rle
from udfs.role import Row
from udfs.weights import FOLDER

KNOWN = load("objects").known
MODELS = FOLDER


@pytest.fixture(scope="module")
def data() -> Crops:
    return all_crops("objects", 2, 64, 12, 32, InpainterSettings(), 1)


@pytest.fixture(scope="module")
def pipeline(data: Crops, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline after a few steps of the real training, saved as the command saves it."""
    folder = tmp_path_factory.mktemp("pixel") / "tiny"
    torch.manual_seed(0)
    small = train_inpainter.build((8, 16))
    train_inpainter.train(small, data, 2, 10, 1)
    train_inpainter.save(small, folder)
    return folder


@pytest.fixture(scope="module")
def gan(data: Crops, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gan") / "tiny.pt"
    generator, _ = train_gan_inpainter.train(data, 2, 10, 1)
    train_gan_inpainter.save(generator, file)
    return file


def settings_for(**inpainter: object) -> Settings:
    return validate_settings({"codec": {"format": "png"}, "inpainter": inpainter})


def hole(height: int, width: int, seed: int = 0) -> Hole:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), np.bool_)
    mask[height // 3 : height // 2 + 1, width // 3 : width // 2 + 1] = True
    return Hole(rgb, mask, seed)


def row(rgb: np.ndarray, mask: np.ndarray) -> Row:
    component = {"label": "cup", "masks": [to_rle(mask)], "boxes": []}
    return {"record_id": "a", "image": images.encode(rgb, settings_for().codec), "components": [component]}


def test_crops_are_what_the_engine_passes_to_a_model() -> None:
    scene = next(s for i in range(100) if len(components(s := sample("objects", "test", 150, i, 96))) == 2)
    cropped = list(
        crops(scene, 96, InpainterSettings(context=3), through_jpeg=False)
    )  # so much context that a crop is the picture
    assert len(cropped) in {2, 3}  # apart or touching
    for image, truth, mask in cropped:
        assert set(np.unique(mask)) == {0, 255}
        assert (image != truth).any(axis=2)[mask > 0].mean() > 0.8
        assert (image == truth).all(axis=2)[
            mask == 0
        ].mean() > 0.5  # outside the removal the pixels are equal, including the noise


def test_data_do_not_depend_on_the_number_of_processes_and_are_cached(data: Crops, tmp_path: Path) -> None:
    again = cached_crops(tmp_path, "objects", 2, 64, 12, 32, InpainterSettings(), 2)
    stored = cached_crops(tmp_path, "objects", 2, 64, 12, 32, InpainterSettings(), 1)
    for first, second, third in zip(data, again, stored, strict=True):
        assert (first == second).all() and (first == third).all()
    assert len(list(tmp_path.iterdir())) == 1


def test_free_form_holes_show_the_truth_around_them(data: Crops) -> None:
    rng = np.random.default_rng(0)
    shares = [float((strokes(64, rng) > 0).mean()) for _ in range(50)]
    assert min(shares) > 0
    assert 0.02 < np.mean(shares) < 0.5
    indices = np.arange(len(data.image))
    own, free = batch(data, indices, 0.0, rng), batch(data, indices, 1.0, rng)
    assert (free.image == free.truth).all()
    for i in indices:  # mirrored or not, all three together
        flips = [i for turn in (slice(None), slice(None, None, -1)) if (own.image[i] == data.image[i][:, turn]).all()]
        assert flips
    assert sorted(int((h > 0).sum()) for h in own.hole) == sorted(int((h > 0).sum()) for h in data.hole)


def test_training_learns(data: Crops) -> None:
    torch.manual_seed(0)
    small = train_inpainter.build((16, 16))
    image, truth, mask = train_inpainter.tensors(data)

    def error() -> float:
        fill = small(image / 2 + 0.5, mask, 32, 32, generator=torch.Generator().manual_seed(0), output_type="pt").images
        return float(((fill * 2 - 1 - truth).square() * mask).sum() / mask.sum() / 3)

    small.set_progress_bar_config(disable=True)
    before = error()
    assert train_inpainter.train(small, data, 40, 10, 1) == 40 * (len(data.image) // min(len(data.image), train_inpainter.BATCH))
    assert error() < 0.7 * before  # an untrained model gives the smooth fill


def test_training_ends_when_its_time_is_over(data: Crops) -> None:
    assert train_inpainter.train(train_inpainter.build((8, 8)), data, 1000, 1e-9, 1) == 0


def test_the_pipeline_through_the_role(pipeline: Path) -> None:
    assert sorted(f.suffix for f in pipeline.rglob("*") if f.is_file()) == [".json", ".json", ".json", ".safetensors"]
    settings = settings_for(kind="diffusers", weights=str(pipeline), size=32, steps=2, batch_size=3)
    role = Inpainter(settings, "cpu")
    assert (role.name, len(role.version)) == ("tiny", 12)
    [case] = cases("objects", 150, 64, 1, 4.0)[:1]
    separate = removals(role, settings, [case])
    for removal in separate:
        assert (removal.dual == removal.original)[~removal.hole].all()
        assert (removal.dual != removal.original)[removal.hole].mean() > 0.5
    # Each hole has its own noise, whatever else is in the batch.
    batched = removals(role, settings, [*cases("objects", 151, 64, 1, 4.0), case])[-len(separate) :]
    for first, second in zip(separate, batched, strict=True):
        assert np.abs(first.dual.astype(int) - second.dual).max() <= 1


def test_the_pipeline_keeps_known_pixels_and_takes_the_inputs_of_diffusers(pipeline: Path) -> None:
    loaded = PixelInpaintPipeline.from_pretrained(str(pipeline), dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    holes = [hole(32, 32, seed) for seed in range(2)]
    image = np.stack([h.rgb for h in holes]).astype(np.float32) / 255
    mask = np.stack([h.mask for h in holes]).astype(np.float32)[..., None]
    out = loaded(image, mask, 32, 32, 3, torch.Generator().manual_seed(1), "np").images
    assert out.shape == (2, 32, 32, 3)
    assert np.abs(out - image)[mask[..., 0] == 0].max() < 1e-6
    [pil] = loaded(images_of(holes[:1]), masks_of(holes[:1]), 32, 32, generator=torch.Generator().manual_seed(1)).images
    assert pil.size == (32, 32)
    with pytest.raises(ValueError, match="channels"):
        unet = torch.nn.Module()
        unet.config = replace_config(loaded.unet.config, in_channels=9)  # type: ignore[assignment]
        PixelInpaintPipeline(unet, loaded.scheduler)
    with pytest.raises(ValueError, match="samples"):
        scheduler = type(loaded.scheduler).from_config(loaded.scheduler.config, prediction_type="epsilon")
        PixelInpaintPipeline(loaded.unet, scheduler)


def images_of(holes: list[Hole]) -> list[Any]:
    from PIL import Image

    return [Image.fromarray(h.rgb) for h in holes]


def masks_of(holes: list[Hole]) -> list[Any]:
    from PIL import Image

    return [Image.fromarray(h.mask.astype(np.uint8) * 255) for h in holes]


def replace_config(config: Any, **changes: Any) -> Any:
    from diffusers.configuration_utils import FrozenDict

    return FrozenDict({**config, **changes})


class HalfGrey(torch.nn.Module):
    """A fill of half grey, with LaMa's call and its condition on side lengths."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if image.shape[2] % 8 != 0 or image.shape[3] % 8 != 0 or mask.shape[1] != 1:
            raise RuntimeError("sides must be multiples of 8")
        return image * (1 - mask) + 0.5 * mask


class TooSmall(torch.nn.Module):
    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return image[:, :, ::2]


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("script") / "grey.pt"
    torch.jit.save(torch.jit.script(HalfGrey()), str(file))
    return file


def test_any_torchscript_file_with_lamas_call(grey: Path) -> None:
    model = TorchScript(InpainterSettings(kind="torchscript", weights=str(grey), size=64), "cpu")
    for height, width in ((64, 64), (51, 45), (5, 3), (90, 130)):
        case = hole(height, width)
        [fill] = model([case])
        assert fill.shape == (height, width, 3)
        assert np.abs(fill[case.mask].astype(int) - 128).max() <= (1 if max(height, width) <= 64 else 60)
        if max(height, width) <= 64:  # at its own size
            assert (fill[~case.mask] == case.rgb[~case.mask]).all()
    assert model.name == "grey"


def test_a_torchscript_file_in_the_engine(grey: Path) -> None:
    rgb, mask = hole(70, 99).rgb, np.zeros((70, 99), np.bool_)
    mask[20:40, 30:60] = True
    [answer] = Inpainter(settings_for(kind="torchscript", weights=str(grey)), "cpu")([row(rgb, mask)])
    assert isinstance(answer, dict)
    dual = images.decode(answer["duals"][1]["image"])
    assert (dual[mask] == 128).all()
    assert (dual[:10] == rgb[:10]).all()


def test_unusable_torchscript_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inpainter.weights"):
        Inpainter(settings_for(kind="torchscript"), "cpu")
    with pytest.raises(FileNotFoundError, match="nowhere.pt"):
        Inpainter(settings_for(kind="torchscript", weights=str(tmp_path / "nowhere.pt")), "cpu")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "state.pt")
    with pytest.raises(RuntimeError):
        Inpainter(settings_for(kind="torchscript", weights=str(tmp_path / "state.pt")), "cpu")
    torch.jit.save(torch.jit.script(TooSmall()), str(tmp_path / "small.pt"))
    with pytest.raises(ValueError, match="inpainter.dtype"):
        Inpainter(settings_for(kind="torchscript", weights=str(tmp_path / "small.pt"), dtype="float16"), "cpu")
    rgb, mask = hole(64, 64).rgb, hole(64, 64).mask
    [answer] = Inpainter(settings_for(kind="torchscript", weights=str(tmp_path / "small.pt")), "cpu")([row(rgb, mask)])
    assert isinstance(answer, dict)
    assert answer["duals"][1]["status"] == "model_error"
    assert "the network returned (1, 3, 24, 48) for (1, 3, 48, 48)" in answer["duals"][1]["error"]


def test_the_gan_is_a_torchscript_file_without_paths(gan: Path) -> None:
    with zipfile.ZipFile(gan) as archive:
        names = archive.namelist()
        assert not [name for name in names if name.endswith("debug_pkl")]
        assert not [name for name in names if str(Path.cwd()).encode() in archive.read(name)]
    role = Inpainter(settings_for(kind="torchscript", weights=str(gan), size=64), "cpu")
    case = hole(40, 56)
    [answer] = role([row(case.rgb, case.mask)])
    assert isinstance(answer, dict)
    dual = images.decode(answer["duals"][1]["image"])
    assert (dual != case.rgb)[case.mask].any()
    assert (dual[0] == case.rgb[0]).all()


def test_the_gan_is_the_same_file_from_the_same_weights(gan: Path, data: Crops, tmp_path: Path) -> None:
    generator, _ = train_gan_inpainter.train(data, 2, 10, 1)
    train_gan_inpainter.save(generator, tmp_path / "tiny.pt")
    assert (tmp_path / "tiny.pt").read_bytes() == gan.read_bytes()


def as_dual(items: list[Removal], dual: str) -> list[Removal]:
    return [replace(removal, dual=getattr(removal, dual)) for removal in items]


@pytest.fixture(scope="module")
def by_mean() -> list[Removal]:
    settings = settings_for()
    return removals(Inpainter(settings, "cpu", MeanFill()), settings, cases("objects", 150, 64, 60, 2.0))


def test_what_is_measured(by_mean: list[Removal]) -> None:
    assert all(removal.truth.shape == (64, 64, 3) for removal in by_mean)
    shadow = [removal for removal in by_mean if (removal.changed & ~removal.hole).any()]
    assert shadow
    for perfect, removal in zip(as_dual(by_mean, "truth"), by_mean, strict=True):
        assert psnr(squared_error(perfect, removal.hole)) == 60.0
        assert ssim(perfect) == pytest.approx(1.0)
        assert psnr(squared_error(removal, removal.hole)) < 45
        assert ssim(removal) < 1.0
    # The mean fill does nothing outside the hole, and so leaves the shadow as it was.
    assert all(left_over(removal) > 0 == left_over(replace(removal, dual=removal.truth)) for removal in shadow)
    assert {len(removal.removed) for removal in by_mean} >= {1, 2}


def marked(removal: Removal) -> Removal:
    """The truth with the hole in a colour that says what was removed."""
    index = KNOWN.index(removal.removed[0])
    dual = removal.truth.copy()
    dual[removal.hole] = (85 * (index % 4), 85 * (index // 4 % 4), 255 * (index // 16))
    return replace(removal, dual=dual)


def test_a_network_finds_what_is_left_and_nothing_in_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NETWORKS": 1, "WIDTHS": (8, 16, 32), "BATCH": 16}.items():  # small, to be quick
        monkeypatch.setattr(inpainting_leak, name, value)
    settings = settings_for()
    role = Inpainter(settings, "cpu", MeanFill())
    fit, test = (removals(role, settings, singles("objects", seed, 64, count, 4.0)) for seed, count in ((90, 240), (151, 120)))
    assert {len(removal.removed) for removal in (*fit, *test)} == {1} and (len(fit), len(test)) == (240, 120)
    messages: list[str] = []
    samples = ({"marked": list(map(marked, group)), "truly removed": as_dual(group, "truth")} for group in (fit, test))
    rows = leaks(*samples, messages.append)
    right = {line.group: line.value for line in rows if line.what == inpainting_leak.WHAT}
    excess = {line.group: line for line in rows if line.what == inpainting_leak.MORE}
    assert excess["marked"].low > 0.1
    assert right["truly removed"] == right["true removal"]  # the same pictures and random numbers give the same network
    assert (excess["truly removed"].value, excess["truly removed"].high) == (0.0, 0.0)
    assert [line.partition(":")[0] for line in messages] == [
        f"leak, {name}" for name in ("true removal", "original", "marked", "truly removed")
    ]


def test_a_network_sees_the_box_of_a_hole_and_not_its_outline(by_mean: list[Removal]) -> None:
    inputs = views([removal for removal in by_mean if len(removal.removed) == 1][:5], lambda removal: removal.truth)
    assert inputs.shape == (5, SIDE, SIDE, 4)
    for box in inputs[..., 3]:
        rectangle = np.outer(box.max(axis=1), box.max(axis=0).astype(np.float64)) / 255
        assert np.abs(rectangle - box).max() < 30 and box.max() > 200 > 50 > box.min()


def test_the_score_and_its_sheet(pipeline: Path, gan: Path) -> None:
    sample, fit = cases("objects", 150, 64, 16, 4.0), singles("objects", 90, 64, 24, 4.0)
    methods = score_inpainting.inpainters(pipeline, gan)
    methods = {name: methods[name] for name in ("mean fill", "opencv ns", "diffusion", "gan")}
    rows, shown = score_inpainting.score(sample, fit, methods)
    edited = {line.group: line for line in rows if line.what == "PSNR, edited pixels"}
    coarse = ["truth blurred, 2 px", "truth blurred, 1 px"]
    assert {*methods, "diffusion, no reuse", "gan, no reuse", "truth through 64 px", *coarse} == set(edited)
    assert edited["mean fill"].value < edited[coarse[0]].value < edited[coarse[1]].value < edited["truth through 64 px"].value
    assert all(isinstance(line, Score) and line.low <= line.value <= line.high for line in edited.values())
    assert edited["mean fill"].n == sum(len(case.truths) for case in sample)
    assert {"inpaint", "shadow", "leak"} == {line.stage for line in rows}
    picture = score_inpainting.sheet(sample, shown, 3)
    assert picture.shape[1] > 6 * 128
    with pytest.raises(ValueError, match="seeds for evaluation"):
        score_inpainting.main(seed=1000)


def test_the_committed_weights_beat_methods_without_weights() -> None:
    sample = cases("objects", 150, 96, 60, 2.0)
    methods = score_inpainting.inpainters(MODELS / "inpainter_objects", MODELS / "gan_inpainter_objects.pt")
    means = {}
    for name in ("mean fill", "opencv telea", "opencv ns", "diffusion", "gan"):
        results, _ = score_inpainting.run(name, methods[name], sample)
        means[name] = float(np.mean([psnr(squared_error(removal, removal.hole)) for removal in results]))
    best_without_weights = max(means["mean fill"], means["opencv telea"], means["opencv ns"])
    assert means["diffusion"] > best_without_weights + 2
    assert means["gan"] > best_without_weights + 1
    assert sum(f.stat().st_size for pattern in ("inpainter_objects/**/*", "gan_*.pt") for f in MODELS.glob(pattern)) < 10e6


def test_commands(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seeds for training"):
        train_inpainter.main(tmp_path, seed=900)
    with pytest.raises(ValueError, match="seeds for training"):
        train_gan_inpainter.main(tmp_path, seed=900)
    cv2.setNumThreads(1)
    train_gan_inpainter.main(tmp_path, size=64, scenes=4, epochs=1, threads=1)
    assert (tmp_path / "gan_inpainter_objects.pt").stat().st_size > 2e6
