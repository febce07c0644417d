"""The demo, smaller: from nothing to a trained model and a report, with the models of the project."""

import json
from pathlib import Path
from typing import Any

from jobs.demo import PROFILE, run_demo
from jobs.settings import load_settings
from jobs.stream import Run
from jobs.tables import Store


def test_scenes_to_a_report(spark: Any, tmp_path: Path) -> None:
    said: list[str] = []
    settings = load_settings(PROFILE, ["publish.shards=2"])
    store = Store.of(spark, str(tmp_path), settings)
    place = run_demo(Run(store, settings), said.append, count=10, steps=6)
    page = Path(place).read_text(encoding="utf-8")
    assert page.count("<html") == 1 and "segmenter_objects" in page and "inpainter_objects" in page
    assert store.read("images").count() == 10
    models = {row["model"] for row in store.read("instances").select("model").distinct().collect()}
    assert models == {"segmenter_objects.pt"}
    scores = store.read("scores").where("status = 'ok'")
    assert scores.where("clip_true IS NULL OR clip_image IS NULL").count() == 0, "the embedder is one of the project's"
    record = json.loads((tmp_path / "training" / "run.json").read_text())
    assert record["budget"]["image_passes_a_step"] == 64 and record["options"]["method"] == "powerset"
    assert any(place in line for line in said)
