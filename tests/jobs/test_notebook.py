"""The quick start notebook runs unchanged, cell by cell, in the existing Spark session."""

from pathlib import Path

import pytest
from PIL import Image

from jobs.demo import photographs as demo
from tests.support.originals import REPOSITORY

NOTEBOOK = REPOSITORY / "notebooks" / "quick_start.py"


def run_notebook(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setenv("DUALSET_ROOT", str(root))
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert text.startswith("# Databricks notebook source\n")
    names: dict[str, object] = {}
    for cell in text.split("# COMMAND ----------"):
        exec(compile(cell, str(NOTEBOOK), "exec"), names)
    return names


def test_quick_start(spark: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # Two of the seven photographs are enough here.
    real = demo.installed
    monkeypatch.setattr(demo, "installed", lambda name: real(name) if name.endswith(("coffee.png", "chelsea.png")) else None)
    names = run_notebook(tmp_path, monkeypatch)
    assert "2 new records" in capsys.readouterr().out
    assert names["families"] == 1, "the cat fills its picture, the coffee is a family"
    pairs = {(tuple(row["removed"]), row["caption"]) for row in names["kept"].collect()}  # type: ignore[attr-defined]
    assert (("spoon",), "A cup of coffee on a red saucer.") in pairs
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 4 * 220, "original, cup, spoon, both"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "demo", "locks", "sheet.png", "tables"]


def test_the_demo_says_which_photographs_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = demo.installed
    monkeypatch.setattr(demo, "installed", lambda name: None if name.startswith("ultralytics/") else real(name))
    options, missing = demo.lay_out(str(tmp_path))
    assert missing == ["ultralytics/assets/bus.jpg", "ultralytics/assets/zidane.jpg"]
    assert "bus.jpg" not in (tmp_path / "captions.json").read_text()
    assert (Path(options["images"] or "") / "skimage/data/coffee.png").is_file()
