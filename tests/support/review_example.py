"""Handmade reviews: facts of a pair as the page carries them, a saved file, and a page of pairs. No Spark."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.look.report.pictures import draw_small
from jobs.look.review.choose import Picture
from jobs.look.review.page import Page
from tests.support.report_example import MARKUP, block
from tests.support.tiny_models import picture

START = datetime(2026, 1, 1, tzinfo=UTC)


def facts(record: str = "r", subset: int = 1, caption: str = "c", **changes: Any) -> dict[str, Any]:
    """A kept pair of the random part, one of ten drawn from a hundred."""
    versions = {"image_version": "AB12", "text_version": "CD34"}
    drawn = {"stratum": "random", "inclusion_probability": 0.1, "population": 100, "kept": True}
    return {"record_id": record, "subset": subset, "caption_id": caption} | versions | drawn | changes


def review_of(pair: dict[str, Any], verdict: str = "accept", *reasons: str, minute: int = 0, note: str = "") -> dict[str, Any]:
    """The review of a pair, judged ``minute`` minutes after the start."""
    moment = (START + timedelta(minutes=minute)).isoformat()
    return pair | {"verdict": verdict, "reasons": list(reasons), "note": note, "judged_at": moment}


def saved(*reviews: dict[str, Any], reviewer: str = "anna", **changes: Any) -> dict[str, Any]:
    """The file that a page would save."""
    head = {"format": "dualset-review-1", "export_id": "0123456789abcdef", "seed": 0, "policy": "seam > 0.5 rejects"}
    return head | {"reviewer": reviewer, "saved_at": START.isoformat(), "reviews": list(reviews)} | changes


def write(folder: Path, *judged: dict[str, Any], name: str = "saved.json", reviewer: str = "anna") -> str:
    """Write such a file and return its path."""
    path = folder / name
    path.write_text(json.dumps(saved(*judged, reviewer=reviewer)), encoding="utf-8")
    return str(path)


def example_page(pairs: int = 3) -> Page:
    """Pairs of one photograph; the texts contain markup."""
    outlined = [{"masks": [block(0, 20)]}, {"masks": [block(30, 60)]}]
    drawn = {subset: draw_small(picture(seed=subset), 256, outlined if subset == 0 else []) for subset in range(4)}
    pictures = {("r", subset): Picture(**{**drawing, "outlines": drawing["outlines"] or []}) for subset, drawing in drawn.items()}
    measured = dict.fromkeys(
        ("intruder", "survivor", "edited_fraction", "seam", "smear", "clip_true", "clip_drop", "clip_image", "judge")
    )
    rows = [
        facts(subset=1 + index % 3, caption=str(index), kept=index != 1)
        | {"original": f"A dog. {MARKUP}", "caption": f"{MARKUP} {index}", "labels": ["dog", "<b>cat</b>"], "source_key": "1.jpg"}
        | {"policy_reasons": [] if index != 1 else ["text_checks"], "residual": 0.12345, "text_agreement": None, **measured}
        for index in range(pairs)
    ]
    return Page(rows, pictures, "seam > 0.5 rejects", 0)
