"""How much of what captions name becomes a component, by class and by phrase, on pictures whose phrases have boxes.

    python -m tests.bench.by_phrase --images DIR --entities FILE --split dev

The file is that of the source ``flickr30k_entities``. Masks are those of ``segmenter.box_masks=grabcut``; captions are parsed and
rewritten by the rules. A *thing* is what a chain of phrases refers to, if the lexicon knows its class and it has boxes. It can be
removed if all its boxes go with components; it has its own component if they are all instances of one. Intervals: 95%, Wilson.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.look.measure.things import referred
from jobs.settings import load_settings
from jobs.sources.flickr30k_entities import parse
from jobs.sources.record import Origin
from training.statistics import wilson
from udfs.captions import vocabulary
from udfs.extract.rules import RulesExtractor
from udfs.plan.planner import plan_family, to_rewrite
from udfs.rewrite.rewriter import Rewriter
from udfs.role import Failure
from udfs.segment.segmenter import Segmenter

Row = dict[str, Any]


@dataclass
class Counts:
    """What one way of planning gives."""

    things: int = 0
    removable: int = 0
    own: int = 0
    pictures: int = 0  # with two things or more
    two_or_more: int = 0  # of them, with a family of n >= 2
    sizes: Counter[int] = field(default_factory=Counter)
    divided: int = 0  # families with a class in parts
    texts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


def records(file: Path, images: Path, split: str) -> Iterator[Row]:
    """The records of one split."""
    origin = Origin("flickr8k", labels=frozenset(vocabulary.vocabulary().labels))
    for row in parse(str(file), str(images), origin):
        if row["split"] == split and row["status"] == "ok":
            yield row


def measure(file: Path, images: Path, split: str, most: int) -> dict[str, Counts]:
    """Both ways of planning over one split."""
    settings = load_settings("annotations")
    extract, segment, rewrite = RulesExtractor(settings, "cpu"), Segmenter(settings, "cpu"), Rewriter(settings, "cpu", [])
    known = set(vocabulary.vocabulary().labels)
    counts = {"by class": Counts(), "by phrase": Counts()}
    for number, record in enumerate(records(file, images, split)):
        if number == most:
            break
        image = Path(record["locator"]["path"]).read_bytes()
        (found,) = segment([{"image": image, "annotations": record["annotations"]}])
        (read,) = extract([{"captions": record["captions"]}])
        if isinstance(found, Failure) or isinstance(read, Failure):
            print(record["source_key"], found if isinstance(found, Failure) else read)
            continue
        instances = found["instances"]
        things = [thing for thing in referred(instances) if all(instances[i]["label"] in known for i in thing)]
        for way, this in counts.items():
            seen = instances if way == "by phrase" else [row | {"phrases": None} for row in instances]
            family = plan_family(read["captions"], record["captions"], seen, settings)
            gone = {i for part in family["components"] for i in (*part["instances"], *part["attached"])}
            this.things += len(things)
            this.removable += sum(thing <= gone for thing in things)
            this.own += sum(thing == set(part["instances"]) for thing in things for part in family["components"])
            if len(things) > 1:
                this.pictures += 1
                this.two_or_more += family["n"] >= 2
            this.sizes[family["n"]] += 1
            if not family["n"]:
                this.refused[family["reason"]] += 1
            labels = Counter(part["label"] for part in family["components"] + family["others"])
            this.divided += max(labels.values(), default=0) > 1
            asked = to_rewrite(family, read["captions"], record["captions"])
            (texts,) = rewrite([asked])
            for text in texts["texts"]:
                this.texts[text["status"]] += 1
                if max(labels.values(), default=0) > 1:
                    removed = [part["name"] for bit, part in enumerate(asked["components"]) if text["subset"] >> bit & 1]
                    original = next(c["caption"] for c in asked["captions"] if c["caption_id"] == text["caption_id"])
                    masks = f"{text['mentions']:b} {text['may_mention']:b}"
                    this.examples.append(
                        f"{record['source_key']} [{', '.join(part['name'] for part in asked['components'])}] without {removed}: "
                        f"{original} -> {text['caption'] or text['status']} {masks} {text['checks'] or ''}"
                    )
    return counts


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--entities", type=Path, required=True)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--most", type=int, default=-1, help="pictures; default: all")
    parser.add_argument("--examples", type=Path, help="write the texts of divided families to this file")
    options = parser.parse_args()
    for way, this in measure(options.entities, options.images, options.split, options.most).items():
        print(f"{way}: things that can be removed {share(this.removable, this.things)}")
        print(f"{way}: things with their own component {share(this.own, this.things)}")
        print(f"{way}: pictures of two things with n >= 2 {share(this.two_or_more, this.pictures)}")
        print(
            f"{way}: families by n {dict(sorted(this.sizes.items()))}, divided {this.divided}, none because {dict(this.refused)}"
        )
        print(f"{way}: texts {json.dumps(dict(this.texts))}")
        if options.examples and this.examples:
            options.examples.write_text("\n".join(this.examples) + "\n")


def share(hits: int, of: int) -> str:
    """A share with its interval."""
    low, high = wilson(hits, of)
    return f"{hits} of {of}: {hits / of:.1%} ({low:.1%} to {high:.1%})"


if __name__ == "__main__":
    main()
