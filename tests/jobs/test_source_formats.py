"""Flickr30k, tables, Parquet and WebDataset become the same records."""

import csv
import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.sources import SourceError, folder, records, webdataset
from jobs.sources.parquet import bytes_of
from jobs.sources.record import Origin
from tests.support.source_files import (  # noqa: F401  fixtures
    captions_of,
    collect,
    error_of,
    images_folder,
    picture,
    write_json,
    write_tar,
)
from udfs.fetch.locator import read_bytes as fetch


def test_flickr30k_tokens_and_karpathy(spark: SparkSession, images: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "results.token"
    tokens.write_bytes(b"a.png#0\tOne \xe2\x80\xa8 line\r\nb.png#0\tB\na.png#1\tTwo\tparts\n\na.png#2\tbad \xff byte\n")
    by_key = collect(records(spark, "flickr30k", {"images": str(images), "captions": str(tokens), "split": "all"}))
    assert captions_of(by_key["a.png"]) == [
        ("0", "One \u2028 line", "ok"),
        ("1", "Two\tparts", "ok"),
        ("2", "bad \ufffd byte", "bad_text"),
    ]
    assert (by_key["b.png"]["split"], by_key["b.png"]["annotations"]) == ("all", None)

    tree = {
        "dataset": "coco",
        "images": [
            {"filename": "a.png", "filepath": ".", "split": "restval", "sentences": [{"raw": "A.", "sentid": 7}]},
            {"filename": "b.png", "split": "test", "sentences": []},
        ],
    }
    options = {"images": str(images), "captions": write_json(tmp_path / "dataset_coco.json", tree)}
    by_key = collect(records(spark, "flickr30k", options))
    assert captions_of(by_key["./a.png"]) == [("7", "A.", "ok")]
    assert fetch(by_key["./a.png"]["locator"], 1000) == picture("red")
    assert (by_key["b.png"]["split"], by_key["b.png"]["status"]) == ("test", "no_caption")

    tokens.write_text("a.png#0\tfine\na.png no tab\n")
    message = error_of(lambda: records(spark, "flickr30k", {"images": str(images), "captions": str(tokens)}))
    assert f"{tokens}: line 2 is not" in message


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_folder_with_a_table(spark: SparkSession, images: Path, tmp_path: Path, suffix: str) -> None:
    rows = [
        {"name": "c [1].png", "text": 'says "hi", twice\nover', "split": "train", "license": "CC0"},
        {"name": "a.png", "text": "red", "split": "", "license": ""},
        {"name": "c [1].png", "text": "green", "split": "train", "license": ""},
        {"name": "/etc/passwd", "text": "x", "split": "", "license": ""},
        {"name": "none.png", "text": "not there", "split": "", "license": ""},
    ]
    table = tmp_path / f"table{suffix}"
    with table.open("w", newline="", encoding="utf-8-sig") as file:
        if suffix == ".jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    options = {"images": str(images), "captions": str(table), "file_column": "name", "caption_column": "text"}
    by_key = collect(records(spark, "folder", options))
    green = by_key["c [1].png"]
    assert captions_of(green) == [("0", 'says "hi", twice\nover', "ok"), ("1", "green", "ok")]
    assert (green["split"], green["license"], by_key["a.png"]["split"]) == ("train", "CC0", None)
    assert fetch(green["locator"], 1000) == picture("green")
    assert (by_key["/etc/passwd"]["status"], by_key["/etc/passwd"]["locator"]) == ("unsafe_path", None)
    assert by_key["none.png"]["status"] == "ok"  # a missing file is noticed only when it is opened


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "file,caption\n,one\na.png,x\n,two\n ,one\n"),
        ("t.tsv", "file\tcaption\n\tone\na.png\tx\n\ttwo\n \tone\n"),
        (
            "t.jsonl",
            '\n{"file": "", "caption": "one"}\n{"file": "a.png", "caption": "x"}\n{"file": "", "caption": "two"}\n'
            '{"file": " ", "caption": "one"}\n',
        ),
    ],
)
def test_rows_without_a_file_name_are_each_a_record(
    spark: SparkSession, images: Path, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    by_key = collect(records(spark, "folder", {"images": str(images), "captions": str(tmp_path / name)}))
    assert {key: (row["status"], captions_of(row)) for key, row in by_key.items()} == {
        f"{name}:2": ("unsafe_path", [("0", "one", "ok")]),
        "a.png": ("ok", [("0", "x", "ok")]),
        f"{name}:4": ("unsafe_path", [("0", "two", "ok")]),
        f"{name}:5": ("unsafe_path", [("0", "one", "ok")]),
    }


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("t.csv", "", "is empty"),
        ("t.csv", "image,caption\na.png,x\n", "has no column 'file'; it has image, caption"),
        ("t.csv", "file,caption\na.png,x\na.png\n", "line 3 has 1 fields where the header has 2"),
        ("t.csv", 'file,caption\na.png,"never closed\nb.png,x\n', "unexpected end of data"),
        ("t.jsonl", '{"file": "a.png", "caption": "x"}\n{"file":\n', "line 2 is not JSON"),
        ("t.jsonl", '{"file": "a.png"}\n', "line 1 has no column 'caption'"),
        ("t.jsonl", '{"file": "a.png", "caption": 3}\n', "must be text"),
        ("t.jsonl", '{"file": null, "caption": "x"}\n', "must be text"),
        ("t.jsonl", "[1]\n", "must be a JSON object"),
    ],
)
def test_a_malformed_table_is_one_clear_error(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError) as caught:
        list(folder.parse(str(tmp_path / name), {}))
    assert str(tmp_path / name) in str(caught.value)
    assert expected in str(caught.value)


