"""What a run writes about itself: a line a step, a record of the whole, and MLflow if asked for."""

import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.batch import Batch
from training.options import Options, OptionsError

METRICS, RECORD = "metrics.jsonl", "run.json"


@dataclass
class Spent:
    """What a run has used so far, over all its processes and all times that it was resumed."""

    steps: int = 0
    images: int = 0
    originals: int = 0
    texts: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0

    def add(self, images: int, originals: int, texts: int, *, expected: int) -> None:
        """Count one step.

        Raises:
            RuntimeError: it had not as many images as every method has, mined and dual ones counted.
        """
        if images != expected:
            raise RuntimeError(f"a step had {images} images, and every method has {expected}")
        self.steps, self.images = self.steps + 1, self.images + images
        self.originals, self.texts = self.originals + originals, self.texts + texts

    def budget(self, epoch_images: int, accumulation: int) -> dict[str, float]:
        """A step's images, originals and texts, epochs of ``epoch_images``, and times; accumulation embeds all twice."""
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
    """``metrics.jsonl`` of a folder, cut back to what a resumed run has done, and MLflow's run."""

    output: Path
    tracked: Any

    @classmethod
    def open(cls, output: Path, options: Options, since: int) -> "Metrics":
        """Cut the file back to the first ``since`` steps and go on from there."""
        output.mkdir(parents=True, exist_ok=True)
        kept = [row for row in read_metrics(output) if row["step"] < since]
        (output / METRICS).write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        return cls(output, _mlflow(options) if options.mlflow else None)

    def add(self, row: dict[str, Any]) -> None:
        """Write one line; numbers go to MLflow too."""
        with (self.output / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self.tracked:
            numbers = {name: value for name, value in _flat(row).items() if name not in ("step", "ids")}
            self.tracked.log_metrics(numbers, step=row["step"])

    def close(self) -> None:
        """End MLflow's run."""
        if self.tracked:
            self.tracked.end_run()


def read_metrics(output: Path) -> list[dict[str, Any]]:
    """All whole lines of a run; a line that a kill has cut off is the last, and is left out."""
    file = output / METRICS
    lines = file.read_text(encoding="utf-8").split("\n")[:-1] if file.is_file() else []
    return [json.loads(line) for line in lines]


def write_record(output: Path, record: dict[str, Any]) -> None:
    """Write ``run.json``, whole or not at all."""
    partial = output / f".{RECORD}.partial"
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    partial.replace(output / RECORD)


def checksum(batch: Batch) -> int:
    """CRC-32 of a batch's ids: runs with equal numbers have seen the same."""
    return zlib.crc32("\n".join((*batch.image_ids, "", *batch.text_ids)).encode())


def _flat(row: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found |= {f"{name}/{key}": float(one) for key, one in value.items()}
        else:
            found[name] = float(value)
    return found


def _mlflow(options: Options) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    try:
        import mlflow
    except ImportError:
        raise OptionsError("--mlflow needs mlflow: install mlflow-skinny, or leave the option out") from None
    mlflow.set_tracking_uri(options.mlflow)
    mlflow.start_run(run_name=f"{options.method} {options.run_hash}")
    mlflow.log_params({name: str(value)[:500] for name, value in options.model_dump().items()})
    return mlflow
