"""How many dual texts the rules get right, by labels made by hand.

    python bench/rewriting.py --captions coco_karpathy_test.json [--labels FILE] [--show]

``tests/labels/coco_rewrites.json`` says of 414 texts, for every subset of what 200 captions name, which rewrites are right. The
captions are of the Karpathy test split of COCO; the file has none of them, only their sha-256, so they have to be at hand.

The labels are ours, by one reader. The captions were drawn by hash, after the rules of that day had been frozen, from a half of
the split that nobody had looked at; what those rules and the ones before them wrote was read mixed, without saying which wrote
what. Rules changed after reading these texts can no longer be measured on them: draw anew. That has happened to
``coco_rewrites_development.json`` (382 texts of 200 other captions): the rules were mended on it, so they look better there.

A right text is true of the image once the removed things are gone with what is attached to them or in them, in correct English,
and says nothing odd; it may say less. A text is given as words of its caption, by place (from 0), others spelled out: "0-2 with
7". What is in neither list of a text, right or wrong, is counted as unlabelled: read it and add it. A text that may name what was
removed is never kept, so it is counted as refused, with the reason ``unknown``.
"""

import argparse
import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.settings import Settings
from scenes.score_rewriting import wilson
from udfs.extract_rules import read_caption
from udfs.rewriter import Rewriter

LABELS = Path(__file__).parent.parent / "tests" / "labels" / "coco_rewrites.json"
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")


@dataclass
class Score:
    """Counts over labelled texts: ``verdicts`` (right, wrong, unlabelled, refused) and what is behind them."""

    verdicts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)  # of the wrong texts
    reasons: Counter[str] = field(default_factory=Counter)  # of the refusals
    missed: int = 0  # refusals where there is a right text
    shown: list[str] = field(default_factory=list)

    @property
    def written(self) -> int:
        """Texts that the rules wrote."""
        return sum(self.verdicts[name] for name in ("right", "wrong", "unlabelled"))


def words(text: str) -> list[str]:
    """A text's words, in the form in which two texts are compared."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def spell(pieces: str, caption: list[str]) -> list[str]:
    """The words that ``pieces`` ("0-2 with 7") stand for."""
    out: list[str] = []
    for piece in pieces.split():
        place = re.fullmatch(r"(\d+)(?:-(\d+))?", piece)
        out += caption[int(place[1]) : int(place[2] or place[1]) + 1] if place else [piece]
    return out


def captions_of(tree: Any) -> Iterator[str]:
    """The captions of a Karpathy file (a list of {image, caption: [...]}) or a COCO one ({annotations: [{caption}]})."""
    if isinstance(tree, dict):
        yield from (annotation["caption"].strip() for annotation in tree["annotations"])
    else:
        yield from (caption.strip() for entry in tree for caption in entry["caption"])


def rewrites(caption: str, labels: list[str], rewriter: Rewriter) -> list[dict[str, Any]]:
    """What ``rewriter`` makes of one caption for every subset of ``labels``, as the stage would call it."""
    read = read_caption({"caption_id": "", "caption": caption, "status": "ok"})
    mentions = [m | {"bit": labels.index(m["label"]) if m["label"] in labels else -1} for m in read["components"]]
    struct = read | {"caption": caption, "names": (1 << len(labels)) - 1, "may_name": 0, "mentions": mentions}
    (result,) = rewriter([{"labels": labels, "captions": [struct]}])
    assert isinstance(result, dict), f"the rewriter failed: {result}"
    return list(result["texts"])


def score(entries: list[dict[str, Any]], known: dict[str, str]) -> Score:
    """Rewrite the labelled captions that are in ``known`` (sha-256 to caption) and compare."""
    out, rewriter = Score(), Rewriter(Settings(), "cpu", [])
    for entry in entries:
        caption = known.get(entry["sha256"])
        if caption is None:
            continue
        spoken = words(caption)
        for text in rewrites(caption, entry["labels"], rewriter):
            removed = [label for i, label in enumerate(entry["labels"]) if text["subset"] >> i & 1]
            _judge(out, entry["texts"][",".join(removed)], spoken, text, f"{caption!r} - {', '.join(removed)}")
    return out


def _judge(out: Score, label: dict[str, Any], spoken: list[str], text: dict[str, Any], what: str) -> None:
    unknown = text["status"] == "ok" and text["may_mention"] & text["subset"]
    if text["status"] != "ok" or unknown:
        reason = "unknown" if unknown else text["status"]
        out.verdicts["refused"] += 1
        out.reasons[reason] += 1
        out.missed += bool(label["right"])
        if label["right"]:
            out.shown.append(f"refused ({reason}): {what}; right: {' '.join(spell(label['right'][0], spoken))}")
        return
    written = words(text["caption"])
    kind = next((kind for pieces, kind in label.get("wrong", {}).items() if spell(pieces, spoken) == written), None)
    verdict = "right" if any(spell(p, spoken) == written for p in label["right"]) else ("wrong" if kind else "unlabelled")
    out.verdicts[verdict] += 1
    if kind:
        out.kinds[kind] += 1
    if verdict != "right":
        out.shown.append(f"{verdict}{f' ({kind})' if kind else ''}: {what}: {text['caption']}")


def main() -> None:
    """Score the rules that are installed and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", required=True, help="the Karpathy test split's captions, JSON")
    parser.add_argument("--labels", default=str(LABELS), help="labels, JSON")
    parser.add_argument("--show", action="store_true", help="print every text that is not right, with its caption")
    given = parser.parse_args()
    with open(given.captions, encoding="utf-8") as file:
        known = {hashlib.sha256(caption.encode()).hexdigest(): caption for caption in captions_of(json.load(file))}
    with open(given.labels, encoding="utf-8") as file:
        entries = json.load(file)["captions"]
    found = sum(entry["sha256"] in known for entry in entries)
    if not found:
        raise SystemExit(f"{given.captions} has none of the {len(entries)} labelled captions")
    result = score(entries, known)
    right, written = result.verdicts["right"], result.written
    low, high = wilson(right, written)
    total = sum(result.verdicts.values())
    print(f"| labelled captions found | {found} of {len(entries)} |\n|---|---|\n| texts | {total} |")
    print(f"| right, of those written | {right} of {written}: {right / max(written, 1):.1%} ({low:.1%} to {high:.1%}) |")
    print(f"| wrong | {result.verdicts['wrong']}: {_counts(result.kinds)} |")
    print(f"| written but not labelled | {result.verdicts['unlabelled']} |")
    refused = result.verdicts["refused"]
    print(f"| refused | {refused} ({refused / total:.1%}): {_counts(result.reasons)} |")
    print(f"| refused although there is a right text | {result.missed} ({result.missed / total:.1%}) |")
    if given.show:
        print("\n" + "\n".join(result.shown))


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"


if __name__ == "__main__":
    main()
