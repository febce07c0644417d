"""One writer a table: by the kernel's lock on a disk, by numbered files elsewhere."""

import errno
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from jobs.engine import writers
from jobs.engine.writers import WriterError, unlock, writing

HOLD = """
import sys, time
from jobs.engine.writers import writing
with writing(sys.argv[1], sys.argv[2:], print):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["disk", "memory", "disk without kernel locks"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "memory":
        return f"memory://{uuid4().hex}"
    if request.param == "disk without kernel locks":

        def flock(file: object, operation: int) -> None:
            raise OSError(errno.ENOSYS, "not there")

        monkeypatch.setattr(writers.fcntl, "flock", flock)
    return str(tmp_path)


def locked(root: str, name: str, holder: dict[str, object]) -> None:
    """A lock on an object store that another writer holds."""
    files, path = fsspec.core.url_to_fs(f"{root}/locks/{name}")
    files.makedirs(path)
    files.pipe_file(f"{path}/00000001.json", json.dumps(holder).encode())


def another(**changed: object) -> dict[str, object]:
    return writers._myself() | changed


def test_one_at_a_time(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "PAUSE_S", 0.01)
    inside, most, said = [], [], []

    def work(number: int) -> None:
        with writing(root, ["b", "a"], said.append) as check:
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.02)
            check()
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8
    assert said and all("is being written by" in line and line.endswith("; waiting") for line in said)


def test_other_tables_do_not_wait(root: str) -> None:
    with writing(root, ["a"]), writing(root, ["b"], pytest.fail):
        pass


def test_an_error_gives_the_lock_back(root: str) -> None:
    with pytest.raises(ZeroDivisionError), writing(root, ["a"]):
        raise ZeroDivisionError
    with writing(root, ["a"], pytest.fail):
        pass


def test_a_killed_process_gives_the_lock_back(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), "a"], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(WriterError, match=f"process {holder.pid} on .*: stop that process instead"):
        unlock(str(tmp_path), "a")
    said: list[str] = []
    threading.Timer(0.5, holder.kill).start()
    with writing(str(tmp_path), ["a"], said.append):
        assert len(said) == 1 and f"process {holder.pid}" in said[0]
    holder.wait()


def test_a_dead_process_of_this_machine_holds_nothing() -> None:
    root = f"memory://{uuid4().hex}"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    locked(root, "a", another(pid=dead.pid))
    with writing(root, ["a"], pytest.fail):
        pass


def test_of_another_machine_a_person_must_say_that_it_is_dead() -> None:
    root = f"memory://{uuid4().hex}"
    locked(root, "a", another(place="elsewhere", host="elsewhere", command="dualset run", pid=7))
    with pytest.raises(WriterError, match=r"process 7 on elsewhere, since .*dualset unlock a --root"), writing(root, ["a"]):
        pass
    assert "process 7 on elsewhere" in unlock(root, "a")
    assert unlock(root, "a") == ""
    with writing(root, ["a"], pytest.fail):
        pass


def test_of_a_lock_without_a_word_a_person_must_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its maker was killed between creating the file and writing it, on a file system where that is two steps."""
    monkeypatch.setattr(writers, "PAUSE_S", 0.001)
    root = f"memory://{uuid4().hex}"
    files, path = fsspec.core.url_to_fs(f"{root}/locks/a")
    files.makedirs(path)
    files.pipe_file(f"{path}/00000001.json", b"")
    with pytest.raises(WriterError, match=r"by another process; .*dualset unlock a --root"), writing(root, ["a"]):
        pass
    assert unlock(root, "a") == "another process"
    with writing(root, ["a"], pytest.fail):
        pass


def test_a_lock_of_seconds_is_waited_for_on_another_machine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "PAUSE_S", 0.01)
    root = f"memory://{uuid4().hex}"
    locked(root, "a", another(place="elsewhere", host="elsewhere"))
    threading.Timer(0.2, unlock, (root, "a")).start()
    with writing(root, ["a"], patience_s=20):
        pass
    locked(root, "b", another(place="elsewhere", host="elsewhere"))
    with pytest.raises(WriterError, match="on elsewhere"), writing(root, ["b"], patience_s=0.05):
        pass


def test_a_term_that_is_removed_while_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    root = f"memory://{uuid4().hex}"
    locked(root, "a", another())
    listing, first = writers._terms, iter([True])

    def stale(files: Any, path: str) -> list[str]:
        names = listing(files, path)
        if next(first, False):  # two writers come and go after the listing
            files.rm_file(names[0])
            files.pipe_file(f"{path}/00000003.json", json.dumps(another()).encode())
            files.pipe_file(f"{path}/00000003.released", b"{}")
        return names

    monkeypatch.setattr(writers, "_terms", stale)
    with writing(root, ["a"], pytest.fail):
        pass


def test_a_file_is_created_once_and_with_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    for name in ("linked", "written"):
        assert writers._create(fsspec.filesystem("file"), str(tmp_path / name), {"a": 1})
        assert not writers._create(fsspec.filesystem("file"), str(tmp_path / name), {"a": 2})
        assert json.loads((tmp_path / name).read_text()) == {"a": 1}
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    assert {path.name for path in tmp_path.iterdir()} == {"linked", "written"}


def test_a_writer_that_lost_its_lock_stops_before_its_next_write() -> None:
    root = f"memory://{uuid4().hex}"
    with writing(root, ["a"]) as check:
        check()
        unlock(root, "a")
        with writing(root, ["a"]), pytest.raises(WriterError, match="was taken away by .*; nothing more is written"):
            check()


def test_old_terms_are_removed() -> None:
    root = f"memory://{uuid4().hex}"
    for _ in range(5):
        with writing(root, ["a"]):
            pass
    files, path = fsspec.core.url_to_fs(f"{root}/locks/a")
    assert len(files.ls(path)) <= 4


def test_a_root_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("a file")
    with pytest.raises(WriterError, match="cannot be written"), writing(str(tmp_path), ["a"]):
        pass


def test_no_option_of_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/dualset", "run", "--set", "language.api_key=secret"])
    assert writers._myself()["command"] == "dualset run"
