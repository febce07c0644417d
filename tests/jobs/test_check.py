"""`dualset check` over whole roots, and over roots that were damaged in one way each."""

import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import cli
from jobs.chain import run_chain, stages_named
from jobs.engine.stream import Run, StageError
from jobs.engine.tables import delete
from jobs.look.check import check, kept_pixels, whole_checkpoint
from jobs.publish import publish
from tests.support import roots
from tests.support.roots import Picture, Source

PETS = Picture("pets.png", ["A dog and a cat."], (("dog", (8, 10, 28, 40)), ("cat", (60, 20, 84, 50))), shade=1)
BAD = Picture("bad.png", ["A cat."], data=b"no image")


@pytest.fixture(scope="module")
def whole(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root after the whole chain, with a snapshot, and a record that waits."""
    folder = tmp_path_factory.mktemp("whole")
    root = folder / "root [1]{2}"  # characters that Spark takes for a pattern
    run, source = roots.open_root(spark, root, "publish.shards=1"), Source(folder / "source")
    roots.take(run, source.write(PETS, BAD))
    run_chain(run)
    publish(run.store, run.settings)
    roots.take(run, source.write(Picture("late.png", ["A dog."], (("dog", (8, 10, 28, 40)),), shade=2)))
    return root


def keep_only(run: Run, table: str, rule: str) -> None:
    """Write a table anew with some of its rows; its checkpoint stays."""
    rows = run.store.read(table).where(rule).localCheckpoint()
    run.store.drop(table)
    run.store.create(table)
    run.store.append(rows, table)


def test_a_whole_root_keeps_every_promise(spark: SparkSession, whole: Path) -> None:
    findings = list(check(roots.open_root(spark, whole)))
    assert [finding for finding in findings if finding.breach] == []
    found = {finding.promise: finding.found for finding in findings}
    assert found["records -> images: no row is lost"] == "1 rows wait for dualset run"
    assert found["dual_images: 2^n images a family"] == "1 families"
    assert any(name.startswith("snapshot ") for name in found)


def test_every_damage_is_found_and_named(
    spark: SparkSession, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row twice, a lost row, half a lattice, half a checkpoint, a snapshot without a file; with the command that mends it."""
    shutil.copytree(whole, tmp_path / "root")
    run = roots.open_root(spark, tmp_path / "root")
    run.store.append(run.store.read("rechecks").where("subset = 3"), "rechecks")
    keep_only(run, "components", "false")
    keep_only(run, "dual_images", "subset < 3")
    delete(f"{run.store.checkpoint('plan')}/stream")
    next(Path(run.store.root).glob("snapshots/*/data/**/*.parquet")).unlink()

    with pytest.raises(SystemExit) as end:
        cli.main(["check", "--root", run.store.root, "--profile", "annotations", "--json"])
    assert end.value.code == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    broken = {line["promise"].partition(" ")[0]: line for line in lines if line["breach"]}
    for promise, breach, stage in (
        ("rechecks:", "1 rows too many, such as record_id", "recheck"),
        ("images", "1 records were read and have no row", "extract"),
        ("dual_images:", "has 3 of 4", "inpaint"),
        ("plan:", "is not whole", "plan"),
        ("snapshot", "no bytes instead of", ""),
    ):
        assert breach in broken[promise]["breach"]
        assert broken[promise]["mend"].endswith(f"--fresh {stage}") or not stage


def cut(whole: Path, folder: Path, pattern: str) -> Path:
    """A copy of the root in which a file is half as long."""
    shutil.copytree(whole, folder / "root")
    (path,) = (folder / "root").glob(pattern)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
    return folder / "root"


def test_a_table_that_was_cut_short_is_a_breach(spark: SparkSession, whole: Path, tmp_path: Path) -> None:
    run = roots.open_root(spark, cut(whole, tmp_path, "tables/families/part-*.parquet"))
    (found,) = [finding for finding in check(run) if finding.breach]
    assert found.promise == "families: can be read" and found.mend.endswith("--fresh plan")
    assert "\n" not in found.breach


@pytest.mark.parametrize(
    ("pattern", "breach"),
    [("stream/offsets/0", "its file offsets/0 is cut short"), ("generation/part-*", "its note is cut short")],
)
def test_a_checkpoint_that_was_cut_short_is_a_breach_and_refused(
    spark: SparkSession, whole: Path, tmp_path: Path, pattern: str, breach: str
) -> None:
    run = roots.open_root(spark, cut(whole, tmp_path, f"checkpoints/score/{pattern}"))
    (score,) = stages_named(["score"])
    found = whole_checkpoint(run, score)
    assert breach in found.breach and "\n" not in found.breach and found.mend.endswith("--fresh score")
    with pytest.raises(StageError, match=breach):
        run_chain(run, ["score"])


def test_pixels_of_a_sample_are_compared(spark: SparkSession, whole: Path, tmp_path: Path) -> None:
    """In each format, and with an image that was painted over."""
    promise = "dual_images: only what was removed is changed"
    run = roots.open_root(spark, whole)
    assert {finding.promise: finding.found for finding in check(run, deep=10)}[promise] == "4 images of 1 families"
    other = roots.open_root(spark, whole, "inpainter.dilate=0.5")
    assert kept_pixels(other, 10).found.startswith("none compared")

    shutil.copytree(whole, tmp_path / "root")
    run = roots.open_root(spark, tmp_path / "root")
    (row,) = run.store.read("dual_images").where("subset = 1").select("image").collect()
    picture = Image.open(io.BytesIO(row["image"])).convert("RGB")
    ImageDraw.Draw(picture).rectangle((0, 60, 3, 63), fill="white")
    painted = io.BytesIO()
    picture.save(painted, "PNG")
    rows = run.store.read("dual_images").localCheckpoint()
    image = F.when(F.col("subset") == 1, F.lit(bytearray(painted.getvalue()))).otherwise(F.col("image"))
    rows = rows.withColumn("image", image).localCheckpoint()
    run.store.drop("dual_images")
    run.store.create("dual_images")
    run.store.append(rows, "dual_images")
    found = kept_pixels(run, 10)
    assert found.promise == promise and found.mend.endswith("--fresh inpaint")
    assert "1 of 1 families" in found.breach and "subset 1: 16 pixels changed outside the masks" in found.breach