def test_parquet_bytes_are_joined_by_file_and_row(spark: SparkSession, tmp_path: Path) -> None:
    files = tmp_path / "with space %20 [x]#{y}"
    rows = [(picture(colour), f"a {colour} picture", index, "test") for index, colour in enumerate(["red", "blue", "lime"])]
    table = spark.createDataFrame(rows, "image binary, caption string, id int, split string")
    table.selectExpr("struct(image as bytes, 'x' as path) as image", "caption", "id", "split").coalesce(1).write.parquet(
        str(files)
    )
    pattern = str(tmp_path / "with space*")
    frame = records(spark, "parquet", {"files": pattern, "key_column": "id"})
    by_key = collect(frame)
    assert by_key == collect(frame)
    assert captions_of(by_key["1"]) == [("0", "a blue picture", "ok")]
    assert {row["split"] for row in by_key.values()} == {"test"}

    locators = [row["locator"] for row in by_key.values()]
    (column,) = {locator["member"] for locator in locators}
    joined = bytes_of(spark, sorted({locator["path"] for locator in locators}), column)
    data = {(row["path"], row["row"]): bytes(row["image"]) for row in joined.collect()}
    for index, colour in enumerate(["red", "blue", "lime"]):
        locator = by_key[str(index)]["locator"]
        assert data[locator["path"], locator["offset"]] == picture(colour)

    unnamed = collect(records(spark, "parquet", {"files": pattern}))  # keys are file and row
    assert len(unnamed) == 3
    assert all(key.endswith((":0", ":1", ":2")) for key in unnamed)


def test_files_with_the_same_name_in_two_folders_are_different_images(spark: SparkSession, tmp_path: Path) -> None:
    colours = {"train": "red", "val": "blue"}
    for split, colour in colours.items():
        split_folder = tmp_path / "d [1]" / split
        split_folder.mkdir(parents=True)
        spark.createDataFrame([(picture(colour), "A dog.")], "image binary, caption string").coalesce(1).write.parquet(
            str(tmp_path / "made" / split)
        )
        (part_file,) = (tmp_path / "made" / split).glob("*.parquet")
        part_file.rename(split_folder / "0.parquet")
        write_tar(split_folder / "0.tar", {"a.png": picture(colour), "a.txt": b"A dog."})
    by_key = collect(records(spark, "parquet", {"files": f"{tmp_path}/d \\[1\\]/*/*.parquet"}))
    assert by_key.keys() == {"train/0.parquet:0", "val/0.parquet:0"}
    only_val = collect(records(spark, "parquet", {"files": f"{tmp_path}/d \\[1\\]/val/*.parquet"}))
    assert only_val.keys() == {"0.parquet:0"}
    by_key = collect(records(spark, "webdataset", {"files": f"{tmp_path}/d*/*/0.tar"}))
    assert {key: fetch(row["locator"], 1000) for key, row in by_key.items()} == {
        f"d [1]/{split}/0.tar/a.png": picture(colour) for split, colour in colours.items()
    }
    assert collect(records(spark, "webdataset", {"files": f"{tmp_path}/d [1]/val/0.tar"})).keys() == {"0.tar/a.png"}


