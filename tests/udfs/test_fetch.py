"""Every way in which the bytes behind a locator cannot be had has its own status."""

import os
import tarfile
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from udfs.fetch.locator import FetchError, Locator, read_bytes


def locator(path: Path | str, offset: int | None = None, length: int | None = None) -> Locator:
    return {"path": str(path), "offset": offset, "length": length, "member": None}


def status_of(place: Locator | None, max_bytes: int = 100) -> str:
    with pytest.raises(FetchError) as caught:
        read_bytes(place, max_bytes)
    assert caught.value.error
    return caught.value.status


@pytest.mark.parametrize(
    "name", ["a.jpg", "a b%20[1]*?{}#.jpg", "ünï😀.jpg", "全\u3000角\xa0\u2028\u200d\ufeff\U0001fae9\U000e0001.jpg"]
)
def test_a_file_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"12345")
    assert read_bytes(locator(tmp_path / name), 5) == b"12345"


def test_a_uri_is_read_through_fsspec() -> None:
    with fsspec.open("memory://images/a.jpg", "wb") as file:
        file.write(b"remote")
    assert read_bytes(locator("memory://images/a.jpg"), 100) == b"remote"
    assert status_of(locator("memory://images/none.jpg")) == "missing_file"


class GuardedFileSystem(MemoryFileSystem):
    """Files in memory that ask for a password, as a server does."""

    protocol = "guarded"
    store: ClassVar[dict[str, object]] = {}

    def __init__(self, password: str = "", **options: object) -> None:
        super().__init__(**options)
        self.password = password

    def info(self, path: str, **options: object) -> dict[str, object]:
        if self.password != "hunter2":
            raise PermissionError("wrong password")
        return super().info(path, **options)


def test_a_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("guarded", GuardedFileSystem, clobber=True)
    GuardedFileSystem().pipe_file("guarded://a.jpg", b"guarded")
    assert status_of(locator("guarded://a.jpg")) == "unreadable_file"
    monkeypatch.setattr(fsspec.config, "conf", {})
    monkeypatch.setenv("FSSPEC_GUARDED_PASSWORD", "hunter2")
    fsspec.config.set_conf_env(fsspec.config.conf)  # which fsspec does when it is imported, in each worker
    assert read_bytes(locator("guarded://a.jpg"), 100) == b"guarded"


def test_a_tar_member_is_read_by_offset(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one member")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(tmp_path / "a.txt", "a.txt")
    with tarfile.open(tmp_path / "x.tar") as tar:
        offset = tar.getmember("a.txt").offset_data
    assert read_bytes(locator(tmp_path / "x.tar", offset, 10), 10) == b"one member"
    assert read_bytes(locator(tmp_path / "x.tar", float(offset), 10.0), 10) == b"one member"  # type: ignore[arg-type]
    assert status_of(locator(tmp_path / "x.tar", offset, 11), 10) == "file_too_large"
    assert status_of(locator(tmp_path / "x.tar", offset, 0)) == "empty_file"
    assert status_of(locator(tmp_path / "x.tar", 10**6, 10)) == "empty_file"
    assert status_of(locator(tmp_path / "x.tar", (tmp_path / "x.tar").stat().st_size - 4, 10)) == "unreadable_file"
    assert status_of(locator(tmp_path / "gone.tar", 512, 10)) == "missing_file"


def test_each_failure_has_its_status(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "large.jpg").write_bytes(bytes(101))
    os.mkfifo(tmp_path / "pipe.jpg")  # would wait for ever if it were opened
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert status_of(locator(tmp_path / "none.jpg")) == "missing_file"
    assert status_of(locator(tmp_path / "empty.jpg" / "below.jpg")) == "missing_file"
    assert status_of(locator(tmp_path / "empty.jpg")) == "empty_file"
    assert status_of(locator(tmp_path / "large.jpg")) == "file_too_large"
    for unreadable in (tmp_path, tmp_path / "pipe.jpg", tmp_path / "loop.jpg", "nosuchprotocol://x/a.jpg"):
        assert status_of(locator(unreadable)) == "unreadable_file"
    assert status_of(locator(tmp_path / "rows.parquet", offset=3)) == "unreadable_file"


@pytest.mark.parametrize(
    "path", ["/data/../etc/passwd", "/data/a::http://host/b.jpg", "/data/a\0.jpg", "/x\n", "/x\x85", "/x\ud800", ""]
)
def test_an_unsafe_path_is_never_opened(path: str) -> None:
    assert status_of(locator(path)) == "unsafe_path"


def test_a_record_without_a_locator_is_unsafe() -> None:
    assert status_of(None) == "unsafe_path"


def test_a_backslash_is_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "a\\b.jpg").write_bytes(b"12345")
    assert read_bytes(locator(tmp_path / "a\\b.jpg"), 5) == b"12345"
    with pytest.raises(FetchError, match=r"images.a\.jpg does not exist; a \\ is part of a name here, and parts no folders"):
        read_bytes(locator(f"{tmp_path}/images\\a.jpg"), 5)
