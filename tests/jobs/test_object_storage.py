"""The whole chain in a bucket of an S3 server on this machine: sources, tables, checkpoints, locks, snapshot, and training."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs import cli, ingest
from jobs.chain import fresh_from
from jobs.console import reach
from jobs.engine import writers
from jobs.engine.stream import Run
from jobs.engine.writers import WriterError, unlock, writing
from jobs.publish import publish
from jobs.settings import SettingsError
from jobs.snapshot.manifest import Manifest, SnapshotError, read_manifest
from jobs.sources import SourceError, records
from jobs.sources.paths import require
from tests.support import roots
from tests.support.object_store import SECRET, client, connected, served, upload
from tests.support.read_batches import SHUFFLED, epochs, members, read
from tests.support.roots import Picture, Source
from tests.support.snapshots import picture
from training.command_line import newest_snapshot
from udfs.fetch.locator import FetchError, read_bytes
from udfs.files import listed

DOG, CAT = ("dog", (8, 10, 28, 40)), ("cat", (60, 20, 84, 50))
PICTURES = (
    Picture("pets.png", ["A dog and a cat."], (DOG, CAT), shade=1),
    Picture("a dog.png", ["A dog."], (DOG,), shade=4),
    Picture("late.png", ["A cat."], (CAT,), shade=3, data=None),
)
IN_BUCKET = {"images": "s3://data/source/images"} | {name: f"s3a://data/source/{name}.json" for name in ("captions", "instances")}
KEY = f"spark.conf={{spark.hadoop.fs.s3a.secret.key: {SECRET}}}"
HOLD = """
import sys, time
from jobs.engine.writers import writing
with writing(sys.argv[1], ["images"], lambda line: print(line, flush=True)):
    print("held", flush=True)
    time.sleep(600)
"""


def command(*words: str) -> int:
    """Run a command; returns its exit code."""
    with pytest.raises(SystemExit) as end:
        cli.main(list(words))
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def address(spark: SparkSession) -> Iterator[str]:
    with served("data") as names, connected(spark, names):
        yield names["AWS_ENDPOINT_URL"]


@pytest.fixture(scope="module")
def source(address: str, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A source, of which a copy is in the bucket."""
    source = Source(tmp_path_factory.mktemp("source")).write(*PICTURES)
    upload(source.folder, address, "data/source")
    return source


@pytest.fixture(scope="module")
def root(spark: SparkSession, source: Source) -> Run:
    """A root in the bucket after the whole chain."""
    run = roots.open_root(spark, "s3a://data/root", "publish.shards=1", KEY)
    roots.take(run, source, **IN_BUCKET)
    roots.run_stages(run)
    return run


@pytest.fixture(scope="module")
def snapshot(root: Run) -> Manifest:
    return publish(root.store, root.settings)[0]


def test_the_chain(root: Run, snapshot: Manifest, capsys: pytest.CaptureFixture[str]) -> None:
    roots.check_complete(root)
    statuses = {row["source_key"]: row["status"] for row in roots.rows(root, "images")}
    assert statuses == {"pets.png": "ok", "a dog.png": "ok", "late.png": "missing_file"}
    for name in ("status", "check"):
        assert command(name, "--root", root.store.root, "--profile", "annotations") == 0
    printed = capsys.readouterr().out
    assert f"snapshot {snapshot.id}: the files of its manifest: 1 files" in printed and "BREACH" not in printed


def test_what_was_done_is_not_done_again(root: Run) -> None:
    before = roots.rows(root, "runs", "stage", "batch_id")
    roots.run_stages(root, "ingest", "extract")
    assert roots.rows(root, "runs", "stage", "batch_id") == before
    assert not publish(root.store, root.settings)[1], "the snapshot is there"


def test_training_reads_the_snapshot(root: Run, snapshot: Manifest) -> None:
    assert newest_snapshot(root.store.root) == snapshot.folder == f"{root.store.root}/snapshots/{snapshot.id}"
    names = sorted(members(snapshot, SHUFFLED))
    assert len(names) == snapshot.totals.images == 4, "no text is left where all is gone"
    for reader in ("petastorm", "pyarrow"):
        assert sorted(next(epochs(snapshot, SHUFFLED, 1, reader=reader, pool="thread"))) == names, reader
    (batch,) = read(snapshot, SHUFFLED, count=1, batch_size=4, reader="petastorm", pool="thread")
    assert sorted(batch.image_ids) == names


def test_no_key_is_written_down(root: Run, snapshot: Manifest, address: str) -> None:
    shown = {json.loads(row["settings"])["spark"]["conf"]["spark.hadoop.fs.s3a.secret.key"] for row in roots.rows(root, "runs")}
    assert shown == {"***"}
    bucket = client(address)
    files = [path for path, entry in bucket.find("data", detail=True).items() if entry["size"]]
    assert len(files) > 100 and [path for path in files if SECRET.encode() in bucket.cat_file(path)] == []


