"""The file of one run: small, committed, and all that a report needs of it."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from training.study import StudyError
from training.study.questions import Packed


class RecordError(StudyError):
    """A run's file is none, or is of another version."""


class _Node(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Weights(_Node):
    """What one set of a run's weights answers: ``step`` of training, ``verdicts`` by "group/metric"."""

    step: int
    verdicts: Packed


class Record(_Node):
    """A finished run. ``settings`` are all options; ``final`` and ``best`` are missing of a try of tuning."""

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
    def score(self) -> float:
        """The best validation, by which tuning chooses."""
        return max(row["score"] for row in self.validation)

    @property
    def last_score(self) -> float:
        """The last validation."""
        return self.validation[-1]["score"]


def write(record: Record, file: Path) -> None:
    """Write a record, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part")
    partial.write_text(json.dumps(record.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    partial.rename(file)


def read(file: Path) -> Record:
    """Read a record.

    Raises:
        RecordError: it is none.
    """
    try:
        return Record.model_validate_json(file.read_text(encoding="utf-8"))
    except ValidationError as problem:
        raise RecordError(f"{file} is no record of a run: {problem.errors()[0]['msg']}") from problem


def read_all(folder: Path, regime: str) -> dict[str, Record]:
    """The records of a folder that are of one regime, by their files' names."""
    found = {file.stem: read(file) for file in sorted(folder.glob("*_*.json"))}
    return {name: record for name, record in found.items() if record.regime == regime}
