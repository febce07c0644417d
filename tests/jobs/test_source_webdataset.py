"""Tars whose members are named, sized or repeated in ways that WebDataset's writers do not foresee."""

import io
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.sources import SourceError, records
from jobs.sources.notes import Notes
from jobs.sources.record import Origin
from jobs.sources.tar import Extensions
from jobs.sources.webdataset import parse
from tests.support.source_files import Row, captions_of, collect, picture, write_tar


def read(tar: Path, extensions: Extensions | None = None) -> dict[str, Row]:
    rows = list(parse(str(tar), tar.name, ("caption",), Origin("s"), extensions))
    assert len({row["record_id"] for row in rows}) == len(rows)
    return {row["source_key"].partition("/")[2]: row for row in rows}


def texts_of(by_key: dict[str, Row]) -> dict[str, list[str]]:
    return {key: [caption for _, caption, _ in captions_of(row)] for key, row in by_key.items()}


def test_an_extension_is_what_is_known_as_one(tmp_path: Path) -> None:
    names = ["22.05", "22.06", "shot 2.0 (clean)", "v1.2/plain", "a.b.c"]
    members = {f"{name}.{end}": picture() if end == "JPG" else name.encode() for end in ("JPG", "txt") for name in names}
    write_tar(tmp_path / "x.tar", members)
    by_key = read(tmp_path / "x.tar")
    assert texts_of(by_key) == {f"{name}.JPG": [name] for name in names}
    assert {row["status"] for row in by_key.values()} == {"ok"}


def test_a_further_part_of_a_whole_sample_is_no_image_of_its_own(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", {"a.seg.png": b"s", "a.png": picture(), "a.txt": b"A.", "a.meta.json": b"{}", "b.v2.png": b"b"})
    by_key = read(tmp_path / "x.tar")
    assert {key: row["status"] for key, row in by_key.items()} == {"a.png": "ok", "b.v2.png": "no_caption"}


@pytest.mark.parametrize(
    ("image", "caption"), [("input.jpg", "output.txt"), ("jpg", "caption.json"), ("clean.png", "txt"), ("a.b.png", "c.caption")]
)
def test_parts_that_only_a_person_can_join_are_an_error_that_says_how(tmp_path: Path, image: str, caption: str) -> None:
    text = b'{"caption": "A dog."}' if caption.endswith("json") else b"A dog."
    write_tar(
        tmp_path / "x.tar", {f"f/x{i}.{end}": picture() if end == image else text for i in range(2) for end in (image, caption)}
    )
    with pytest.raises(SourceError) as caught:
        read(tmp_path / "x.tar")
    advice = f"--image-extension {image} --caption-extension {caption}"
    assert str(tmp_path / "x.tar") in str(caught.value) and advice in str(caught.value) and f"f/x0.{image}" in str(caught.value)
    by_key = read(tmp_path / "x.tar", Extensions.of(image, caption))
    assert texts_of(by_key) == {f"f/x{i}.{image}": ["A dog."] for i in range(2)}


@pytest.mark.parametrize(
    "names", [["a.png", "a.txt", "a.png", "a.txt"], ["a.png", "a.txt", "a.TXT"], ["a.json", "a.png", "a.json"]]
)
def test_a_member_that_is_there_twice_is_an_error_that_names_it(tmp_path: Path, names: list[str]) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in names:
            data = f'{{"caption": "{name}"}}'.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with pytest.raises(SourceError, match=rf"x.tar: a sample has two members 'a.*' and '{names[-1][:2]}"):
        read(tmp_path / "x.tar")


def test_two_images_of_one_key_are_two_records(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", {"a.png": picture(), "a.PNG": picture("blue"), "a.jpg": picture("lime"), "a.txt": b"A."})
    assert texts_of(read(tmp_path / "x.tar")) == {"a.png": ["A."], "a.PNG": ["A."], "a.jpg": ["A."]}


def damaged(kind: str) -> bytes:
    """A small tar whose reading would never end, or take all memory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("a.png"))
        info = tarfile.TarInfo("b.png")
        match kind:
            case "size in a pax header":
                info.pax_headers = {"size": "-1024"}
            case "sparse map":
                info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "b.png"}
                info.size = 512
                tar.addfile(info, io.BytesIO(b"9999999\n".ljust(512, b"0")))
                return out.getvalue()[: 512 * 5]
        tar.addfile(info)
    data = bytearray(out.getvalue())
    if kind in ("size", "size of a name", "old sparse map"):
        header = 512
        sizes: dict[str, tuple[bytes, bytes]] = {
            "size": (b"\xff" * 10 + b"\xfe\x00", b"0"),  # -512 in base 256
            "size of a name": (b"77777777777\0", b"L"),
            "old sparse map": (b"00000000000\0", b"S"),
        }
        data[header + 124 : header + 136], data[header + 156 : header + 157] = sizes[kind]
        if kind == "old sparse map":  # it goes on in a block after the end
            data[header + 482] = 1
            del data[header + 512 :]
        data[header + 148 : header + 156] = b" " * 8
        data[header + 148 : header + 156] = b"%06o\0 " % sum(data[header : header + 512])
    return bytes(data)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["size", "size in a pax header", "size of a name", "sparse map", "old sparse map"])
def test_reading_a_damaged_tar_ends(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.tar").write_bytes(damaged(kind))
    started = time.monotonic()
    with pytest.raises(SourceError, match="x.tar is no tar, or is truncated or damaged: .*"):
        read(tmp_path / "x.tar")
    assert time.monotonic() - started < 1


def test_what_is_left_out_is_counted_and_told(spark: SparkSession, tmp_path: Path) -> None:
    for shard in range(2):
        write_tar(
            tmp_path / f"{shard}.tar",
            {
                "a.png": picture(),
                "a.txt": b"A.",
                "a.caption": b"Another.",
                "a.cls": b"3",
                "b.cls": b"4",
                "._a.png": b"of a Mac",
                "a.seg.png": picture(),
            },
        )
        with tarfile.open(tmp_path / f"{shard}.tar", "a") as tar:
            for name, kind in (("c.png", tarfile.LNKTYPE), ("d.png", tarfile.SYMTYPE), ("folder", tarfile.DIRTYPE)):
                info: Any = tarfile.TarInfo(name)
                info.type, info.linkname = kind, "a.png"
                tar.addfile(info)
    notes = Notes(spark)
    table = records(spark, "webdataset", {"files": str(tmp_path)}, notes=notes)
    assert len(collect(table)) == 2 and len(collect(table)) == 2  # read twice, told once
    assert notes.lines() == [
        "2 captions in tars stand beside another text of the same sample, and were not read, such as 0.tar/a.caption",
        "2 members of tars are further parts of a sample that is complete without them, and were not read,"
        " such as 0.tar/a.seg.png",
        "4 members of tars are links or special files, and were not read, such as 0.tar/c.png",
        "6 members of tars are no image and no caption by their extension, and were not read, such as 0.tar/a.cls",
    ]
