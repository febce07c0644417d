"""``dualset lexicon``: what it reads classes and captions from, and what it says of files that hold none."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from jobs.cli import app
from jobs.lexicon import ClassesError, captions_of_file, names_of_file
from udfs.errors import DualsetError


def test_make_then_check(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("trombone\n\nside table\n")
    (tmp_path / "captions.txt").write_text("A trombone on a side table.\nA flugelhorn.\nA guitar.\nA guitar.\n")
    made = CliRunner().invoke(
        app, ["lexicon", "make", "--classes", str(tmp_path / "classes.txt"), "--output", str(tmp_path / "mine.yaml")]
    )
    assert made.exit_code == 0, made.output
    assert list(yaml.safe_load((tmp_path / "mine.yaml").read_text())["labels"]) == ["trombone", "side table"]
    options = ["--captions", str(tmp_path / "captions.txt"), "--lexicon", str(tmp_path / "mine.yaml")]
    checked = CliRunner().invoke(app, ["lexicon", "check", *options])
    assert [" ".join(line.split()) for line in checked.stdout.splitlines()] == [
        "2 guitar names nothing A guitar.",
        "1 flugelhorn may be anything A flugelhorn.",
    ]
    shorter = CliRunner().invoke(app, ["lexicon", "check", *options, "--limit", "1"])
    assert shorter.stdout.splitlines()[1:] == ["and 1 more"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "\ufeffdog\ncat\n"),
        ("data.yaml", "names: [dog, cat]\n"),
        ("data.yml", "names:\n  1: cat\n  0: dog\n"),
        ("instances.json", json.dumps({"categories": [{"id": 2, "name": "cat"}, {"id": 1, "name": "dog"}]})),
    ],
)
def test_classes_come_from_several_formats(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert names_of_file(tmp_path / name) == ["dog", "cat"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "nc: 2\n"),
        ("data.yaml", "[\n"),
        ("data.yaml", "names: [1, 2]\n"),
        ("x.json", "[]"),
        ("x.json", "{"),
        ("x.yaml", ""),
    ],
)
def test_a_file_without_classes_is_one_line(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DualsetError, match=name):
        names_of_file(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.txt", "A dog.\n\nA cat.\n"),
        ("c.csv", "file,caption\na.png,A dog.\nb.png,A cat.\n"),
        ("c.tsv", "file\tcaption\na.png\tA dog.\nb.png\tA cat.\n"),
        ("c.jsonl", '{"caption": "A dog."}\n{"captions": ["A cat."]}\n'),
        ("c.json", json.dumps({"annotations": [{"caption": "A dog."}, {"caption": "A cat."}]})),
    ],
)
def test_captions_come_from_several_formats(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert list(captions_of_file(tmp_path / name)) == ["A dog.", "A cat."]


@pytest.mark.parametrize(("name", "text"), [("c.jsonl", '{"text": "A dog."}\n'), ("c.json", "{}"), ("c.csv", "file\na.png\n")])
def test_a_file_without_captions_is_one_line(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DualsetError, match="caption"):
        list(captions_of_file(tmp_path / name))


def test_classes_or_weights() -> None:
    for arguments in ([], ["--classes", "a", "--weights", "b"]):
        result = CliRunner().invoke(app, ["lexicon", "make", *arguments])
        assert isinstance(result.exception, ClassesError)


def test_the_weights_that_come_with_the_project_name_their_classes(tmp_path: Path) -> None:
    weights = Path(__file__).parents[2] / "udfs" / "embedded" / "segmenter_objects.pt"
    result = CliRunner().invoke(app, ["lexicon", "make", "--weights", str(weights)])
    assert len(yaml.safe_load(result.stdout)["labels"]) == 28
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"no weights")
    failed = CliRunner().invoke(app, ["lexicon", "make", "--weights", str(bad)])
    assert isinstance(failed.exception, ClassesError)
