"""The page: the chosen pairs and their pictures, through the template, as one HTML file that asks for nothing else."""

import base64
import difflib
import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.policy import MEASURED
from jobs.review.choose import Picture
from jobs.review.words import FORMAT, REASONS, Facts

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """Everything on it: rows of ``jobs.review.choose.add_context``, and a picture for each (record_id, subset) of them."""

    rows: list[dict[str, Any]]
    pictures: dict[tuple[str, int], Picture]
    policy: str
    seed: int

    @property
    def export_id(self) -> str:
        """Of what is asked: which pairs, chosen how, under which policy."""
        asked = [self.policy, self.seed, [facts_of(row) for row in self.rows]]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def render(page: Page) -> str:
    """The HTML. All data is in one JSON block that our script writes out as text; one without this page's nonce would not run."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = (HERE.parent / "report" / "style.css").read_text(encoding="utf-8") + (HERE / "style.css").read_text(encoding="utf-8")
    return templates.get_template("page.html.j2").render(
        data=_data(page),
        reasons=[(code, text, kind) for code, (text, kind) in REASONS.items()],
        count=len(page.rows),
        style=style,
        script=(HERE / "page.js").read_text(encoding="utf-8"),
        nonce=secrets.token_urlsafe(18),
    )


def facts_of(row: dict[str, Any]) -> dict[str, Any]:
    """What comes back with a word; see ``jobs.review.words.Facts``."""
    return {name: row[name] for name in Facts.model_fields}


def marked(before: str, after: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """The words of both texts, each with whether the other text lacks it at that place."""
    old, new = before.split(), after.split()
    gone, come = [True] * len(old), [True] * len(new)
    for block in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        for step in range(block.size):
            gone[block.a + step] = come[block.b + step] = False
    return list(zip(old, gone, strict=True)), list(zip(new, come, strict=True))


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
                "measured": {name: round(row[name], 3) for name in MEASURED if row[name] is not None},
            }
        )
    pictures = [
        {
            "webp": base64.b64encode(one.picture).decode("ascii"),
            "width": one.width,
            "height": one.height,
            "outlines": one.outlines,
        }
        for one in page.pictures.values()
    ]
    head = {"format": FORMAT, "export_id": page.export_id, "seed": page.seed, "policy": page.policy}
    return {"head": head, "items": items, "pictures": pictures}
