"""One writer at a time for each table of a root. Readers never wait.

On a local disk a lock is the kernel's (``flock``), which a killed process gives back at once. Where there is none, as on an
object store, a lock is a row of files ``<root>/locks/<name>/<term>.json``. A file is only ever created, and exactly one writer
can create the next term, once the last one was released or its process is known to be dead. No timer decides that: a process is
known to be dead if it ran on this machine and is gone. For any other process a person must confirm it with ``dualset unlock``.
"""

import errno
import fcntl
import json
import os
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from fsspec.implementations.local import LocalFileSystem

from udfs.errors import DualsetError
from udfs.files import file_system, write_whole

PAUSE_S = 0.5  # between two looks at a lock that another writer holds
BRIEFLY_S = 120.0  # the longest wait for another machine, where a lock is only ever held for seconds


class WriterError(DualsetError):
    """A lock cannot be taken, or was taken away; the message says by whom, and what to do."""


Say = Callable[[str], None]


@contextmanager
def writing(
    root: str, names: Sequence[str], say: Say = lambda line: None, patience_s: float = 0.0
) -> Iterator[Callable[[], None]]:
    """Wait for other writers, then hold these locks (tables, or ``snapshot-<id>``).

    Args:
        root: of the tables.
        names: taken in alphabetical order, so that two writers never wait for each other.
        say: gets a line once for each name that another writer holds.
        patience_s: how long to wait for a writer on another machine, of which nobody here can tell whether it is alive.

    Yields:
        A function that raises ``WriterError`` if a lock has been taken away since, to be called before each write.

    Raises:
        WriterError: the holder is on another machine and may be dead, or the root cannot be written.
    """
    with ExitStack() as locks:
        checks = [locks.enter_context(_lock(root, name, say, patience_s)) for name in sorted(set(names))]

        def check() -> None:
            for still_held in checks:
                still_held()

        yield check


def unlock(root: str, name: str) -> str:
    """Take a lock away from its holder, whom a person knows to be dead. Returns who that was, or "" if nobody held it."""
    folder = _local(root)
    if folder is not None:
        held = _probe(folder / f"{name}.lock")
        if held:
            raise WriterError(f"{name} is being written by {_who(_read(folder / f'{name}.json'))}: stop that process instead")
        return ""
    files, path = _file_system(f"{root}/locks/{name}")
    term, holder = _last(files, path)
    if holder is None:
        return ""
    _create(files, f"{path}/{term + 1:08d}.json", {"released": True})
    return _who(holder)


@contextmanager
def _lock(root: str, name: str, say: Say, patience_s: float) -> Iterator[Callable[[], None]]:
    folder = _local(root)
    with _kernel_lock(folder, name, say) if folder is not None else _term(root, name, say, patience_s) as check:
        yield check


