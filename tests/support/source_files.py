"""Shared by the tests of sources: small files, and records as plain dicts."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from jobs.sources import SourceError, source_error
from jobs.sources.record import RECORD

Row = dict[str, Any]


def collect(table: DataFrame) -> dict[str, Row]:
    """Rows as plain dicts by source_key, complete, so that tests compare every column."""
    assert table.schema == RECORD
    rows = [row.asDict(recursive=True) for row in table.collect()]
    assert len({row["record_id"] for row in rows}) == len(rows)
    return {row["source_key"]: row for row in rows}


def captions_of(row: Row) -> list[tuple[str, str, str]]:
    return [(caption["caption_id"], caption["caption"], caption["status"]) for caption in row["captions"]]


def error_of(make: Callable[[], DataFrame]) -> str:
    """The message of the SourceError with which a source fails, on the driver or in a worker."""
    try:
        make().collect()
    except (SourceError, PySparkException, Py4JJavaError) as problem:
        error = source_error(problem)
        assert error is not None, problem
        return str(error)
    raise AssertionError("the source was read without an error")


def picture(colour: str = "red") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(name="images")
def images_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue"), ("c [1].png", "green")):
        (folder / name).write_bytes(picture(colour))
    return folder


def write_json(path: Path, tree: object) -> str:
    path.write_text(json.dumps(tree))
    return str(path)


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
