"""The README's picture, drawn by the models that come with the project."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from jobs.look import lattice_picture
from jobs.look.lattice_picture import Cell, Family, NoFamily, draw, make_family
from jobs.settings import load_settings


def test_a_scene_becomes_a_family_with_every_dual_image_and_text() -> None:
    family = make_family(load_settings("embedded"), "objects", 990, 298, 128)
    assert family.labels == ["bottle", "banana", "cup"]
    assert [cell.subset for cell in family.cells] == list(range(8))
    texts = [cell.text for cell in family.cells]
    assert texts[0] == "There is a blue banana with a white cup and a bottle on the road"
    assert texts[0b101] == "There is a blue banana on the road"
    assert len({cell.image for cell in family.cells}) == 8


def test_a_scene_without_three_components_says_which_it_has() -> None:
    with pytest.raises(NoFamily, match="scene 0 has . components"):
        make_family(load_settings("embedded"), "objects", 990, 0, 128)


def test_the_picture_has_two_lines_of_four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "grey.png"
    Image.new("RGB", (64, 64), (128, 128, 128)).save(file)
    family = Family(["a", "b", "c"], [[], [], []], [Cell(subset, file.read_bytes(), "a text") for subset in range(8)])
    assert draw(family).width == 830
    monkeypatch.setattr(lattice_picture, "make_family", lambda *_: family)
    app = lattice_picture.typer.Typer()
    app.command()(lattice_picture.main)
    result = CliRunner().invoke(app, ["--output", str(tmp_path / "lattice.png")])
    assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "lattice.png").width == 830
