"""Parquet files that are damaged, hold no image, or lie beside other files: only their rows fail, each with a reason."""

import io
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import ingest
from jobs.chain import fresh_from, run_chain
from jobs.engine.stream import Batch, Run
from jobs.sources import records
from jobs.sources.notes import Notes
from jobs.sources.parquet import bytes_of
from tests.support import roots
from tests.support.source_files import collect, error_of
from udfs.fetch.parquet_file import split_name


def picture_of(number: int) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((96, 64), number + 1).convert("RGB").save(out, "PNG")
    return out.getvalue()


def write(file: Path, rows: int, column: str = "image", first: int = 0) -> Path:
    file.parent.mkdir(exist_ok=True)
    data = {column: [picture_of(first + i) for i in range(rows)], "caption": [f"A dog, {file.name} {i}." for i in range(rows)]}
    pq.write_table(pa.table(data), file, row_group_size=rows)
    return file


def damage(file: Path, column: int = 0, byte: int = 0) -> None:
    """Overwrite part of a column's first page, from its header on."""
    chunk = pq.read_metadata(file).row_group(0).column(column)
    start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    data = bytearray(file.read_bytes())
    data[start + byte : start + byte + 40] = b"\xff" * 40
    file.write_bytes(data)


def take(run: Run, folder: Path, **options: str) -> int:
    return ingest.add(run, records(run.store.spark, "parquet", {"files": str(folder)} | options, run.settings.ingest))


def statuses(run: Run) -> dict[str, str]:
    return {row["source_key"]: row["status"] for row in roots.rows(run, "images", "source_key", "status")}


def test_a_damaged_page_fails_the_rows_of_its_file_and_nothing_else(spark: SparkSession, tmp_path: Path) -> None:
    run, folder = roots.open_root(spark, tmp_path / "root"), tmp_path / "files"
    for number, name in enumerate(("a", "b", "c", "d")):
        write(folder / f"{name}.parquet", 2, first=10 * number)
    assert take(run, folder) == 8
    damage(folder / "b.parquet")
    damage(folder / "c.parquet", byte=200)  # the values, and not the header
    data = (folder / "d.parquet").read_bytes()
    (folder / "d.parquet").write_bytes(data[:-60] + b"\xff" * 50 + data[-10:])  # the footer
    run_chain(run, ["ingest"])
    rows = {row["source_key"]: row for row in roots.rows(run, "images")}
    assert len(rows) == 8 and {rows[f"a.parquet:{i}"]["status"] for i in range(2)} == {"ok"}
    for name in ("b", "d"):
        for i in range(2):
            row = rows[f"{name}.parquet:{i}"]
            assert row["status"] == "unreadable_file" and f"{name}.parquet is damaged" in row["error"], row["error"]
    assert {rows[f"c.parquet:{i}"]["status"] for i in range(2)} <= {"unreadable_file", "undecodable_image", "ok"}

    write(folder / "e.parquet", 1, first=50)
    (folder / "d.parquet").write_bytes(data)
    assert take(run, folder) == 1  # a later ingest goes on
    run_chain(run, ["ingest"])
    assert statuses(run)["e.parquet:0"] == "ok"
    fresh_from(run, "ingest")
    run_chain(run, ["ingest"])
    assert {statuses(run)[f"{name}.parquet:0"] for name in "ade"} == {"ok"} and len(statuses(run)) == 9


def test_no_exchange_carries_the_bytes_of_parquet_rows(spark: SparkSession, tmp_path: Path) -> None:
    run = roots.open_root(spark, tmp_path / "root")
    write(tmp_path / "files" / "a.parquet", 2)
    damage(write(tmp_path / "files" / "b.parquet", 2))
    assert take(run, tmp_path / "files") == 4
    run.store.create("images")
    rows = run.store.read("records").withColumn("ingest_batch", F.lit("00000000"))
    batch = Batch(rows, run.store, run.settings, ("00000000",))
    result = ingest.transform(batch)
    assert sorted(row["status"] for row in result.select("status").collect()) == [
        "ok",
        "ok",
        "unreadable_file",
        "unreadable_file",
    ]
    exchanges = roots.exchanges(result)
    assert exchanges and not [columns for _, columns in exchanges if any("binary" in shape for shape in columns.values())]
    batch.release()


def test_a_damaged_caption_is_one_error_that_names_the_file(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path / "files" / "a.parquet", 2)
    damage(write(tmp_path / "files" / "b.parquet", 2), column=1)
    message = error_of(lambda: records(spark, "parquet", {"files": str(tmp_path / "files")}))
    assert "b.parquet" in message and "\n" not in message