def test_a_parquet_source_and_a_stage_that_starts_anew(spark: SparkSession, address: str, tmp_path: Path) -> None:
    table = pa.table({"image": [picture(["dog"], 0)], "caption": ["A dog."]})
    pq.write_table(table, tmp_path / "a b.parquet")
    upload(tmp_path, address, "data/pairs")
    run = roots.open_root(spark, "s3a://data/of-parquet")
    ingest.add(run, records(spark, "parquet", {"files": "s3a://data/pairs/*.parquet"}, run.settings.ingest))
    roots.run_stages(run, "ingest")
    assert [(row["status"], row["width"]) for row in roots.rows(run, "images")] == [("ok", 48)]
    fresh_from(run, "ingest")
    assert not run.store.exists("images")
    roots.run_stages(run, "ingest")
    assert len(roots.rows(run, "images")) == 1


def test_two_drivers_ingest_the_same(spark: SparkSession, source: Source) -> None:
    """Another program waits for the lock of ``records``, and then begins at the same time as this one."""
    root = "s3a://data/two"
    words = ["ingest", "coco", *(f"--{name}={path}" for name, path in IN_BUCKET.items())]
    command = [sys.executable, "-m", "jobs.cli", *words, "--root", root, "--profile", "annotations"]
    with writing(root, ["records"]):
        other = subprocess.Popen(command, env=os.environ | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert "records is being written by" in other.stdout.readline()
    run = roots.open_root(spark, root)
    roots.take(run, source, **IN_BUCKET)
    roots.run_stages(run, "ingest")
    said = other.communicate()[0]
    assert other.returncode == 0, said
    for table in ("records", "images"):
        names = sorted(row["source_key"] for row in roots.rows(run, table))
        assert names == sorted(picture.name for picture in PICTURES), table
    assert len(roots.rows(run, "runs")) == 1


def test_of_many_that_create_a_file_one_succeeds(address: str) -> None:
    files, _ = fsspec.core.url_to_fs("s3a://data")
    won: Counter[int] = Counter()
    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            name = f"data/created/{number}.json"
            won[sum(threads.map(lambda writer, name=name: writers._create(files, name, {"writer": writer}), range(8)))] += 1
    assert won == {1: 20}


def test_a_process_waits_for_another_and_goes_on_when_it_is_killed(address: str) -> None:
    command = [sys.executable, "-c", HOLD, "s3a://data/locked"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert second.stdout is not None and f"process {first.pid} on" in second.stdout.readline()
    first.kill()
    first.wait()
    assert second.stdout.readline() == "held\n"
    second.kill()
    second.wait()


def test_a_lock_of_another_machine(address: str) -> None:
    root = "s3a://data/elsewhere"
    client(address).pipe_file(
        "data/elsewhere/locks/images/00000001.json",
        json.dumps(writers._myself() | {"place": "elsewhere", "host": "elsewhere"}).encode(),
    )
    with pytest.raises(WriterError, match="dualset unlock images --root s3a://data/elsewhere"), writing(root, ["images"]):
        pass
    assert command("unlock", "images", "--root", root) == 0
    with writing(root, ["images"], pytest.fail) as check:
        assert unlock(root, "images")
        with pytest.raises(WriterError, match="was taken away"):
            check()


def test_what_another_machine_writes_is_seen(address: str) -> None:
    other = client(address)
    other.pipe_file("data/folder/1", b"")
    assert listed("s3a://data/folder") == ["1"] and listed("s3a://data/none") == []
    other.pipe_file("data/folder/2", b"")
    assert listed("s3a://data/folder") == ["1", "2"]


def test_a_store_that_cannot_be_reached_is_one_line(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("unlock", "images", "--root", "s3a://elsewhere/root") == 1
    reason = "there is no bucket elsewhere, or its list may not be read"
    assert capsys.readouterr().err == f"dualset: s3a://elsewhere/root cannot be reached: {reason}\n"
    assert client(address).ls("") == ["data"], "no bucket was made"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    missing = "Unable to locate credentials"
    with pytest.raises(SettingsError, match=f"s3a://data/root cannot be reached: {missing}"):
        reach("s3a://data/root")
    with pytest.raises(SnapshotError, match=f"cannot be read: {missing}"):
        read_manifest("s3a://data/root/snapshots/1")
    with pytest.raises(SourceError, match=f"cannot be checked: {missing}"):
        require("s3://data/source/images", "the images folder")
    with pytest.raises(FetchError, match=f"unreadable_file: .*{missing}"):
        read_bytes({"path": "s3://data/source/images/pets.png", "offset": None, "length": None, "member": None}, 1000)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
