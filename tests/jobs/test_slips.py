"""A slip on the command line is one line on stderr, whatever the command: wrong options, roots, files and weights."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
from pyspark.sql import SparkSession

from jobs import cli
from jobs.console import run_app
from tests.support.bad_inputs import PICTURES

Say = Callable[..., tuple[int, str]]
PROFILE = ("--profile", "annotations")
# Every command that needs a root with tables in it.
ON_TABLES = (
    *(("status",), ("run",), ("check",), ("sql", "SELECT 1"), ("measure",), ("sheet", "--output", "s.png"), ("report",)),
    *(("publish",), ("withdraw", "--record-id", "x", "--reason", "y"), ("retry", "--status", "model_error")),
    *(("review", "export"), ("review", "summary"), ("review", "import", "x.json")),
)


@pytest.fixture
def say(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run a command in an empty folder that fails; its exit code, and the one line that it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dualset"])

    def run(*arguments: str, app: typer.Typer = cli.app) -> tuple[int, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            run_app(app, arguments)
        error = capfd.readouterr().err
        assert error.count("\n") == 1 and error.startswith("dualset: ") and len(error) < 700, error
        return int(end.value.code or 0), error.removeprefix("dualset: ").rstrip()

    return run


@pytest.mark.parametrize(
    "command",
    [
        *(f"{name} --root R" for name in ("measure", "sheet", "report", "review export")),
        "evaluate --benchmark custom --data D --model M",
    ],
)
def test_an_output_that_cannot_be_written_is_said_before_the_work(say: Say, tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("")
    for output, line in ((".", f"{tmp_path}: Is a directory"), ("file/page", f"{tmp_path}/file/page: Not a directory")):
        assert say(*command.split(), "--output", output) == (1, line)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("ingest folder --captions a.csv --root R", "Missing option '--images'; see dualset ingest folder --help"),
        ("ingest folder --images a --captions b", "Missing option '--root'; see dualset ingest folder --help"),
        ("ingest nosuch --root R", "No such command 'nosuch'; see dualset ingest --help"),
        ("run --root R --nosuch", "No such option: --nosuch; see dualset run --help"),
        ("run", "Missing option '--root'; see dualset run --help"),
        ("sheet --root R --output s.png --families x", "'x' is not a valid int"),
        ("study --world nosuch", "no world nosuch"),
        ("compare --snapshot S --output O", "Missing option"),
    ],
)
def test_a_wrong_option_is_one_line(say: Say, arguments: str, line: str) -> None:
    code, said = say(*arguments.split())
    message, _, page = line.partition("; see dualset")
    assert code == 2 and message in said and said.endswith(f"{page or ' --help'}")


@pytest.mark.parametrize("command", [[], ["ingest"], ["review"]])
def test_a_command_without_a_command_is_its_help(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["dualset"])
    with pytest.raises(SystemExit) as end:
        cli.main(command)
    assert end.value.code == 2
    assert "Usage: " in capsys.readouterr().out


def test_what_cannot_be_written_and_an_interrupt_are_one_line(say: Say, tmp_path: Path) -> None:
    app = typer.Typer()

    @app.command()
    def write(place: str) -> None:
        Path(place).write_text("x")

    @app.command()
    def wait() -> None:
        raise KeyboardInterrupt

    (tmp_path / "file").touch()
    assert say("write", str(tmp_path / "file" / "x"), app=app) == (1, f"{tmp_path}/file/x: Not a directory")
    assert say("write", str(tmp_path), app=app) == (1, f"{tmp_path}: Is a directory")
    assert say("wait", app=app) == (130, "stopped; run the same command again to go on")


def test_a_wrong_profile_is_one_line(say: Say, tmp_path: Path) -> None:
    for name, data in {"utf16.yaml": "plan: {}".encode("utf-16"), "latin.yaml": b"\xe4: 1", "open.yaml": b"a: [\nb: 1\n"}.items():
        (tmp_path / name).write_bytes(data)
        code, line = say("settings", "--profile", name)
        assert code == 1 and line.startswith(f"{name} is not YAML")


@pytest.mark.parametrize("root", ["nowhere", "empty", "file", "file/below", "/proc/nowhere"])
def test_a_root_without_tables_is_one_line(spark: SparkSession, say: Say, tmp_path: Path, root: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    for command in ON_TABLES:
        code, line = say(*command, "--root", root, *PROFILE)
        assert code == 1, command
        assert "has no tables yet: dualset ingest KIND" in line or command[0] in ("check", "publish"), line
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"


@pytest.mark.parametrize("root", ["file", "/proc/nowhere", "nosuch://bucket/x"])
def test_a_root_that_cannot_be_written_is_one_line(spark: SparkSession, say: Say, tmp_path: Path, root: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "t.csv").write_text("file,caption\nred.png,A wall.\n")
    code, line = say("ingest", "folder", "--images", ".", "--captions", "t.csv", "--root", root, *PROFILE)
    assert code == 1 and ("locks cannot be written" in line or "Protocol not known" in line), line


def test_a_damaged_table_is_one_line(spark: SparkSession, say: Say, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(PICTURES["red.png"])
    (tmp_path / "t.csv").write_text("file,caption\nred.png,A wall.\n")
    with pytest.raises(SystemExit) as end:
        cli.main(["ingest", "folder", "--images", ".", "--captions", "t.csv", "--root", "R", *PROFILE])
    assert end.value.code == 0
    for file in (tmp_path / "R/tables/images").glob("*.parquet"):
        file.unlink()
    for command in (("sql", "SELECT max(length(image)) FROM images"), ("status",)):
        code, line = say(*command, "--root", "R", *PROFILE)
        assert code == 1 and "images/part-" in line and "does not exist" in line.lower(), line
    assert "PARSE_SYNTAX_ERROR" in say("sql", "SELEC", "--root", "R", *PROFILE)[1]
    assert "`nosuch`" in say("sql", "SELECT nosuch FROM images", "--root", "R", *PROFILE)[1]


class Runs:
    """A pickle that runs code."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.mkdir, ("ran",)


