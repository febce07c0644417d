"""Records: bad captions are marked, options and file names are checked; every source behaves the same."""

import hashlib
import json
from pathlib import Path

import pytest
import typer
from pyspark.sql import SparkSession
from rich.console import Console

from jobs import console
from jobs.settings import SettingsError
from jobs.sources import SourceError, records, source_name
from jobs.sources.paths import absolute, below, expand, locate
from jobs.sources.record import label_captions, record_id
from tests.support.source_files import captions_of, collect, images_folder, picture, write_json, write_tar  # noqa: F401  fixtures
from udfs.fetch.settings import IngestSettings

CAPTIONS = [
    ("A dog on a sofa.", "A dog on a sofa.", "ok"),
    ("", "", "empty"),
    (" \t\n", " \t\n", "empty"),
    ("\u200b\u200b", "\u200b\u200b", "empty"),
    ("x" * 10_000, "x" * 10_000, "too_long"),
    ("a \ud800 dog", "a \ufffd dog", "bad_text"),
    ("a \0 cat\x07\x85", "a \ufffd cat\ufffd\ufffd", "bad_text"),
    ("A  dog on\ta sofa. \n", "A  dog on\ta sofa. \n", "duplicate"),
    ("tab\tand\r\nlines", "tab\tand\r\nlines", "ok"),
    ("dogs 🐶👨‍👩‍👧 and cats", "dogs 🐶👨‍👩‍👧 and cats", "ok"),
    ("كلب على أريكة", "كلب على أريكة", "ok"),
    ("'; DROP TABLE images; --", "'; DROP TABLE images; --", "ok"),
    ("{{ 7*7 }} ${x} %s {0}", "{{ 7*7 }} ${x} %s {0}", "ok"),
]


@pytest.mark.parametrize("kind", ["coco", "folder", "flickr30k", "flickr30k_entities", "parquet", "webdataset"])
def test_bad_captions_are_marked_and_nothing_is_lost(spark: SparkSession, images: Path, tmp_path: Path, kind: str) -> None:
    texts = [caption for caption, _, _ in CAPTIONS]
    expected = [(str(index), text, status) for index, (_, text, status) in enumerate(CAPTIONS)]
    if kind == "coco":
        tree = {"images": [{"id": 1, "file_name": "a.png"}]}
        tree["annotations"] = [{"image_id": 1, "id": i, "caption": text} for i, text in enumerate(texts)]
        options = {"images": str(images), "captions": write_json(tmp_path / "captions_x.json", tree)}
    elif kind == "flickr30k":
        tree = {"images": [{"filename": "a.png", "sentences": [{"raw": text} for text in texts]}]}
        options = {"images": str(images), "captions": write_json(tmp_path / "dataset.json", tree)}
    elif kind == "flickr30k_entities":
        row = {"file": "a.png", "entities": {}, "sentences": [{"text": text, "phrases": []} for text in texts]}
        options = {"images": str(images), "entities": write_json(tmp_path / "entities.jsonl", row)}
    elif kind == "folder":
        lines = [json.dumps({"file": "a.png", "caption": text}) for text in texts]
        (tmp_path / "t.jsonl").write_text("\n".join(lines))
        options = {"images": str(images), "captions": str(tmp_path / "t.jsonl")}
    elif kind == "parquet":  # cannot hold surrogates
        texts = [text.replace("\ud800", "\0") for text in texts]
        row = spark.createDataFrame([(picture(), texts)], "image binary, caption array<string>")
        row.write.parquet(str(tmp_path / "p"))
        options = {"files": str(tmp_path / "p")}
    else:
        write_tar(tmp_path / "x.tar", {"a.png": picture(), "a.json": json.dumps({"caption": texts}).encode()})
        options = {"files": str(tmp_path / "x.tar")}
    (record,) = collect(records(spark, kind, options)).values()
    assert captions_of(record) == expected
    assert record["status"] == "ok"
    assert record["record_id"] == record_id(record["source"], record["source_key"], texts)


def test_caption_ids_are_unique_and_the_limit_is_a_setting() -> None:
    captions = [("7", "one"), ("7", "two"), (None, "three"), ("7#1", "four"), (None, None)]
    ids = [caption["caption_id"] for caption in label_captions(captions, 3)]
    assert ids == ["7", "7#1", "2", "7#1#3", "4"]
    assert [caption["status"] for caption in label_captions(captions, 3)] == ["ok", "ok", "too_long", "too_long", "empty"]


def test_a_record_id_is_the_hash_of_canonical_json() -> None:
    text = '["s","k\\u00fc",["a \\ud800"]]'
    assert record_id("s", "kü", ["a \ud800"]) == hashlib.sha256(text.encode()).hexdigest()


