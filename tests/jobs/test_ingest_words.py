"""What ``dualset ingest`` says of what it has taken: why nothing is new, what goes no further, and what was left out."""

import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs import cli
from jobs.ingest import arrived
from tests.support.source_files import picture, write_tar


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({}, "0 new records from s: all its records are known already"),
        ({"ok": 3}, "3 new records from s"),
        ({"ok": 6, "unsafe_path": 1, "no_caption": 4}, "11 new records from s; 6 go on, and not 4 no_caption, 1 unsafe_path"),
        ({"missing_file": 2}, "2 new records from s; 0 go on, and not 2 missing_file"),
    ],
)
def test_the_line_accounts_for_every_record(counts: dict[str, int], line: str) -> None:
    assert arrived(counts, "s") == line


def test_ingest_says_why(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["dualset"])
    root = ["--root", str(tmp_path / "root"), "--profile", "annotations"]

    def lines(tar: str, code: int = 0) -> list[str]:
        with pytest.raises(SystemExit) as end:
            cli.main(["ingest", "webdataset", "--files", str(tmp_path / tar), "--source", "s", *root])
        said = capsys.readouterr()
        assert end.value.code == code, said.err
        return (said.err if code else said.out).splitlines()

    write_tar(tmp_path / "none.tar", {"a.cls": b"1", "b.cls": b"2"})
    (line,) = lines("none.tar", code=1)
    assert not (tmp_path / "root").exists(), "nothing is written"
    assert line.startswith("dualset: the source has no record; 2 members of tars are no image")

    write_tar(tmp_path / "x.tar", {"a.png": picture(), "a.txt": b"A dog.", "b.txt": b"A cat.", "c.png": picture(), "d.cls": b"3"})
    first, note, batch, _ = lines("x.tar")
    assert first == "3 new records from s; 1 go on, and not 1 missing_file, 1 no_caption"
    assert note.startswith("  1 members of tars are no image") and note.endswith("such as x.tar/d.cls")
    assert ": 1 in" in batch
    again, *_ = lines("x.tar")
    assert again == "0 new records from s: all its records are known already"
