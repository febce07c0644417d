"""Generated bad inputs, over all sources and formats: each is rows with a status, or one line, and within the bounds.

Those that Python parses are read here without Spark, then a mixed sample and the Parquet files with it.
"""

import csv
import json
import os
import random
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql import SparkSession

from jobs import ingest
from jobs.scenes.write import claim
from jobs.settings import load_settings
from jobs.sources import coco, flickr30k, flickr30k_entities, folder, records, source_name, webdataset
from jobs.sources.gather import Line, line_records
from jobs.sources.record import RECORD, Origin, Row, SourceError, clean, to_batches
from jobs.sources.scenes import _series
from tests.support import roots
from tests.support.bad_images import bad_images, good_images, inflated, mutated, promising
from tests.support.bad_inputs import NAMES, PICTURES, BadInput, bad_inputs, damaged, members, tar_of
from tests.support.source_files import error_of
from udfs.captions.heads import head_of
from udfs.captions.vocabulary import DOMAINS
from udfs.fetch.image_reader import ImageReader
from udfs.role import Failure

SECONDS = 3.0  # that any row may take, on a busy machine; almost all take milliseconds
OF_RECORDS = {"ok", "no_caption", "unsafe_path", "missing_file"}
OF_IMAGES = {
    *("ok", "undecodable_image", "image_too_large", "image_too_small", "empty_file", "missing_file", "unreadable_file"),
    *("file_too_large", "unsafe_path", "duplicate"),
}
PLACES = ("captions", "instances", "files", "entities", "sentences", "boxes")  # options that are files or folders
PARSED = bad_inputs(seed=1, count=300)
IMAGES = bad_images(seed=1, count=220)


class Told:
    """What a source says that it left out: as ``jobs.sources.notes``, in this process."""

    def __init__(self) -> None:
        self.count = 0

    def tell(self, file: str, what: str, count: int, example: str) -> None:
        self.count += count


def one_line(problem: SourceError) -> None:
    text = str(problem)
    assert text and "\n" not in text and len(text) < 600 and "Traceback" not in text, text


def parsed(bad: BadInput, place: Path, images: Path, told: Told) -> Iterator[Row]:
    """The records of an input, by the functions that Spark's workers call."""
    origin = Origin("s", notes=told)  # type: ignore[arg-type]
    options = {name: str(place / value) if name in PLACES else value for name, value in bad.options.items()}
    if "entities" in options:
        return flickr30k_entities.parse(options["entities"], str(images), origin)
    if "sentences" in options:
        return flickr30k_entities.parse_originals([("red", True)], options["sentences"], options["boxes"], str(images), origin)
    if bad.kind == "coco":
        return coco.parse(options["captions"], str(images), options.get("instances"), origin)
    if bad.kind == "webdataset":
        return webdataset.parse(options["files"], "x.tar", ("caption", "captions"), origin)
    if bad.kind == "folder":
        return grouped(folder.parse(options["captions"], options, origin), images, origin)
    if options["captions"].endswith(".json"):
        return flickr30k.parse_karpathy(options["captions"], str(images), origin)
    return grouped(flickr30k.parse_tokens(options["captions"]), images, origin)


def grouped(lines: Iterable[tuple[int, Line]], images: Path, origin: Origin) -> Iterator[Row]:
    groups: dict[str, list[str]] = {}
    for number, line in lines:
        row = line.row("table", number)
        groups.setdefault(row["key"], []).append(row["line"])
    for group in groups.values():
        yield from line_records(group, str(images), origin)


