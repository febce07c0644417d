"""Versions of weights, and state dicts that cannot run code."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from jobs.settings import load_settings
from training.model import build
from training.options import Options, OptionsError
from udfs.embed.clip import ClipModel
from udfs.embed.settings import EmbedderSettings
from udfs.weights import WeightsError, load_state_dict, locate, located, version_of


def test_the_version_follows_the_contents_not_the_place(tmp_path: Path) -> None:
    for folder, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "w.bin").write_bytes(content)
    one, same, other = (version_of(str(tmp_path / folder)) for folder in "abc")
    assert one == same != other
    assert version_of("org/one") != version_of("org/two")
    assert version_of("org/one", "") == version_of("org/one"), "and not the working folder's"


def test_safetensors_and_torch_files_give_the_same_state(tmp_path: Path) -> None:
    state = {"w": torch.arange(3.0)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pt")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "trained.pt")
    for name in ("w.safetensors", "w.pt", "trained.pt"):
        assert torch.equal(load_state_dict(str(tmp_path / name))["w"], state["w"])


def test_a_file_with_code_in_it_is_refused_and_not_run(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return Path.touch, (tmp_path / "ran",)

    torch.save({"w": Touch()}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="holds more than tensors"):
        load_state_dict(str(tmp_path / "evil.pt"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git LFS pointer and not the weights"),
        (b"<!DOCTYPE html><html>sign in</html>", "is a web page and not the weights"),
        (b"", "is empty and not the weights"),
        (b'\x08\x00\x00\x00\x00\x00\x00\x00{"w"', "is damaged or cut short|holds more than tensors"),
    ],
)
@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_a_file_that_is_not_weights_is_refused_in_one_line(tmp_path: Path, content: bytes, says: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"{name} ({says})") as direct:
        load_state_dict(str(path))
    config = Path(locate("embedded:clip_objects.json"))
    with pytest.raises(WeightsError) as by_open_clip:
        ClipModel(EmbedderSettings(model=str(config), checkpoint=str(path)), "cpu")
    with pytest.raises(OptionsError, match=f"{name} ({says})"):
        build(Options(model=str(config), checkpoint=str(path), snapshot=str(tmp_path), output="unused"))
    assert str(by_open_clip.value) == str(direct.value)
    assert "\n" not in str(direct.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        load_state_dict("nowhere.pt")


def test_models_of_the_project_are_named_and_not_located() -> None:
    settings = load_settings("annotations", ["segmenter.weights=embedded:segmenter_objects.pt"])
    assert settings.segmenter.weights == "embedded:segmenter_objects.pt"
    assert Path(located(settings).segmenter.weights).is_file()
    assert located(settings).inpainter == settings.inpainter
    assert locate("/data/w.pt") == "/data/w.pt" and locate("org/model") == "org/model"


@pytest.mark.parametrize("name", ["nothing.pt", "../scene.py"])
def test_a_model_that_does_not_come_with_the_project_is_refused(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="no model 'embedded:"):
        locate(f"embedded:{name}")