def test_a_file_that_is_no_weights_is_one_line(say: Say, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"state_dict": 3}, tmp_path / "number.pt")
    torch.save({"x": Runs()}, tmp_path / "code.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps({"a": 1}, protocol=4))
    (tmp_path / "cut.pt").write_bytes((tmp_path / "other.pt").read_bytes()[:700])
    (tmp_path / "pointer.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    (tmp_path / "page.pt").write_bytes(b"<!DOCTYPE html>\n<html>")
    lines = {
        "other.pt": "has the weights of another model: Error(s) in loading state_dict",
        "list.pt": "holds no state dict",
        "number.pt": "holds no state dict",
        "code.pt": "holds more than tensors",
        "pickle.pt": "holds more than tensors",
        "cut.pt": "is damaged or cut short: download it again",
        "pointer.pt": "is a Git LFS pointer",
        "page.pt": "is a web page",
        "nosuch.pt": "not a known tag or valid file path",
    }
    of_model = ("--benchmark", "sugarcrepe", "--data", "D", "--model", "embedded:clip_objects.json")
    for name, part in lines.items():
        code, line = say("evaluate", *of_model, "--checkpoint", name)
        assert code == 1 and name in line and part in line, line
    assert not (tmp_path / "ran").exists()


def test_a_wrong_model_benchmark_or_snapshot_is_one_line(say: Say, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    missing = say("evaluate", "--benchmark", "sugarcrepe", "--data", "D", "--model", "RUN/final")[1]
    assert "RUN/final is no folder of a model with its weights, and the checkpoint is empty" in missing
    assert "there is no benchmark 'nosuch'" in say("evaluate", "--benchmark", "nosuch", "--data", "D", "--model", "x")[1]
    for snapshot in ("nowhere", "file"):
        for command in (("train",), ("tune", "--trials", "1")):
            line = say(*command, "--snapshot", snapshot, "--output", f"{command[0]}-{snapshot}")[1]
            assert line.startswith(f"{snapshot} has no manifest.json"), line
    assert "nowhere has no snapshot" in say("train", "--root", "nowhere", "--output", "O")[1]


def test_a_study_without_runs_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["dualset"])
    with pytest.raises(SystemExit) as end:
        cli.main(["study", "--output", str(tmp_path / "none")])
    assert end.value.code == 0
    assert "none has no runs to report" in capsys.readouterr().out


def test_a_session_that_cannot_start_ends_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.cli", "status", "--root", str(tmp_path), "--set", "spark.driver_memory=x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("dualset: Spark cannot start: ")
