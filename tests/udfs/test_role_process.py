"""A role's process: the row that hangs or kills it is named and costs itself, and no process outlives its worker."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.settings import validate_settings
from udfs import role_process
from udfs.role import RoleError
from udfs.role_process import RoleProcess

FAKE = "tests.support.fake_roles:FakeModel"


@pytest.fixture
def tree(tmp_path: Path) -> str:
    return validate_settings({"segmenter": {"weights": str(tmp_path / "log")}}).model_dump_json()


@pytest.fixture(scope="module")
def child() -> Iterator[RoleProcess]:
    """One for all tests: starting a process takes seconds."""
    role = RoleProcess()
    yield role
    role.close()


@pytest.fixture
def process(child: RoleProcess, tree: str) -> RoleProcess:
    child.open(FAKE, tree, "", 0, deadline_s=1)
    return child


def rows(*words: str) -> list[dict[str, str]]:
    return [{"word": word} for word in words]


def noted(tmp_path: Path) -> list[str]:
    return (tmp_path / "log").read_text().splitlines()


def test_results_are_those_of_a_worker(process: RoleProcess, tmp_path: Path) -> None:
    first, second = process(rows("dog", "rude"))
    assert (first["length"], first["status"], first["model"], first["device"]) == (3, "ok", "fake", "cpu")
    assert (second["status"], second["error"]) == ("too_rude", "rude")
    assert first["seconds"]["load"] > 0
    assert noted(tmp_path) == ["load", "call 2"]


def test_the_guilty_rows_are_named_and_the_others_have_results(process: RoleProcess) -> None:
    results = process(rows("dog", "hang", "crash", "cow", "leave", "stutter", "horse"))
    assert [row["status"] for row in results] == ["ok", "timed_out", "worker_died", "ok", "worker_died", "worker_died", "ok"]
    assert [row["error"] for row in results] == [
        None,
        "no result after 1 seconds (spark.row_deadline_s)",
        "the process of fake ended, killed by SIGSEGV",
        None,
        "the process of fake ended, with exit status 3",
        "the process of fake ended, with exit status 0",
        None,
    ]
    assert {row["model"] for row in results} == {"fake"}
    assert {frozenset(row["seconds"]) for row in results} == {frozenset(("load", "decode", "model", "encode"))}


def test_a_batch_that_is_too_large_is_cut_and_so_are_the_next(process: RoleProcess, tmp_path: Path) -> None:
    assert [row["length"] for row in process(rows("crowd", "dog"))] == [5, 3]
    assert [row["length"] for row in process(rows("crowd", "cat"))] == [5, 3]
    assert noted(tmp_path) == ["load", "call 2", "load", *["call 1"] * 4]


def test_a_model_that_every_row_kills_stops_the_stage(process: RoleProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_process, "MOST_LOST_IN_A_ROW", 2)
    assert process(rows("crash"))[0]["status"] == "worker_died"
    assert process(rows("dog"))[0]["status"] == "ok"
    assert process._lost_in_a_row == 0, "there was a result between"
    monkeypatch.setattr(role_process, "MOST_LOST_IN_A_ROW", 1)
    with pytest.raises(RoleError, match=r"fake was lost at 1 rows one after the other.*SIGSEGV"):
        process(rows("crash"))


def test_a_row_that_is_killed_once_gets_a_second_try(process: RoleProcess) -> None:
    assert process(rows("once"))[0]["status"] == "ok"


def test_no_row_is_charged_for_a_process_that_ended_before_it(process: RoleProcess, tree: str, tmp_path: Path) -> None:
    def kill() -> None:
        assert process._process is not None
        process._process.kill()
        process._process.wait()

    kill()
    assert [row["status"] for row in process(rows("dog", "cat"))] == ["ok", "ok"]
    kill()
    process.open(FAKE, tree, "", 0, 1)  # the next task
    process(rows("dog", "cat"))
    assert noted(tmp_path) == ["load", "load", "call 2", "load", "call 2"]


def test_rows_lost_by_another_model_do_not_count(process: RoleProcess, tree: str) -> None:
    process(rows("crash"))
    assert process._lost_in_a_row == 1
    process.open("tests.support.fake_roles:OtherFakeModel", tree, "", 0, 1)
    assert process._lost_in_a_row == 0


def test_modules_that_spark_adds_later_are_found(
    process: RoleProcess, tree: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "added.py").write_text("from tests.support.fake_roles import FakeModel")
    monkeypatch.syspath_prepend(str(tmp_path))
    process.open("added:FakeModel", tree, "", 0, 1)
    assert process(rows("dog"))[0]["length"] == 3


def test_what_stops_a_stage_says_the_same_as_in_a_worker(process: RoleProcess, tree: str) -> None:
    with pytest.raises(RoleError, match="^fake gave 0 results for 2 rows"):
        process(rows("dog", "swallow"))
    with pytest.raises(RoleError, match="AcceleratorError: CUDA error") as stopped:
        process(rows("broken device"))
    assert "fake_roles.py" in stopped.value.__notes__[0], "where it was raised"
    with pytest.raises(RoleError, match=r"PicklingError|AttributeError: Can't pickle"):
        process(rows("lambda"))
    assert process(rows("dog"))[0]["length"] == 3, "a new process: the other one's GPU context was lost"
    with pytest.raises(RoleError, match="^cannot load FakeWithoutWeights: FileNotFoundError: no weights"):
        process.open("tests.support.fake_roles:FakeWithoutWeights", tree, "", 0, 1)


def test_a_model_that_dies_while_it_loads_stops_the_stage(tree: str) -> None:
    with pytest.raises(RoleError, match="cannot load FakeThatCannotStart: its process ended, with exit status 4"):
        RoleProcess().open("tests.support.fake_roles:FakeThatCannotStart", tree, "", 0, 1)


def test_a_reused_worker_keeps_its_process(tree: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_process, "_held", None)
    for _ in range(3):  # three tasks
        role_process.opened(FAKE, tree, "", 0, 1)(rows("dog"))
    held = role_process._held
    assert held is not None
    held.close()
    assert noted(tmp_path) == ["load", "call 1", "call 1", "call 1"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_no_process_outlives_its_worker(tree: str, tmp_path: Path) -> None:
    script = f"""
import os, signal
from udfs.role_process import RoleProcess
role = RoleProcess()
role.open({FAKE!r}, {tree!r}, "", 0, 3600)
print(role._process.pid, flush=True)
role._pipe.send(("rows", [{{"word": "hang"}}]))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    child = Path("/proc") / done.stdout.strip()
    for _ in range(100):
        if not child.exists():
            return
        time.sleep(0.1)
    pytest.fail("the process goes on without its worker")
