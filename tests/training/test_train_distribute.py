"""A training run that Spark starts."""

import json
from pathlib import Path

from pyspark.sql import SparkSession

from tests.support.snapshots import drawn, write
from training.distribute import train_by_spark
from training.options import make_options
from training.track import read_metrics

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "width": 32, "heads": 2, "layers": 1},
}


def test_spark_starts_two_processes_that_train_together(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path / "snapshot", drawn(40))
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    files = {"snapshot": str(tmp_path / "snapshot"), "model": str(tmp_path / "tiny.json"), "output": str(tmp_path / "run")}
    train_by_spark(
        make_options(files | {"device": "cpu", "batch_size": 8, "steps": 4, "warmup": 1, "zero": 1, "eval_every": 0}), 2
    )
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["processes"] == 2 and record["budget"]["images_a_step"] == 8
    assert [row["step"] for row in read_metrics(tmp_path / "run")] == [0, 1, 2, 3]