def test_pair_makes_a_record_of_each_distinct_caption(spark: SparkSession, images: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,caption\na.png,one\na.png,two\na.png, one\na.png,\na.png,\n")
    options = {"images": str(images), "captions": str(tmp_path / "t.csv")}
    rows = records(spark, "csv", options | {"record": "pair"}).collect()
    captions_by_record = sorted([tuple(caption) for caption in row["captions"]] for row in rows)
    assert captions_by_record == [
        [("0", "one", "ok"), ("2", " one", "duplicate")],
        [("1", "two", "ok")],
        [("3", "", "empty"), ("4", "", "empty")],
    ]
    assert sorted(row["status"] for row in rows) == ["no_caption", "ok", "ok"]
    assert len({row["record_id"] for row in rows}) == 3
    (image_record,) = records(spark, "csv", options, IngestSettings(max_caption_chars=2)).collect()
    assert [caption["status"] for caption in image_record["captions"][:2]] == ["too_long", "too_long"]


def test_options_are_checked_before_anything_is_read(spark: SparkSession, images: Path, tmp_path: Path) -> None:
    file = write_json(tmp_path / "captions.json", {})
    for kind, options, expected in [
        ("cocoa", {}, "no source 'cocoa': there are coco, flickr30k"),
        ("coco", {"images": str(images)}, "needs captions"),
        ("coco", {"images": str(images), "captions": file, "instance": "x"}, "nearest known one is 'instances'"),
        ("coco", {"images": str(tmp_path / "nodir"), "captions": file}, "nodir does not exist"),
        ("coco", {"images": str(images), "captions": "nosuchprotocol://x"}, "cannot be opened"),
        ("coco", {"images": str(images), "captions": file, "record": "both"}, "must be image or pair"),
        ("folder", {"images": str(images), "captions": file, "delimiter": "||"}, "one character"),
    ]:
        with pytest.raises(SourceError, match=expected):
            records(spark, kind, options)


def test_a_source_is_named_by_what_it_reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    name = source_name("coco", {"images": "images/", "captions": "c.json"})
    assert name == source_name("coco", {"images": f"{tmp_path}/images", "captions": "c.json", "record": "pair"})
    assert name != source_name("coco", {"images": "images", "captions": "d.json"})
    assert name.startswith("coco:")
    assert source_name("coco", {"images": "i", "captions": "c", "source": "mine"}) == "mine"


@pytest.mark.parametrize(
    ("root", "name", "path"),
    [
        ("/d", "a/b [1].jpg", "/d/a/b [1].jpg"),
        ("/d", "/d/a.jpg", "/d/a.jpg"),
        ("/d", "..a.jpg", "/d/..a.jpg"),
        ("/", "a.jpg", "/a.jpg"),
        ("s3://b/d", "a.jpg", "s3://b/d/a.jpg"),
        ("s3://b/d", "s3://b/d/a.jpg", "s3://b/d/a.jpg"),
        ("/d", "../a.jpg", None),
        ("/d", "x/../../a.jpg", None),
        ("/d", "..\\a.jpg", None),
        ("/d", "/dd/a.jpg", None),
        ("/d", "/d//etc/passwd", None),
        ("/d", "/d/../a.jpg", None),
        ("/d", "http://host/a.jpg", None),
        ("/d", "a::http://host/a.jpg", None),
        ("http://h/d", "%2e%2e/a.jpg", None),
        ("s3://b/d", "s3://other/a.jpg", None),
        ("/d", "a\0.jpg", None),
        ("/d", "a\ud800.jpg", None),
        ("/d", "folder/", None),
        ("/d", " ", None),
    ],
)
def test_a_file_name_cannot_leave_its_folder(root: str, name: str, path: str | None) -> None:
    assert locate(root, name) == path


def test_a_link_cannot_leave_the_folder(tmp_path: Path) -> None:
    real, outside = tmp_path / "real", tmp_path / "outside"
    for folder in (real / "sub", outside):
        folder.mkdir(parents=True)
        (folder / "a.jpg").touch()
    root = tmp_path / "linked root"
    root.symlink_to(real)
    for name, target in {"in.jpg": "sub/a.jpg", "in": "sub", "out.jpg": outside / "a.jpg", "out": outside, "gone": "/x"}.items():
        (root / name).symlink_to(target)
    for start in (str(root), f"file://{root}"):
        for name in ("sub/a.jpg", "in.jpg", "in/a.jpg", "none.jpg", "sub/a\\b.jpg"):
            assert locate(start, name) == f"{start}/{name}"
            assert locate(start, f"{start}/{name}") == f"{start}/{name}"
        for name in ("out.jpg", "out/a.jpg", "gone", f"{start}/out.jpg"):
            assert locate(start, name) is None


def test_a_table_with_a_link_that_leaves_the_folder_has_a_row_for_it(spark: SparkSession, images: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(picture())
    (images / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "t.csv").write_text("file,caption\na.png,one\nlink.png,two\n")
    by_key = collect(records(spark, "csv", {"images": str(images), "captions": str(tmp_path / "t.csv")}))
    assert {key: row["status"] for key, row in by_key.items()} == {"a.png": "ok", "link.png": "unsafe_path"}
    assert "a link that leads out of it" in by_key["link.png"]["error"]


@pytest.mark.parametrize(
    ("pattern", "file", "name"),
    [
        ("/d/0.tar", "/d/0.tar", "0.tar"),
        ("/d", "/d/0.tar", "0.tar"),
        ("/d/*.tar", "/d/0.tar", "0.tar"),
        ("/d/s-{000..001}.tar", "/d/s-001.tar", "s-001.tar"),
        ("/d/*/0.tar", "/d/train/0.tar", "train/0.tar"),
        ("/d/{train,val}/0.tar", "/d/val/0.tar", "val/0.tar"),
        ("/d", "/d/split=val/0.parquet", "split=val/0.parquet"),
        ("/d/tr[ab]in/?.tar", "/d/train/0.tar", "train/0.tar"),
        ("/d [1]/0.tar", "/d [1]/0.tar", "0.tar"),
        ("/d [1]", "/d [1]/0.tar", "0.tar"),
        ("/d \\[1\\]/*", "/d [1]/x/0.parquet", "x/0.parquet"),
        ("/*.tar", "/0.tar", "0.tar"),
        ("/d/*", "file:///d/x/0.parquet", "x/0.parquet"),
        ("/d/*", "hdfs://node:8020/d/x/0.parquet", "x/0.parquet"),
        ("s3a://bucket/*", "s3a://bucket/x/0.parquet", "x/0.parquet"),
        ("dbfs:/d/*", "dbfs:/d/x/0.parquet", "x/0.parquet"),
        ("/link/*", "/elsewhere/x/0.tar", "/elsewhere/x/0.tar"),
    ],
)
def test_a_file_is_named_below_the_fixed_folder_of_its_pattern(pattern: str, file: str, name: str) -> None:
    assert below(pattern, file) == name


def test_paths_of_a_source(tmp_path: Path) -> None:
    for name in ("b.tar", "a.tar", "c.txt"):
        (tmp_path / name).touch()
    assert expand(str(tmp_path), ".tar") == [str(tmp_path / "a.tar"), str(tmp_path / "b.tar")]
    assert absolute("s3://bucket/dir/") == "s3://bucket/dir"
    assert absolute("dbfs:/x") == "dbfs:/x"
    with pytest.raises(SourceError, match="chained"):
        absolute("zip://a.zip::s3://b")


@pytest.mark.parametrize(
    ("kind", "option", "address"),
    [
        ("folder", "images", "ftp://me:hunter2@host/images"),
        ("csv", "captions", "https://hunter2@host/captions.csv"),
        ("flickr30k_entities", "boxes", "ftp://me:hunter2@host/Annotations"),
        ("parquet", "files", "s3a://AKIA:hunter2/x@bucket/*.parquet"),
        ("webdataset", "files", "https://host/{000..012}.tar?X-Amz-Signature=hunter2"),
    ],
)
def test_an_address_with_a_secret_is_refused(spark: SparkSession, kind: str, option: str, address: str) -> None:
    """Records keep locators, errors quote them, and Delta's log keeps the least and the greatest of them."""
    options = (
        {"images": "/images", "captions": "/captions.csv"}
        if kind in ("csv", "folder")
        else {"images": "/images"}
        if kind == "flickr30k_entities"
        else {}
    )
    with pytest.raises(SourceError, match="in the environment") as refused:
        records(spark, kind, {**options, option: address})
    assert "hunter2" not in str(refused.value)
    with pytest.raises(SettingsError, match="in the environment") as refused_root:
        console.absolute(address)
    assert "hunter2" not in str(refused_root.value)


def test_no_line_of_the_console_has_a_secret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "out", Console(soft_wrap=True))
    monkeypatch.setattr(console, "err", Console(soft_wrap=True, stderr=True))
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        console.log("reading ftp://me:hunter2@host/a.jpg")
        raise SourceError("no ftp://me:hunter2@host/a.jpg")

    with pytest.raises(SystemExit):
        console.run_app(app, [])
    printed = capsys.readouterr()
    assert printed.out.endswith("ftp://host/a.jpg\n") and printed.err.endswith("ftp://host/a.jpg\n")


def test_sources_are_read_through_fsspec() -> None:
    import fsspec

    from jobs.sources.flickr30k import parse_tokens

    with fsspec.open("memory://notes/results.token", "w") as file:
        file.write("a.jpg#0\tfrom afar\n")
    assert [line.captions for _, line in parse_tokens("memory://notes/results.token")] == [[("0", "from afar")]]
