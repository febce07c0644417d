"""The records of runs: one JSON Lines file per regime, one line per run; small, committed, and all that a report needs.

Several processes may add to one file: a writer holds its lock, writes a temporary file and renames it. Readers need no lock.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from training.study import StudyError
from training.study.arms import Unit
from training.study.questions import Packed
from udfs.files import write_whole


class RecordError(StudyError):
    """A line or a file is not a record of a run, or has another version."""


class _Node(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Weights(_Node):
    """The answers of one set of a run's weights: its training ``step``, and its ``verdicts`` by "group/metric"."""

    step: int
    verdicts: Packed


class Record(_Node):
    """A finished run. ``settings`` are all options; ``final`` and ``best`` are missing for a trial of tuning."""

    format: int = 1
    regime: str
    arm: str
    seed: int
    trial: int | None
    snapshot: str
    questions: str
    start: str
    commit: str
    device: str
    cpu_seconds: float
    settings: dict[str, Any]
    setting: dict[str, Any]
    budget: dict[str, float]
    pairs: dict[str, int]
    validation: list[dict[str, float]]
    final: Weights | None
    best: Weights | None

    @property
    def name(self) -> str:
        """The run's name, by which records are sorted: no two records of a file share it."""
        return Unit(self.arm, self.seed, self.trial).name

    @property
    def score(self) -> float:
        """The best validation, by which tuning chooses."""
        return max(row["score"] for row in self.validation)

    @property
    def last_score(self) -> float:
        """The last validation."""
        return self.validation[-1]["score"]


def write(record: Record, file: Path) -> None:
    """Add a record to a regime's file atomically; it replaces an earlier record of the same run.

    Raises:
        RecordError: the file has a line that is not a record, or the folder has the old layout.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with lock_of(file):
        lines = dict(_lines(file))
        lines[record.name] = json.dumps(record.model_dump(mode="json"))
        _replace(file, lines)


def read_all(file: Path, regime: str) -> dict[str, Record]:
    """The records of one regime in a file, by run name and sorted by it; empty if there is no file.

    Raises:
        RecordError: a line is not a record, or the folder has the old layout.
    """
    records = {name: _parsed(line, f"{file}, {name}") for name, line in _lines(file)}
    return {name: record for name, record in records.items() if record.regime == regime}


def convert(runs: Path) -> dict[Path, int]:
    """Convert a folder from the old layout, ``REGIME/NAME.json``, to the present one, ``REGIME.jsonl``.

    Returns:
        The number of records written to each new file.

    Raises:
        RecordError: a file is not a record, or is not named after its run. Its regime is then left unchanged.
    """
    converted = {}
    for folder in sorted(path for path in runs.glob("*/") if _old_records(path)):
        file = runs / f"{folder.name}.jsonl"
        with lock_of(file):
            old = _old_records(folder)
            lines = {}
            for path in old:
                text = path.read_text(encoding="utf-8")
                if _parsed(text, str(path)).name != path.stem:
                    raise RecordError(f"{path} is the record of another run, {_parsed(text, str(path)).name}: rename it")
                lines[path.stem] = json.dumps(json.loads(text))
            _replace(file, lines | dict(_lines_of(file)))
            if (questions := folder / "questions.json").is_file():
                questions.rename(questions_of(file))
            for path in old:
                path.unlink()
            if not any(folder.iterdir()):
                folder.rmdir()
            converted[file] = len(lines)
    return converted


def questions_of(file: Path) -> Path:
    """The file about the questions (``questions.Numbers``), next to a regime's records."""
    return file.with_suffix(".questions.json")


def lock_of(file: Path) -> FileLock:
    """The lock to hold while writing a regime's records or its questions file."""
    return FileLock(file.with_suffix(".lock"))


def _old_records(folder: Path) -> list[Path]:
    return sorted(folder.glob("*_*.json"))


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """The lines of a file with the names of their runs."""
    if _old_records(file.with_suffix("")):
        raise RecordError(
            f"{file.with_suffix('')} has one file a run, as earlier versions wrote them:"
            f" `dualset study --output {file.parent.parent}` converts them"
        )
    yield from _lines_of(file)


def _lines_of(file: Path) -> Iterator[tuple[str, str]]:
    if not file.is_file():
        return
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            tree = json.loads(line)
            name = Unit(tree["arm"], tree["seed"], tree["trial"]).name
        except (ValueError, TypeError, KeyError) as problem:
            raise RecordError(f"{file}, line {number} is no record of a run: {problem!r}") from problem
        yield name, line


def _parsed(text: str, source: str) -> Record:
    try:
        return Record.model_validate_json(text)
    except ValidationError as problem:
        raise RecordError(f"{source} is no record of a run: {problem.errors()[0]['msg']}") from problem


def _replace(file: Path, lines: Mapping[str, str]) -> None:
    write_whole(file, "".join(f"{lines[name]}\n" for name in sorted(lines)))