def test_parquet_with_a_path_column(spark: SparkSession, images: Path, tmp_path: Path) -> None:
    rows = [("a.png", "one"), ("b.png", None), ("a.png", "two"), (f"{images}/b.png", "by its full path"), ("../x", "no")]
    rows += [("", "nameless"), (" ", "nameless, too")]
    spark.createDataFrame(rows, "file string, caption string").coalesce(1).write.parquet(str(tmp_path / "p"))
    options = {"files": str(tmp_path / "p"), "path_column": "file", "images": str(images)}
    by_key = collect(records(spark, "parquet", options))
    assert captions_of(by_key["a.png"]) == [("0", "one", "ok"), ("1", "two", "ok")]
    assert (by_key["b.png"]["captions"], by_key["b.png"]["status"]) == ([], "no_caption")
    assert by_key["../x"]["status"] == "unsafe_path"
    nameless = {key.rpartition(".parquet")[2]: captions_of(row)[0][1] for key, row in by_key.items() if ".parquet:" in key}
    assert nameless == {":5": "nameless", ":6": "nameless, too"}
    assert fetch(by_key[f"{images}/b.png"]["locator"], 1000) == picture("blue")


def test_a_malformed_parquet_file_is_an_error_before_a_row_is_read(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(1).selectExpr("'x' as image", "id as caption", "'c' as text").write.parquet(str(tmp_path / "p"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no parquet PAR1")
    base = {"files": str(tmp_path / "p"), "caption_column": "text"}
    for options, expected in [
        ({"files": str(tmp_path / "none")}, "none"),
        ({"files": str(tmp_path / "broken.parquet")}, "broken.parquet"),
        ({"files": str(tmp_path / "p")}, "column 'caption' must be text"),
        (base, "column 'image' must be binary"),
        (base | {"key_column": "nokey"}, "no column 'nokey'; there are image, caption, text"),
        (base | {"path_column": "image"}, "needs images"),
    ]:
        with pytest.raises(SourceError, match=expected):
            records(spark, "parquet", options)


def test_webdataset_shards(spark: SparkSession, tmp_path: Path) -> None:
    about = {"caption": None, "captions": ["one", "two"], "license": "CC0", "split": "train"}
    long_name = "x" * 150 + "/b.PNG"  # longer than a plain header holds
    write_tar(tmp_path / "s-000.tar", {"a.png": picture("red"), "a.txt": b"A red one.", "a.cls": b"3"})
    write_tar(
        tmp_path / "s-001.tar",
        {
            "a.png": picture("blue"),  # the same name in another shard is another image
            long_name: picture("lime"),
            "c.png": picture(),
            "alone.txt": b"no image",
            "index.cls": b"no sample",
            long_name.replace("PNG", "json"): json.dumps(about).encode(),
            "a.txt": b"A blue one, far from its image. \xff",
            "c.json": b"{broken",
        },
    )
    by_key = collect(records(spark, "webdataset", {"files": str(tmp_path / "s-{000..001}.tar")}))
    assert {key: row["status"] for key, row in by_key.items()} == {
        "s-000.tar/a.png": "ok",
        "s-001.tar/a.png": "no_caption",
        f"s-001.tar/{long_name}": "ok",
        "s-001.tar/c.png": "no_caption",
        "s-001.tar/alone.txt": "missing_file",
    }
    assert captions_of(by_key["s-001.tar/a.png"])[0][2] == "bad_text"
    lime = by_key[f"s-001.tar/{long_name}"]
    assert captions_of(lime) == [("0", "one", "ok"), ("1", "two", "ok")]
    assert (lime["license"], lime["split"]) == ("CC0", "train")
    assert "not a JSON object" in by_key["s-001.tar/c.png"]["error"]
    for key, colour in (("s-000.tar/a.png", "red"), ("s-001.tar/a.png", "blue"), (f"s-001.tar/{long_name}", "lime")):
        assert fetch(by_key[key]["locator"], 1000) == picture(colour)


def test_broken_tars_are_one_clear_error(spark: SparkSession, tmp_path: Path) -> None:
    members = {"a.png": picture(), "a.txt": b"a", "b.png": picture(), "b.txt": b"b"}
    write_tar(tmp_path / "z.tar", members, "w:gz")
    write_tar(tmp_path / "ok.tar", members)
    intact = (tmp_path / "ok.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(intact[:600])
    (tmp_path / "text.tar").write_text("no tar" * 200)
    (tmp_path / "hole.tar").write_bytes(intact[:2048] + b"\xff" * 512 + intact[2560:])  # where b.png's header was
    for name, expected in [
        ("z.tar", "is compressed"),
        ("cut.tar", "no tar, or is truncated"),
        ("text.tar", "no tar"),
        ("hole.tar", "header at byte 2048 is broken"),
    ]:
        with pytest.raises(SourceError, match=f"{name}.*{expected}"):
            list(webdataset.parse(str(tmp_path / name), name, ("caption",), Origin("s")))
    with pytest.raises(SourceError, match="names no file"):
        records(spark, "webdataset", {"files": str(tmp_path / "none*.tar")})
