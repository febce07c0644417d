"""What a run logs: one line per step, a record of the whole run, and MLflow if asked for."""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from training.data.batch import Batch
from training.options import Options, OptionsError

METRICS, RECORD = "metrics.jsonl", "run.json"


class MetricsRow(TypedDict):
    """A step: one line of ``metrics.jsonl``."""

    step: int  # from 0
    loss: float
    lr: float  # learning rate
    scale: float  # logit scale after the step
    parts: dict[str, float]  # the loss's weighted terms
    counts: dict[str, int]  # pairs of images and texts by their use
    ids: int  # checksum of the batch
    validation: NotRequired[dict[str, float]]


class RunRecord(TypedDict):
    """A run: the content of ``run.json``; budget and best are added when it ends."""

    run: str  # hash of options, snapshot and model
    options: dict[str, Any]
    snapshot: str
    model: str  # hash of the weights that training started from
    processes: int
    device: str
    precision: str
    epoch_images: int
    budget: NotRequired[dict[str, float]]
    best: NotRequired[dict[str, float]]  # step and measures of the best validation; empty without validation


@dataclass
class Spent:
    """What a run has used so far, over all processes and resumptions."""

    steps: int = 0
    images: int = 0
    originals: int = 0
    texts: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0

    def add(self, images: int, originals: int, texts: int, *, expected: int) -> None:
        """Count one step.

        Raises:
            RuntimeError: it does not have as many images (mined and dual ones included) as every method must have.
        """
        if images != expected:
            raise RuntimeError(f"a step had {images} images instead of the {expected} of every method")
        self.steps, self.images = self.steps + 1, self.images + images
        self.originals, self.texts = self.originals + originals, self.texts + texts

    def budget(self, epoch_images: int, accumulation: int) -> dict[str, float]:
        """Images, originals and texts per step, epochs of ``epoch_images`` images, and seconds; accumulation embeds twice."""
        steps = max(1, self.steps)
        return {
            "image_passes_a_step": self.images / steps * (2 if accumulation > 1 else 1),
            "images_a_step": self.images / steps,
            "originals_a_step": round(self.originals / steps, 3),
            "texts_a_step": round(self.texts / steps, 3),
            "epochs": round(self.images / epoch_images, 3),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "wall_seconds": round(self.wall_seconds, 1),
        }


@dataclass
class Metrics:
    """The ``metrics.jsonl`` of a folder, and MLflow's run if there is one."""

    output: Path
    mlflow: Any  # the module, or None

    @classmethod
    def open(cls, output: Path, options: Options, since: int) -> "Metrics":
        """Cut the file back to the first ``since`` steps, those of the checkpoint that a run resumes from."""
        output.mkdir(parents=True, exist_ok=True)
        rows = [row for row in read_metrics(output) if row["step"] < since]
        (output / METRICS).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return cls(output, _mlflow(options) if options.mlflow else None)

    def add(self, row: MetricsRow) -> None:
        """Write one line; its numbers also go to MLflow."""
        with (self.output / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self.mlflow:
            numbers = {name: value for name, value in _flat(row).items() if name not in ("step", "ids")}
            self.mlflow.log_metrics(numbers, step=row["step"])

    def close(self) -> None:
        """End MLflow's run."""
        if self.mlflow:
            self.mlflow.end_run()


def read_metrics(output: Path) -> list[MetricsRow]:
    """The complete lines of a run's metrics; a last line that was cut off when the run was killed is left out."""
    file = output / METRICS
    lines = file.read_text(encoding="utf-8").split("\n")[:-1] if file.is_file() else []
    return [json.loads(line) for line in lines]


def write_record(output: Path, record: RunRecord) -> None:
    """Write ``run.json``, completely or not at all."""
    partial = output / f".{RECORD}.partial"
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    partial.replace(output / RECORD)


def checksum(batch: Batch) -> int:
    """CRC-32 of a batch's ids: runs with equal checksums have seen the same batches."""
    return zlib.crc32("\n".join((*batch.image_ids, "", *batch.text_ids)).encode())


def _flat(row: Mapping[str, Any]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}/{key}": float(part) for key, part in value.items()}
        else:
            flat[name] = float(value)
    return flat


def _mlflow(options: Options) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    try:
        import mlflow
    except ImportError:
        raise OptionsError("--mlflow needs the package mlflow-skinny: install it, or leave the option out") from None
    mlflow.set_tracking_uri(options.mlflow)
    mlflow.start_run(run_name=f"{options.method} {options.run_hash}")
    mlflow.log_params({name: str(value)[:500] for name, value in options.model_dump().items()})
    return mlflow
