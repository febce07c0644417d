"""The page: the template filled with the chosen pairs and their pictures, as one HTML file that loads nothing else."""

import base64
import difflib
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.engine.policy import MEASURED
from jobs.look.review.choose import Picture
from jobs.look.review.rows import ShownPair
from jobs.look.review.verdicts import FORMAT, REASONS, Facts

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """Everything on it: the pairs, and a picture for each (record_id, subset) of them and of their originals."""

    rows: list[ShownPair]
    pictures: dict[tuple[str, int], Picture]
    policy: str
    seed: int

    @property
    def export_id(self) -> str:
        """A hash of the page's question: which pairs, how they were chosen, and under which policy."""
        asked = [self.policy, self.seed, [facts_of(row) for row in self.rows]]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def render(page: Page) -> str:
    """The HTML. All data is in one JSON block that our script writes as text; a script without this page's nonce does not run."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = (HERE.parent / "report" / "style.css").read_text(encoding="utf-8") + (HERE / "style.css").read_text(encoding="utf-8")
    return templates.get_template("page.html.j2").render(
        data=_data(page),
        reasons=[(code, reason.text, reason.fault_of) for code, reason in REASONS.items()],
        count=len(page.rows),
        style=style,
        script=(HERE / "page.js").read_text(encoding="utf-8"),
        nonce=secrets.token_urlsafe(18),
    )


def facts_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What comes back with a verdict; see ``jobs.look.review.verdicts.Facts``."""
    return {name: row[name] for name in Facts.model_fields}


def marked(before: str, after: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """The words of the two texts, each with whether the other text lacks it at that place."""
    old, new = before.split(), after.split()
    deleted, inserted = [True] * len(old), [True] * len(new)
    for block in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        for step in range(block.size):
            deleted[block.a + step] = inserted[block.b + step] = False
    return list(zip(old, deleted, strict=True)), list(zip(new, inserted, strict=True))


def _measured(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: round(row[name], 3) for name in MEASURED if row[name] is not None}


def _data(page: Page) -> dict[str, Any]:
    places = {key: place for place, key in enumerate(page.pictures)}
    items = []
    for row in page.rows:
        before, after = marked(row["original"], row["caption"])
        bits = [bit for bit in range(len(row["labels"])) if row["subset"] >> bit & 1]
        items.append(
            {
                "facts": facts_of(row),
                "source": row["source_key"] or row["record_id"],
                "removed": [{"label": row["labels"][bit], "bit": bit} for bit in bits],
                "original": places[row["record_id"], 0],
                "dual": places[row["record_id"], row["subset"]],
                "before": before,
                "after": after,
                "filter": row["policy_reasons"],
                "measured": _measured(row),
            }
        )
    pictures = [
        {
            "webp": base64.b64encode(picture.picture).decode("ascii"),
            "width": picture.width,
            "height": picture.height,
            "outlines": picture.outlines,
        }
        for picture in page.pictures.values()
    ]
    head = {"format": FORMAT, "export_id": page.export_id, "seed": page.seed, "policy": page.policy}
    return {"head": head, "items": items, "pictures": pictures}
