"""The demo at a smaller size: from nothing to a trained model and a report, with the project's own models."""

import json
from pathlib import Path
from typing import Any

from jobs.demo.scenes import PROFILE, run_demo
from jobs.engine.stream import Run
from jobs.engine.tables import Store
from jobs.settings import load_settings
from training.demo import train_briefly


def test_scenes_to_a_report(spark: Any, tmp_path: Path) -> None:
    log: list[str] = []
    settings = load_settings(PROFILE, ["publish.shards=2"])
    store = Store.of(spark, str(tmp_path), settings)
    page_path = run_demo(Run(store, settings), log.append, train_briefly, count=10, steps=6)
    page = Path(page_path).read_text(encoding="utf-8")
    assert page.count("<html") == 1 and "segmenter_objects" in page and "inpainter_objects" in page
    assert store.read("images").count() == 10
    models = {row["model"] for row in store.read("instances").select("model").distinct().collect()}
    assert models == {"segmenter_objects.pt"}
    scores = store.read("scores").where("status = 'ok'")
    assert scores.where("clip_true IS NULL OR clip_image IS NULL").count() == 0, "the embedder is one of the project's"
    record = json.loads((tmp_path / "training" / "run.json").read_text())
    assert record["budget"]["image_passes_a_step"] == 64 and record["options"]["method"] == "powerset"
    assert any(page_path in line for line in log)
