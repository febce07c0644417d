"""A role in a process of its own beside Spark's worker: a row that hangs or kills it loses only its own result.

Spark's worker cannot survive a crash in native code, an endless loop in a decoder or the kernel's choice when memory is short.
Spark would try the task again and meet the same row, and the stage would fail on every start. So the model runs in a child
process that the worker watches. When the child dies, or gives no result in time, a new one gets the rows of the batch one by one.
A row that is alone when the child dies gets a second try, as the kernel may have chosen the child for another's memory; the row
that does it again is ``worker_died``, one that is late ``timed_out``, and the others have their results.

They exchange pickles over a pipe, which is safe as both run this program. The child ends with its worker.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from udfs import clock
from udfs.redact import without_secrets
from udfs.role import Failure, RoleError, Row
from udfs.worker import Worker, finished

# After so many rows in succession the rows are not to blame, but the model, its libraries or the machine's memory.
MOST_LOST_IN_A_ROW = 8
# A batch is waited for as long as so many rows may take. If it is only slow, its rows are made one by one.
PATIENT_ROWS = 4

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_held: "RoleProcess | None" = None


def opened(role: str, tree: str, assigned: str, task: int, deadline_s: float) -> "RoleProcess":
    """This worker's process, with this role loaded. A reused worker keeps its process, which loads each role once.

    Args:
        role, tree, assigned, task: as for ``udfs.worker.Worker``.
        deadline_s: seconds that a row may take. Loading has no deadline.

    Raises:
        udfs.role.RoleError: the role cannot be loaded.
    """
    global _held
    if _held is None:
        _held = RoleProcess()
    _held.open(role, tree, assigned, task, deadline_s)
    return _held


class RoleProcess:
    """The side of Spark's worker. Call it as a ``Worker``: plain rows in, as many results in order out."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._opening: tuple[str, str, str, int] = ("", "", "", 0)
        self._lost_in_a_row = 0

    def open(self, role: str, tree: str, assigned: str, task: int, deadline_s: float) -> None:
        """Use this role for the following calls."""
        if self._opening[:2] != (role, tree):
            self._lost_in_a_row = 0
        self._opening = (role, tree, assigned, task)
        self._deadline_s = deadline_s
        self._one_by_one = False
        if self._process is not None and self._path != _module_path():
            self.close()  # Spark has added files to this worker since, which may hold the role
        self._load()

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        """The rows' results; a row without one has the status ``timed_out`` or ``worker_died``.

        Raises:
            udfs.role.RoleError: no row can succeed (the role says so), or too many have killed the process in a row.
        """
        if len(rows) == 1 or self._one_by_one:
            return [self._single(row) for row in rows]
        results = self._ask(rows)
        if not isinstance(results, Failure):
            self._lost_in_a_row = 0
            return results
        singles = [self._single(row) for row in rows]
        # The batch as a whole is too much, in memory or in time: the next one would be, too.
        self._one_by_one = all(row["status"] not in ("timed_out", "worker_died") for row in singles)
        return singles

    def close(self) -> None:
        """End the process; the next call starts another."""
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # in the kernel, such as on a mount that is gone: it ends later
                self._process.wait(timeout=10)
            self._pipe.close()
            self._process = None

    def _single(self, row: Row) -> Row:
        results = self._ask([row])
        if isinstance(results, Failure) and results.status == "worker_died":
            results = self._ask([row])
        if isinstance(results, Failure):
            return self._lost(results)
        self._lost_in_a_row = 0
        return results[0]

    def _lost(self, failure: Failure) -> Row:
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= MOST_LOST_IN_A_ROW:
            raise RoleError(
                f"{self._lineage['model']} was lost at {self._lost_in_a_row} rows one after the other, the last time"
                f" {failure.status}: {failure.error}. That is not the rows' fault: look at the executor's log and its memory, or"
                " give a row more time with spark.row_deadline_s"
            )
        seconds = dict.fromkeys(clock.PARTS, 0.0) | {"model": self._deadline_s if failure.status == "timed_out" else 0.0}
        return finished(failure) | self._lineage | {"seconds": seconds}

    def _load(self) -> None:
        reused = self._process is not None
        if not reused:
            self._start()
        try:
            self._pipe.send(("open", self._opening))
            self._lineage = self._received()
        except (EOFError, OSError) as problem:
            end = self._end()
            if not reused:
                raise RoleError(f"cannot load {self._opening[0].partition(':')[2]}: its process ended, {end}") from problem
            self._load()  # it ended since its last answer, and another is started

    def _ask(self, rows: Sequence[Row]) -> list[Row] | Failure:
        if self._process is not None and self._process.poll() is not None:
            self.close()  # nothing was asked of it when it ended: that is no row's fault
        if self._process is None:
            self._load()
        seconds = self._deadline_s * min(len(rows), PATIENT_ROWS)
        try:
            self._pipe.send(("rows", rows))
            if self._pipe.poll(seconds):
                return self._received()
        except (EOFError, OSError):  # OSError: it ended in the middle of its answer
            return Failure("worker_died", f"the process of {self._lineage['model']} ended, {self._end()}")
        self.close()
        return Failure("timed_out", f"no result after {seconds:g} seconds (spark.row_deadline_s)")

    def _received(self) -> Any:
        """The child's answer. An exception that concerns more than one row ends the child: after a CUDA error it is useless."""
        kind, value = self._pipe.recv()
        if kind == "problem":
            self.close()
            text, trace = value
            problem = RoleError(text)
            problem.add_note(trace)  # for the log: a command prints the text
            raise problem
        return value

    def _start(self) -> None:
        self._pipe, other = Pipe()
        self._path = _module_path()
        with other:
            # Without the folder it is called in (-P); with what Spark has added to the path of its worker, such as --py-files.
            command = [sys.executable, "-P", "-m", "udfs.role_process", str(other.fileno()), str(os.getpid())]
            self._process = subprocess.Popen(  # noqa: S603 - this program
                command,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(self._path)},
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def _end(self) -> str:
        """How the process, which has closed its pipe, ended."""
        assert self._process is not None, "it was spoken to"
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # it closed the pipe and goes on
            code = None
        self.close()
        if code is None:
            return "or closed its pipe"
        if code == -signal.SIGKILL:
            return "killed (SIGKILL): by the kernel, if memory was short"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"


def _module_path() -> list[str]:
    return [entry for entry in sys.path if entry]


def serve(pipe: Connection) -> None:
    """The side of the process: load the roles that are asked for, and answer each batch, until the worker ends."""
    worker: Worker | None = None
    while True:
        try:
            request, value = pipe.recv()
        except EOFError:
            return
        try:
            if request == "open":
                worker = Worker(*value)
                answer: Any = worker.lineage()
            else:
                assert worker is not None, "a role is opened first"
                answer = worker(value)
            message = ForkingPickler.dumps(("results", answer))
        except Exception as problem:  # noqa: BLE001 - the worker stops the stage with what it says
            text = str(problem) if isinstance(problem, RoleError) else f"{type(problem).__name__}: {problem}"
            pipe.send(("problem", (without_secrets(text), without_secrets(traceback.format_exc()))))
        else:
            pipe.send_bytes(message)


def _end_with(parent: int) -> None:
    """End with the worker, and be the kernel's first choice when memory runs short. Outside Linux, the closed pipe must do."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the call
        sys.exit(1)
    with contextlib.suppress(OSError):  # in a container that forbids it, the kernel chooses as it likes
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    _end_with(int(sys.argv[2]))
    serve(Connection(int(sys.argv[1])))
