"""Quotation marks in tables, and tables that are not UTF-8: one record a line, or an error that says what to do."""

import csv
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.sources import SourceError, folder, records
from jobs.sources.flickr30k import parse_tokens
from jobs.sources.notes import Notes
from jobs.sources.paths import load_json
from tests.support.source_files import collect, error_of, images_folder  # noqa: F401  fixture

QUOTES = ['"stop', 'the sign says "', '"Stop" says the sign', 'says "hi"', '"', "plain", '5" and 6"']


def read(file: Path, options: dict[str, str] | None = None) -> list[tuple[str, str | None]]:
    return [(line.name, text) for _, line in folder.parse(str(file), options or {}) for _, text in line.captions]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_in_a_tsv_a_quotation_mark_at_an_end_is_text(tmp_path: Path, mark: str, end: str) -> None:
    pairs = [(f"{i}.png", text) for i, text in enumerate(QUOTES)]
    lines = [f"{mark}file\tcaption", *(f"{name}\t{text}" for name, text in pairs), "", ""]
    (tmp_path / "t.tsv").write_bytes(end.join(lines).encode())
    assert read(tmp_path / "t.tsv") == pairs
    assert read(tmp_path / "t.tsv", {"quoting": "none"}) == pairs
    (tmp_path / "t.csv").write_bytes((tmp_path / "t.tsv").read_bytes())
    assert read(tmp_path / "t.csv", {"delimiter": "\t"}) == pairs


@pytest.mark.parametrize("extra", [[], ["two\nlines"], ['ends "two\n"', "tab\tand\tmore"]])
def test_what_a_csv_writer_quotes_in_a_tsv_is_unquoted(tmp_path: Path, extra: list[str]) -> None:
    pairs = [(f"{i}.png", text) for i, text in enumerate([*QUOTES, *extra])]
    with (tmp_path / "t.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([("file", "caption"), *pairs])
    assert read(tmp_path / "t.tsv") == pairs


def test_quoting_none_takes_every_line_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('file,caption\na.png,"stop\nb.png,the sign says "\nc.png,"go"\n')
    assert read(tmp_path / "t.csv", {"quoting": "none"}) == [("a.png", '"stop'), ("b.png", 'the sign says "'), ("c.png", '"go"')]
    (tmp_path / "t.tsv").write_text('file\tcaption\nc.png\t"go"\n')
    assert read(tmp_path / "t.tsv") == read(tmp_path / "t.tsv", {"quoting": "csv"}) == [("c.png", "go")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'file,caption\na.png,"Stop" says the sign\n'),
        ("t.csv", 'file,caption\na.png,"never closed\nb.png,x\n'),
        ("t.tsv", 'file\tcaption\na.png\t"stop\nb.png\tsays "\nbroken\n'),
    ],
)
def test_an_error_of_quotation_marks_says_what_to_do(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=rf"{name}: line \d+.*if quotation marks are text in this file, give --quoting none"):
        read(tmp_path / name)


def test_rows_that_take_several_lines_are_told(spark: SparkSession, images: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text('file,caption\na.png,"stop\nb.png,the sign says "\nb.png,x\n')
    notes = Notes(spark)
    options = {"images": str(images), "captions": str(table)}
    assert collect(records(spark, "csv", options, notes=notes)).keys() == {"a.png", "b.png"}
    (line,) = notes.lines()
    assert line.startswith("1 captions in quotation marks go on over several lines") and f"line 3 of {table}" in line
    assert "csv or none, not 'all'" in error_of(lambda: records(spark, "csv", options | {"quoting": "all"}))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_utf_16_file_is_one_clear_error(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "t.tsv"
    file.write_text('{"file"\tcaption\na.png\tA dog.\n', encoding=encoding)
    for read_file in (lambda: read(file), lambda: list(parse_tokens(str(file))), lambda: load_json(str(file))):
        with pytest.raises(SourceError) as caught:
            read_file()
        assert f"{file} is " in str(caught.value)
        assert encoding == "utf-32" or "UTF-16" in str(caught.value)