def check_nothing_is_lost(bad: BadInput, place: Path, rows: list[Row], told: Told) -> None:
    """What a readable input lists, counted in another way: images, or in a table captions."""
    file = place / next(iter(bad.files))
    if "sentences" in bad.options:
        assert len(rows) == 1 and len(rows[0]["captions"]) == sum(bool(line.strip()) for line in file.read_bytes().split(b"\n"))
        return
    keys, captions = len({row["source_key"] for row in rows}), sum(len(row["captions"]) for row in rows)
    if bad.kind == "webdataset":
        with tarfile.open(file, errors="surrogateescape") as tar:
            images = sum(member.isreg() and member.name.lower().endswith((".png", ".jpg")) for member in tar)
        assert keys + told.count >= images, bad.name
        return
    text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
    lines = [line for line in text.split("\n") if line.strip("\r")]
    if file.suffix == ".json":
        assert keys == len({name_of(image) for image in json.loads(text)["images"]}), bad.name
    elif "entities" in bad.options:
        assert [row["source_key"] for row in rows] == [clean(json.loads(line)["file"]) for line in lines if line.strip()]
    elif file.suffix == ".jsonl":
        found = [json.loads(line)["caption"] for line in lines if line.strip()]
        assert captions == sum(len(own) if isinstance(own, list) else 1 for own in found), bad.name
    elif file.suffix == ".token":
        assert captions == len(lines), bad.name
    elif file.suffix == ".csv" and bad.options.get("quoting") != "none":
        reader = csv.reader(text.splitlines(keepends=True), delimiter=bad.options.get("delimiter", ","))
        assert captions == sum(map(bool, reader)) - 1, bad.name
    else:
        assert captions <= len(lines) - 1, bad.name


def name_of(image: Row) -> str:
    if "file_name" in image:
        return clean(image["file_name"])
    return clean(f"{image['filepath']}/{image['filename']}" if image.get("filepath") else image["filename"])


def test_there_are_inputs_of_every_source_that_python_parses() -> None:
    assert len(PARSED) > 300 and len({bad.name for bad in PARSED}) == len(PARSED)
    assert {bad.kind for bad in PARSED} == {"coco", "flickr30k", "flickr30k_entities", "folder", "webdataset"}


@pytest.mark.parametrize("kind", ["coco", "flickr30k", "flickr30k_entities", "folder", "webdataset"])
def test_each_parsed_input_is_rows_or_one_line(tmp_path: Path, kind: str) -> None:
    images, reader = tmp_path / "images", ImageReader(load_settings("annotations"), "cpu")
    images.mkdir()
    for name, data in PICTURES.items():
        (images / name).write_bytes(data)
    head_of("a wall")  # loads the dictionary, which no row is to blame for
    read = refused = 0
    for number, bad in enumerate(bad for bad in PARSED if bad.kind == kind):
        place = tmp_path / str(number)
        place.mkdir()
        for name, data in bad.files.items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(data)
        bad.make(place)
        started, told = time.monotonic(), Told()
        try:
            rows = [row for batch in to_batches(parsed(bad, place, images, told), RECORD) for row in batch.to_pylist()]
        except SourceError as problem:
            one_line(problem)
            refused += 1
        else:
            read += 1
            ok = [row for row in rows if row["status"] == "ok"]
            results = reader([{"locator": row["locator"], "bytes": None} for row in ok])
            check(bad, rows, {row["source_key"]: status(result) for row, result in zip(ok, results, strict=True)})
            if bad.files:
                check_nothing_is_lost(bad, place, rows, told)
        assert time.monotonic() - started < SECONDS, bad.name
    assert read > 10 and refused > 10, "the generator makes both"


def check(bad: BadInput, rows: list[Row], images: dict[str, str]) -> None:
    assert {row["status"] for row in rows} <= OF_RECORDS and set(images.values()) <= OF_IMAGES, bad.name
    assert all(row["error"] for row in rows if row["status"] != "ok"), bad.name
    for key in bad.good:
        assert images.get(key) == "ok", f"{bad.name} took {key} with it"


def status(result: Any) -> str:
    return result.status if isinstance(result, Failure) else "ok"


