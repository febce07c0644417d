"""Records that come twice, are retried or go missing in ``ingest``: nothing is lost and nothing is stored twice."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs import ingest
from jobs.chain import run_chain
from jobs.engine.stream import Run, StageError
from jobs.retry import retry
from jobs.sources import records
from tests.support import roots
from tests.support.roots import Picture, Row, Source

DOG = ("dog", (8, 10, 28, 40))


def images(run: Run, name: str) -> list[Row]:
    """The rows of a picture in ``images``, by attempt."""
    matching = [row for row in roots.rows(run, "images") if row["source_key"] == name]
    return sorted(matching, key=lambda row: row["attempt"])


def test_a_retried_record_does_not_come_before_committed_ones(spark: SparkSession, tmp_path: Path) -> None:
    """Whatever its id: with a chance of 4 in 5, one of the four late copies has a smaller id than the first."""
    run, source = roots.open_root(spark, tmp_path / "root"), Source(tmp_path / "source")
    first = Picture("first.png", ["A dog."], (DOG,))
    late = [Picture(f"late{i}.png", ["A dog."], (DOG,), data=None) for i in range(4)]
    assert roots.take(run, source.write(first, *late)) == 5
    run_chain(run, ["ingest"])
    for picture in late:
        roots.draw(first).save(source.folder / "images" / picture.name)

    assert retry(run, "missing_file", ["ingest"]) == {"ingest": 4}
    (original,) = images(run, "first.png")
    for picture in late:
        tries = images(run, picture.name)
        assert [row["status"] for row in tries] == ["missing_file", "duplicate"]
        assert tries[-1]["duplicate_of"] == original["record_id"]

    # Also within one invocation, and for rows that are recognised by their bytes: one more row each.
    assert retry(run, "duplicate", ["ingest"]) == {"ingest": 4}
    assert [row["status"] for row in images(run, "late0.png")] == ["missing_file", "duplicate", "duplicate"]
    assert [row["attempt"] for row in images(run, "late0.png")] == [0, 1, 2]


def test_each_new_caption_of_the_same_bytes_goes_on_once(spark: SparkSession, tmp_path: Path) -> None:
    run, source = roots.open_root(spark, tmp_path / "root"), Source(tmp_path / "source")
    texts = {
        "a.png": ["A dog."],
        "b.png": ["A dog.", "A brown dog."],
        "c.png": ["A brown dog."],
        "d.png": ["A dog.", ""],
    }
    assert roots.take(run, source.write(*(Picture(name, captions, (DOG,)) for name, captions in texts.items()))) == 4
    run_chain(run, ["ingest"])
    rows = {row["source_key"]: row for row in roots.rows(run, "images")}
    order = sorted(rows, key=lambda name: rows[name]["record_id"])
    known: set[str] = set()
    for position, name in enumerate(order):
        new = {text for text in texts[name] if text} - known
        known |= new
        expected = "ok" if new else "duplicate"
        assert (rows[name]["status"], rows[name]["duplicate_of"]) == (expected, rows[order[0]]["record_id"] if position else None)
    assert known == {"A dog.", "A brown dog."}


def test_a_missing_parquet_file_fails_only_its_own_rows(spark: SparkSession, tmp_path: Path) -> None:
    run, folder = roots.open_root(spark, tmp_path / "root"), tmp_path / "files"
    folder.mkdir()
    pictures = {name: roots.draw(Picture(name, [], (DOG,), shade=i)) for i, name in enumerate("abc")}
    for name, picture in pictures.items():
        picture.save(tmp_path / f"{name}.png")
        rows = {"image": [(tmp_path / f"{name}.png").read_bytes()] * 2, "caption": [f"A dog {name}.", f"Dogs {name}."]}
        pq.write_table(pa.table(rows), folder / f"{name}.parquet")
    taken = records(spark, "parquet", {"files": str(folder)}, run.settings.ingest)
    assert ingest.add(run, taken) == 6
    (folder / "a.parquet").unlink()
    (folder / "b.parquet").write_bytes(b"no longer a table")
    table = pq.read_table(folder / "c.parquet")
    pq.write_table(table.slice(0, 1), folder / "c.parquet")  # rewritten with fewer rows
    run_chain(run, ["ingest"])
    image_rows = roots.rows(run, "images", "source_key", "status")
    assert sorted((row["source_key"][0], row["status"]) for row in image_rows) == sorted(
        [("a", "missing_file")] * 2 + [("b", "missing_file")] * 2 + [("c", "ok"), ("c", "missing_file")]
    )


def test_a_checkpoint_without_its_table_refuses(spark: SparkSession, tmp_path: Path) -> None:
    run = roots.open_root(spark, tmp_path / "root")
    assert roots.take(run, Source(tmp_path / "source").write(Picture("a.png", ["A dog."], (DOG,)))) == 1
    run_chain(run, ["ingest", "extract"])
    shutil.rmtree(tmp_path / "root" / "tables" / "components")
    with pytest.raises(StageError, match=r"components is gone .*--fresh extract"):
        run_chain(run, ["extract"])
    assert not run.store.exists("components"), "refused before anything is written"