def _local(root: str) -> Path | None:
    """The folder of the locks, if the root is on a disk that has kernel locks; network folders in user space may have none.

    Raises:
        WriterError: the folder cannot be written.
    """
    files, path = _file_system(root)
    if not isinstance(files, LocalFileSystem):
        return None
    folder = Path(path) / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno in (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
            return None
        raise WriterError(f"{folder} cannot be written: {problem.strerror or problem}") from problem
    return folder


@contextmanager
def _kernel_lock(folder: Path, name: str, say: Say) -> Iterator[Callable[[], None]]:
    try:
        lock = FileLock(folder / f"{name}.lock", thread_local=False, mode=0o666, fallback_to_soft=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"{name} is being written by {_who(_read(folder / f'{name}.json'))}; waiting")
            lock.acquire(poll_interval=PAUSE_S)
    except OSError as problem:
        raise WriterError(f"{folder} cannot be written: {problem.strerror or problem}") from problem
    try:
        write_whole(folder / f"{name}.json", json.dumps(_myself()))
        yield lambda: None  # nobody can take it away
    finally:
        lock.release()


def _probe(file: Path) -> bool:
    """Whether some process holds a kernel lock."""
    if not file.exists():
        return False
    try:
        with FileLock(file, timeout=0, thread_local=False, fallback_to_soft=False):
            return False
    except Timeout:
        return True


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # its holder has just taken the lock, and not written yet who it is


def _file_system(url: str) -> tuple[Any, str]:
    try:
        return file_system(url)
    except (ImportError, ValueError) as problem:  # a protocol that is unknown or not installed
        raise WriterError(f"{url} cannot be opened: {problem}") from None


@contextmanager
def _term(root: str, name: str, say: Say, patience_s: float) -> Iterator[Callable[[], None]]:
    files, path = _file_system(f"{root}/locks/{name}")
    me, said, until = _myself(), False, time.monotonic() + patience_s
    while True:
        term, holder = _last(files, path)
        if holder is None or _is_dead(holder):
            mine = f"{path}/{term + 1:08d}.json"
            if _create(files, mine, me):
                break
            continue  # another writer was faster
        if holder.get("place") != me["place"] and time.monotonic() >= until:
            raise WriterError(
                f"{name} is being written by {_who(holder)}; try again later,"
                f" or if you know that it is dead: dualset unlock {name} --root {root}"
            )
        if not said:
            say(f"{name} is being written by {_who(holder)}; waiting")
            said = True
        time.sleep(PAUSE_S)

    def check() -> None:
        latest, other = _last(files, path)
        # Where a file system creates files only if absent, the second half is always true.
        if latest != term + 1 or (other or {}).get("token") != me["token"]:
            raise WriterError(f"the lock of {name} was taken away by {_who(other or {})}; nothing more is written")

    try:
        yield check
    finally:
        _create(files, f"{path}/{term + 1:08d}.released", {})
        for old in _terms(files, path):
            if _number(old) < term:
                with suppress(FileNotFoundError):  # the next writer has removed it already
                    files.rm_file(old)


def _last(files: Any, path: str) -> tuple[int, dict[str, Any] | None]:
    """The last term, 0 if there is none, and its holder, None if it was released."""
    while True:
        names = _terms(files, path)
        term = max((_number(name) for name in names if name.endswith(".json")), default=0)
        if not term or f"{term:08d}.released" in {name.rpartition("/")[2] for name in names}:
            return term, None
        try:
            holder = _holder(files, f"{path}/{term:08d}.json")
        except FileNotFoundError:
            continue  # two later writers have come and gone since the names were read
        return term, None if holder.get("released") else holder


def _holder(files: Any, name: str) -> dict[str, Any]:
    """What a term's file says. Where it cannot be made with its content at once, it may be empty for a moment."""
    for _ in range(20):
        if content := files.cat_file(name):
            return json.loads(content)
        time.sleep(PAUSE_S / 5)
    return {}  # its maker was killed before it had written a word: a person must say so


def _terms(files: Any, path: str) -> list[str]:
    try:
        return [name for name in files.ls(path, detail=False) if name.endswith((".json", ".released"))]
    except FileNotFoundError:
        return []


def _number(name: str) -> int:
    return int(name.rpartition("/")[2].partition(".")[0])


def _create(files: Any, name: str, content: dict[str, Any]) -> bool:
    """Create a file unless it exists; of several that try at the same time, one succeeds."""
    files.makedirs(name.rpartition("/")[0], exist_ok=True)
    data = json.dumps(content).encode()
    try:
        if isinstance(files, LocalFileSystem):  # its pipe_file looks first, and then writes
            _create_local(Path(name), data)
        else:
            files.pipe_file(name, data, mode="create")
    except FileExistsError:
        return False
    return True


def _create_local(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    partial.write_bytes(data)
    try:
        path.hardlink_to(partial)  # exclusive, and with the content at once
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with path.open("xb") as stream:
            stream.write(data)
    finally:
        partial.unlink()


def _myself() -> dict[str, Any]:
    words = [Path(sys.argv[0]).name]
    for word in sys.argv[1:]:
        if word.startswith("-"):
            break  # the values of options may be secret
        words.append(word)
    return {
        "token": uuid.uuid4().hex,
        "place": _place(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": " ".join(words)[:200],
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _place() -> str:
    """The scope in which process ids are valid: one boot of one machine, and one container in it."""
    facts = [socket.gethostname()]
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.exists():
        facts.append(boot.read_text(encoding="ascii").strip())
    if namespace.is_symlink():
        facts.append(str(namespace.readlink()))
    return " ".join(facts)


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether the holder ran here and is gone. Its id may be another process's by now: then nobody knows."""
    if holder.get("place") != _place():
        return False
    try:
        os.kill(holder["pid"], 0)  # no signal is sent
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is another user's
    return False


def _who(holder: dict[str, Any]) -> str:
    if not holder:
        return "another process"
    return f"{holder['command']} (process {holder['pid']} on {holder['host']}, since {holder['since']})"
