"""The accuracy of dual texts written by the rules, or with language models, against labels made by hand.

    python -m tests.bench.rewriting --captions coco_karpathy_test.json [--labels FILE] [--show]
    python -m tests.bench.rewriting --captions FILE --limit 70 --set 'rewriter.models=[{kind: transformers, model: FILE.gguf}]'

``tests/labels/coco_rewrites.json`` lists the right rewrites of 414 texts: 200 captions, with every subset of what they name
removed. The captions are from the Karpathy test split of COCO. The labels contain only their sha-256, so you need the captions
file as well.

The labels were made for this project by one reader. The captions were drawn by hash from a half of the split that nobody had
looked at, after the rules had been frozen. The outputs of those rules and of their predecessors were read mixed, without their
origin. Rules that were changed after reading these texts can no longer be measured on them: draw new captions. This is the case
for ``coco_rewrites_development.json`` (382 texts of 200 other captions): the rules were improved on it, so they look better
there.

A right text is true of the image without the removed things and anything attached to them or in them, is correct English, and
does not read oddly; it may say less. A text is stored as word positions in its caption (from 0), with other words spelled out:
"0-2 with 7". A text that is in neither list, right or wrong, counts as unlabelled: read it and add it. Language models write many
of them. A text that may name what was removed is never kept, so it counts as refused, with the reason ``unknown``.
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

from jobs.settings import Settings, load_settings
from training.statistics import wilson
from training.tables import markdown_table
from udfs.extract.rules import read_caption
from udfs.rewrite.rewriter import Rewriter

LABELS = Path(__file__).parents[1] / "labels" / "coco_rewrites.json"
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")


@dataclass
class Score:
    """Counts over labelled texts: ``verdicts`` (right, wrong, unlabelled, refused), with kinds and reasons."""

    verdicts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)  # kinds of error of the wrong texts
    reasons: Counter[str] = field(default_factory=Counter)  # reasons of the refusals
    writers: Counter[str] = field(default_factory=Counter)  # of the texts that were written
    missed: int = 0  # refusals although a right text exists
    shown: list[str] = field(default_factory=list)

    @property
    def written(self) -> int:
        """Texts that were written."""
        return sum(self.verdicts[name] for name in ("right", "wrong", "unlabelled"))


def words(text: str) -> list[str]:
    """The words of a text, normalised for comparison."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def spell(pieces: str, caption: list[str]) -> list[str]:
    """The words that ``pieces`` ("0-2 with 7") stand for."""
    out: list[str] = []
    for piece in pieces.split():
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", piece)
        out += caption[int(match[1]) : int(match[2] or match[1]) + 1] if match else [piece]
    return out


def captions_of(tree: Any) -> Iterator[str]:
    """The captions of a Karpathy file (a list of {image, caption: [...]}) or a COCO one ({annotations: [{caption}]})."""
    if isinstance(tree, dict):
        yield from (annotation["caption"].strip() for annotation in tree["annotations"])
    else:
        yield from (caption.strip() for entry in tree for caption in entry["caption"])


def rewrites(caption: str, labels: list[str], rewriter: Rewriter) -> list[dict[str, Any]]:
    """The rewrites of one caption for every subset of ``labels``, called as in the stage."""
    read = read_caption({"caption_id": "", "caption": caption, "status": "ok"})
    names = (1 << len(labels)) - 1
    struct = read | {"caption": caption, "names": names, "may_name": 0, "mentions": read["components"]}
    (result,) = rewriter([{"components": [{"label": label} for label in labels], "captions": [struct]}])
    assert isinstance(result, dict), f"the rewriter failed: {result}"
    return list(result["texts"])


def score(entries: list[dict[str, Any]], known: dict[str, str], rewriter: Rewriter | None = None) -> Score:
    """Rewrite the labelled captions that are in ``known`` (sha-256 to caption) and compare. Default: the rules alone."""
    out, rewriter = Score(), rewriter or Rewriter(Settings(), "cpu", [])
    for entry in entries:
        caption = known.get(entry["sha256"])
        if caption is None:
            continue
        spoken = words(caption)
        for text in rewrites(caption, entry["labels"], rewriter):
            removed = [label for i, label in enumerate(entry["labels"]) if text["subset"] >> i & 1]
            _judge(out, entry["texts"][",".join(removed)], spoken, text, f"{caption!r} - {', '.join(removed)}")
    return out


def _judge(out: Score, label: dict[str, Any], spoken: list[str], text: dict[str, Any], description: str) -> None:
    unknown = text["status"] == "ok" and text["may_mention"] & text["subset"]
    if text["status"] != "ok" or unknown:
        reason = "unknown" if unknown else text["status"]
        out.verdicts["refused"] += 1
        out.reasons[reason] += 1
        out.missed += bool(label["right"])
        if label["right"]:
            out.shown.append(f"refused ({reason}): {description}; right: {' '.join(spell(label['right'][0], spoken))}")
        return
    written = words(text["caption"])
    out.writers[text["rewriter"].partition(" (")[0]] += 1
    kind = next((kind for pieces, kind in label.get("wrong", {}).items() if spell(pieces, spoken) == written), None)
    verdict = "right" if any(spell(p, spoken) == written for p in label["right"]) else ("wrong" if kind else "unlabelled")
    out.verdicts[verdict] += 1
    if kind:
        out.kinds[kind] += 1
    if verdict != "right":
        out.shown.append(f"{verdict}{f' ({kind})' if kind else ''}: {description}: {text['caption']}")


def main() -> None:
    """Score the current rules, or the models of the settings, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", required=True, help="captions of the Karpathy test split, JSON")
    parser.add_argument("--labels", default=str(LABELS), help="labels, JSON")
    parser.add_argument("--show", action="store_true", help="also print every text that is not right, with its caption")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a setting, such as rewriter.models")
    parser.add_argument("--limit", type=int, default=None, help="labelled captions, from the first; all without it")
    options = parser.parse_args()
    with open(options.captions, encoding="utf-8") as file:
        known = {hashlib.sha256(caption.encode()).hexdigest(): caption for caption in captions_of(json.load(file))}
    with open(options.labels, encoding="utf-8") as file:
        entries = json.load(file)["captions"][: options.limit]
    labelled = sum(entry["sha256"] in known for entry in entries)
    if not labelled:
        raise SystemExit(f"{options.captions} has none of the {len(entries)} labelled captions")
    result = score(entries, known, Rewriter(load_settings("photos", options.set), "cpu"))
    right, written = result.verdicts["right"], result.written
    low, high = wilson(right, written)
    total = sum(result.verdicts.values())
    refused = result.verdicts["refused"]
    rows = [
        ("texts", total),
        ("right, of those written", f"{right} of {written}: {right / max(written, 1):.1%} ({low:.1%} to {high:.1%})"),
        ("wrong", f"{result.verdicts['wrong']}: {_counts(result.kinds)}"),
        ("written by", _counts(result.writers)),
        ("written but not labelled", result.verdicts["unlabelled"]),
        ("refused", f"{refused} ({refused / total:.1%}): {_counts(result.reasons)}"),
        ("refused although a right text exists", f"{result.missed} ({result.missed / total:.1%})"),
    ]
    print("\n".join(markdown_table(("labelled captions found", f"{labelled} of {len(entries)}"), rows)))
    if options.show:
        print("\n" + "\n".join(result.shown))


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"


if __name__ == "__main__":
    main()