def test_each_image_has_a_status_in_time(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    reader, found = ImageReader(load_settings("annotations"), "cpu"), set()
    padded = {f"padded-{number}": data for number, data in enumerate(inflated(good_images()["plain.png"]))}
    for name, data in {**IMAGES, **padded, **promising((30_000, 30_000))}.items():
        started = time.monotonic()
        (result,) = reader([{"locator": None, "bytes": data}])
        assert time.monotonic() - started < SECONDS, name
        assert status(result) in OF_IMAGES, name
        if isinstance(result, Failure):
            assert result.error and len(result.error) < 600, name
        found.add(status(result))
    assert found >= {"ok", "undecodable_image", "image_too_large"}, "the generator makes many kinds"
    assert all(status(reader([{"locator": None, "bytes": data}])[0]) == "ok" for data in good_images().values())
    assert capfd.readouterr().err == "", "no decoder prints a line of its own"


MEASURE = """
import os, re, sys, time
from pathlib import Path
from udfs import images

def peak():  # of this process
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def decoded(file):
    try:
        images.decode(Path(file).read_bytes())
    except images.ImageError:
        pass

decoded(sys.argv[1])
for file in sys.argv[2:]:
    if not (child := os.fork()):
        before, started = peak(), time.monotonic()
        decoded(file)
        print(file.rpartition("/")[2], peak() - before, time.monotonic() - started, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_what_headers_promise_takes_no_more_memory_than_documented(tmp_path: Path) -> None:
    size = (5000, 4000)  # pixels; the bounds are for a pixel
    made = promising(size)
    assert len(made) >= 20
    for name, data in {"small.png": good_images()["plain.png"], **made}.items():
        (tmp_path / name).write_bytes(data)
    files = [str(tmp_path / name) for name in ("small.png", *made)]
    run = subprocess.run([sys.executable, "-c", MEASURE, *files], capture_output=True, text=True, check=True)
    measured = [line.split() for line in run.stdout.splitlines()]
    assert [name for name, _, _ in measured] == list(made)
    for name, peak, seconds in measured:
        bytes_a_pixel = 16 if name.endswith(".webp") else 12 if name.startswith(("progressive", "deep")) else 8
        assert int(peak) < bytes_a_pixel * size[0] * size[1] + (64 << 20), f"{name}: {int(peak) >> 20} MiB"
        assert float(seconds) < SECONDS, name


def tables() -> dict[str, tuple[pa.Table, str]]:
    """Parquet tables with something odd, and what the source says of it; nothing: all three rows are read."""

    def raw(*texts: bytes) -> pa.Array:  # text that is not UTF-8, which pyarrow does not check here
        ends = [sum(map(len, texts[:number])) for number in range(len(texts) + 1)]
        buffers = [None, pa.py_buffer(struct.pack(f"<{len(ends)}i", *ends)), pa.py_buffer(b"".join(texts))]
        return pa.Array.from_buffers(pa.string(), len(texts), buffers)

    good = {"image": pa.array(PICTURES.values(), pa.binary()), "caption": [f"A {name[:-4]} wall." for name in NAMES]}
    odd = raw(b"tr\xff", b"train", b"\0")
    return {
        "split": (pa.table({**good, "split": odd, "license": odd}), ""),
        "caption": (pa.table({**good, "caption": odd}), ""),
        "metadata": (pa.table({**good, "_metadata": [{"file_path": "x", "row_index": 1}] * 3}), ""),
        "nanoseconds": (pa.table({**good, "when": pa.array([1, 2, 3], pa.timestamp("ns"))}), ""),
        "no images": (pa.table({**good, "image": pa.array([None] * 3, pa.binary())}), ""),
        "numbers": (pa.table({**good, "caption": [1, 2, 3]}), "must be text"),
        "texts": (pa.table({**good, "image": ["a", "b", "c"]}), "must be binary"),
        "twice": (pa.table({**good, "Caption": good["caption"]}), "already exists"),
        "none": (pa.table({}), "no column"),
    }


@pytest.mark.parametrize("name", tables())
def test_an_odd_parquet_table_is_rows_or_one_line(spark: SparkSession, tmp_path: Path, name: str) -> None:
    table, line = tables()[name]
    pq.write_table(table, tmp_path / "x.parquet")

    def read() -> Any:
        return records(spark, "parquet", {"files": str(tmp_path)})

    if line:
        assert line in error_of(read)
        return
    rows = read().collect()
    assert sorted(row["source_key"] for row in rows) == [f"x.parquet:{number}" for number in range(3)]
    assert {row["status"] for row in rows} <= OF_RECORDS


BROKEN: dict[str, Callable[[Path, bytes], Any]] = {
    "empty": lambda path, data: path.write_bytes(b""),
    "cut": lambda path, data: path.write_bytes(data[: len(data) // 2]),
    "a text": lambda path, data: path.write_bytes(b"file,caption\n" * 9),
    "a folder": lambda path, data: path.mkdir(),
    "a pipe": lambda path, data: os.mkfifo(path),
    "a damaged page": lambda path, data: path.write_bytes(data[:4] + b"\xff" * 200 + data[204:]),
    "a damaged end": lambda path, data: path.write_bytes(data[:-40] + b"\xff" * 32 + data[-8:]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_parquet_file_is_one_line(spark: SparkSession, tmp_path: Path, name: str) -> None:
    pq.write_table(tables()["no images"][0], tmp_path / "good.parquet")
    data = (tmp_path / "good.parquet").read_bytes()
    (tmp_path / "good.parquet").unlink()
    BROKEN[name](tmp_path / "bad.parquet", data)
    line = error_of(lambda: records(spark, "parquet", {"files": str(tmp_path)}))
    assert str(tmp_path) in line and "\n" not in line and len(line) < 600 and "Job aborted" not in line, line


def test_each_bad_world_of_scenes_is_one_line_or_drawn(tmp_path: Path) -> None:
    chance, refused = random.Random(1), 0
    whole = yaml.safe_load((DOMAINS / "objects.yaml").read_text(encoding="utf-8"))
    trees = [whole, {"base": "objects", "keep": {"kinds": list(whole["kinds"])[:8]}}]
    texts = [yaml.safe_dump(damaged(tree, chance)[0]).encode() for tree in trees for _ in range(8)]
    texts += [b"", b"[", b"- 1", b"base: 7", b"\0", b'base: "\\ud800"', yaml.safe_dump(whole).encode("utf-16")]
    options = [{"count": count} for count in ("x", "-1", "0", "9" * 5000, "\u00b2")]
    options += [{"count": "3", "size": "1e3"}, {"count": "3", "seed": "\0"}, {"count": "3", "domain": str(tmp_path)}]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yaml").write_bytes(text)
        options.append({"count": "3", "domain": f"{tmp_path}/{number}.yaml"})
    for given in options:
        try:
            source_name("scenes", given)
        except SourceError as problem:
            one_line(problem)
            refused += 1
    assert refused > 20
    series = _series({"count": "3"}, None)
    (tmp_path / "series.json").write_text('{"series": ')
    with pytest.raises(ValueError, match=r"series.json is damaged: choose another folder|series.json is damaged"):
        claim(series, str(tmp_path))


def test_a_mixed_sample_goes_through_ingest(spark: SparkSession, tmp_path: Path) -> None:
    """Every record has one row in ``images``, whatever its neighbours are, and the good ones are ok."""
    run = roots.open_root(spark, tmp_path / "root", "spark.row_deadline_s=20")
    expected = {**in_folder(tmp_path / "folder"), **in_tars(tmp_path / "tars"), **in_parquet(tmp_path / "rows")}
    for kind, options in (
        ("folder", {"images": f"{tmp_path}/folder", "captions": f"{tmp_path}/folder.jsonl"}),
        ("webdataset", {"files": f"{tmp_path}/tars"}),
        ("parquet", {"files": f"{tmp_path}/rows"}),
    ):
        ingest.add(run, records(spark, kind, options, run.settings.ingest))
    roots.run_one(run, ingest.STAGE)
    taken = {row["source_key"]: row for row in roots.rows(run, "records")}
    assert taken.keys() == expected.keys()
    images = {row["source_key"]: row["status"] for row in roots.rows(run, "images")}
    assert images.keys() == {key for key, row in taken.items() if row["status"] == "ok"}
    assert set(images.values()) <= OF_IMAGES
    for key, wanted in expected.items():
        found = images.get(key, taken[key]["status"])
        assert found == wanted or (not wanted and found in OF_IMAGES), f"{key} is {found} and not {wanted}"


Expected = dict[str, str]  # statuses by key; empty: any


def in_folder(place: Path) -> Expected:
    """Bad images between good ones, and files that are none."""
    (place / "folder.png").mkdir(parents=True)
    made = {
        **dict(list(IMAGES.items())[:40]),
        "a\\b.png": PICTURES["red.png"] + b"1",
        "a%2e#?*[1].png": PICTURES["red.png"] + b"2",
    }
    for name, data in {**made, **PICTURES}.items():
        (place / name).write_bytes(data)
    os.mkfifo(place / "pipe.png")
    (place / "out.png").symlink_to("/etc/passwd")
    (place / "loop.png").symlink_to(place / "loop.png")
    (place / "nothing.png").symlink_to(place / "nowhere.png")
    expected = dict.fromkeys(made, "") | dict.fromkeys(PICTURES, "ok") | {"a\\b.png": "ok", "a%2e#?*[1].png": "ok"}
    expected |= {
        "folder.png": "unreadable_file",
        "pipe.png": "unreadable_file",
        "out.png": "unsafe_path",
        "absent.png": "missing_file",
    }
    expected |= {
        "nothing.png": "missing_file",
        "a\nb.png": "unsafe_path",
        "../red.png": "unsafe_path",
        "/etc/passwd": "unsafe_path",
    }
    rows = [json.dumps({"file": name, "caption": f"A wall, {number}."}) for number, name in enumerate([*expected, "loop.png"])]
    place.with_suffix(".jsonl").write_text("\n".join(rows))
    return {**expected, "loop.png": ""}


def in_tars(place: Path) -> Expected:
    """Good members beside bad ones, each image with its caption."""
    place.mkdir()
    expected = {}
    for number, (name, data) in enumerate(list(IMAGES.items())[40:47]):
        (place / f"{number}.tar").write_bytes(
            tar_of([*unlike(number), (f"bad-{name}", data), (f"bad-{name.rpartition('.')[0]}.txt", b"A wall.")])
        )
        expected |= {f"{number}.tar/{picture}": "ok" for picture in NAMES}
        if not name.endswith(".mpo"):  # no extension of an image that is read
            expected[f"{number}.tar/bad-{name}"] = ""
        else:
            expected[f"{number}.tar/bad-{name.rpartition('.')[0]}.txt"] = "missing_file"
    return expected


def unlike(number: int) -> list[tuple[str, bytes]]:
    """The members of a good tar, with bytes of its own, as equal ones would be duplicates."""
    return [(name, data + b"tar %d" % number if name.endswith(".png") else data) for name, data in members()]


def in_parquet(place: Path) -> Expected:
    """A table of bad and good bytes."""
    place.mkdir()
    bad = [mutated(data, random.Random(9), list(good_images().values())) for data in good_images().values()]
    cells = [None, b"", *(data + b"row" for data in PICTURES.values()), *bad]
    pq.write_table(pa.table({"image": pa.array(cells, pa.binary()), "caption": ["A wall."] * len(cells)}), place / "x.parquet")
    keys = [f"x.parquet:{number}" for number in range(len(cells))]
    return dict.fromkeys(keys, "") | dict.fromkeys(keys[:2], "empty_file") | dict.fromkeys(keys[2:5], "ok")