def test_a_row_without_an_image_and_a_column_that_is_gone_have_their_status(spark: SparkSession, tmp_path: Path) -> None:
    run, folder = roots.open_root(spark, tmp_path / "root"), tmp_path / "files"
    folder.mkdir()
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = [{"bytes": picture_of(1), "path": None}, None, {"bytes": None, "path": "x"}, {"bytes": b"", "path": None}]
    table = pa.table({"image": pa.array(values, image), "caption": [f"A dog {i}." for i in range(4)]})
    for name in ("a", "b", "c"):
        pq.write_table(table, folder / f"{name}.parquet")
    assert take(run, folder) == 12
    pq.write_table(table.drop(["image"]), folder / "b.parquet")
    pq.write_table(table.set_column(0, "image", pa.array([1, 2, 3, 4])), folder / "c.parquet")
    run_chain(run, ["ingest"])
    rows = {row["source_key"]: row for row in roots.rows(run, "images")}
    assert [rows[f"a.parquet:{i}"]["status"] for i in range(4)] == ["ok", *["empty_file"] * 3]
    assert re.fullmatch(r"row 1 of file:.*a\.parquet has no image", rows["a.parquet:1"]["error"])
    assert {rows[f"{name}.parquet:{i}"]["status"] for name in "bc" for i in range(4)} == {"missing_file"}
    assert "has no column 'image.bytes' of bytes any more" in rows["b.parquet:0"]["error"]


def test_names_with_dots(spark: SparkSession, tmp_path: Path) -> None:
    run = roots.open_root(spark, tmp_path / "root")
    write(tmp_path / "plain" / "a.parquet", 1, column="my.image")
    assert take(run, tmp_path / "plain", image_column="my.image") == 1
    struct = pa.array([{"bytes": picture_of(7)}], pa.struct([("bytes", pa.binary())]))
    (tmp_path / "struct").mkdir()
    table = pa.table({"my.image": struct, "the.caption": ["A cat."], "a.key": ["k"], "my.split": ["val"]})
    pq.write_table(table, tmp_path / "struct" / "b.parquet")
    options = {"image_column": "my.image", "caption_column": "the.caption", "key_column": "a.key", "split_column": "my.split"}
    assert take(run, tmp_path / "struct", **options) == 1
    run_chain(run, ["ingest"])
    assert statuses(run) == {"a.parquet:0": "ok", "k": "ok"}


@pytest.mark.parametrize(
    ("names", "member", "steps"),
    [
        (["image"], "image.bytes", ["image", "bytes"]),
        (["a.b", "a"], "a.b.bytes", ["a.b", "bytes"]),
        (["a.b"], "a.b", ["a.b"]),
        (["Image"], "image.bytes", ["Image", "bytes"]),
        (["other"], "a.b", ["a", "b"]),
    ],
)
def test_a_members_name_is_split_at_the_longest_column(names: list[str], member: str, steps: list[str]) -> None:
    assert split_name(names, member) == steps


def test_other_files_beside_parquet_files_are_told_and_not_read(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    write(folder / "z.parquet", 2)
    (folder / "README.md").write_text("# The data set")
    (folder / "LICENSE").write_text("CC0")
    notes = Notes(spark)
    assert len(collect(records(spark, "parquet", {"files": str(folder)}, notes=notes))) == 2
    assert notes.lines() == [
        "2 files beside the Parquet files have another extension, and were not read, such as LICENSE",
    ]
    (folder / "z.parquet").rename(folder / "part-0")  # as some writers name them: all files are read, then
    (folder / "README.md").unlink()
    (folder / "LICENSE").unlink()
    assert len(collect(records(spark, "parquet", {"files": str(folder)}))) == 2


def test_a_path_that_exists_is_no_pattern(spark: SparkSession, tmp_path: Path) -> None:
    for folder, name in (("a\\b", "c.parquet"), ("d [1]", "e\\f*.parquet")):
        file = write(tmp_path / folder / name, 1)
        for path in (file, file.parent):
            by_key = collect(records(spark, "parquet", {"files": str(path)}))
            assert by_key.keys() == {f"{name}:0"}
            (locator,) = (row["locator"] for row in by_key.values())
            assert [row["row"] for row in bytes_of(spark, [locator["path"]], "image").collect()] == [0]
    assert "no*.parquet" in error_of(lambda: records(spark, "parquet", {"files": str(tmp_path / "no*.parquet")}))
