"""Reviews made by hand: facts of a pair as the page carries them, a saved file, and a page of two pairs. No Spark."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from report_example import MARKUP, block
from tiny_models import picture

from jobs.report.pictures import draw_small
from jobs.review.choose import Picture
from jobs.review.page import Page

START = datetime(2026, 1, 1, tzinfo=UTC)


def facts(record: str = "r", subset: int = 1, caption: str = "c", **changes: Any) -> dict[str, Any]:
    """A kept pair of the random part, one of ten of a hundred."""
    versions = {"image_version": "AB12", "text_version": "CD34"}
    drawn = {"stratum": "random", "inclusion_probability": 0.1, "population": 100, "kept": True}
    return {"record_id": record, "subset": subset, "caption_id": caption} | versions | drawn | changes


def word(pair: dict[str, Any], verdict: str = "accept", *reasons: str, minute: int = 0, note: str = "") -> dict[str, Any]:
    """What is said of it, so many minutes after the start."""
    moment = (START + timedelta(minutes=minute)).isoformat()
    return pair | {"verdict": verdict, "reasons": list(reasons), "note": note, "judged_at": moment}


def saved(*words: dict[str, Any], reviewer: str = "anna", **changes: Any) -> dict[str, Any]:
    """The file that a page would save."""
    head = {"format": "dualset-review-1", "export_id": "0123456789abcdef", "seed": 0, "policy": "seam > 0.5 rejects"}
    return head | {"reviewer": reviewer, "saved_at": START.isoformat(), "reviews": list(words)} | changes


def write(folder: Path, *words: dict[str, Any], name: str = "saved.json", reviewer: str = "anna") -> str:
    """The path of such a file."""
    place = folder / name
    place.write_text(json.dumps(saved(*words, reviewer=reviewer)), encoding="utf-8")
    return str(place)


def example_page(pairs: int = 3) -> Page:
    """Pairs of one photograph; the texts try to be markup."""
    outlined = [{"masks": [block(0, 20)]}, {"masks": [block(30, 60)]}]
    made = {subset: draw_small(picture(seed=subset), 256, outlined if subset == 0 else []) for subset in range(4)}
    pictures = {("r", subset): Picture(**{**one, "outlines": one["outlines"] or []}) for subset, one in made.items()}
    measured = dict.fromkeys(("intruder", "survivor", "edited_fraction", "seam", "clip_true", "clip_drop", "clip_image", "judge"))
    rows = [
        facts(subset=1 + place % 3, caption=str(place), kept=place != 1)
        | {"original": f"A dog. {MARKUP}", "caption": f"{MARKUP} {place}", "labels": ["dog", "<b>cat</b>"], "source_key": "1.jpg"}
        | {"policy_reasons": [] if place != 1 else ["text_checks"], "residual": 0.12345, "text_agreement": None, **measured}
        for place in range(pairs)
    ]
    return Page(rows, pictures, "seam > 0.5 rejects", 0)
