"""Every stage on photographs, against what people say of them: one table, with intervals.

    python -m tests.bench.photograph_table --images DIR --entities FILE --split dev --weights YOLO --most 400 --output DIR

Photographs are those of a file of the source ``flickr30k_entities``. They go through the whole chain in each of ``--ways``, by
the commands that a user would type:

- ``yolo``: profile ``photos``, YOLO and rules;
- ``boxes``: the source's own boxes in place of a detector, masks cut out of them, all else the same;
- ``grounded``: Grounding DINO and SAM of random weights over the first twelve photographs, to see that they run: no numbers.

The numbers are those of ``dualset measure``, and its whole text stays in the output folder, as the roots do. Seconds are the wall
time of a stage's micro-batches, Spark's own cost and all; ``all`` is that of the two commands, ingest and run.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from jobs.engine.session import open_session
from jobs.engine.tables import Store
from jobs.look.measure import Section, markdown, measure
from jobs.settings import load_settings
from tests.support.tiny_models import dino_folder, sam_folder

CAPTIONED = "What captions name, against the boxes of their phrases"
GONE = "Is what was removed gone?"
SHOWN = (
    (CAPTIONED, None, "share", "{0}"),
    ("Components against annotations", "detector, score >= 0.5", "precision", "labels that captions name: the detector is right"),
    ("Components against annotations", "detector, score >= 0.5", "recall", "labels that captions name: the detector finds"),
    ("Family sizes", None, "share", "families of n = {0} {1}"),
    (GONE, "all", "dual images", "dual images"),
    (GONE, "all", "gone at 0.5", "the detector does not see the removed class, at 0.5"),
    (GONE, "all", "gone at 0.15", "the same at 0.15"),
    (GONE, "all", "intruders", "the detector sees a class that was not there"),
    ("Texts by status", None, "share", "dual texts: {0}"),
    ("Yield of the policy", None, "share kept", "pairs kept: n = {0}, {1} removed"),
    ("Why pairs are not kept", None, "share", "pairs rejected: {0}"),
    ("Seconds an image, by stage", None, "wall s/image", "seconds an image: {0}"),
)
GROUNDED = 12  # photographs


def cut(entities: Path, split: str, most: int, output: Path) -> int:
    """Write the first lines of a split to a file of their own; returns how many they are."""
    with entities.open(encoding="utf-8") as lines:
        chosen = list(itertools.islice((line for line in lines if json.loads(line)["split"] == split), most))
    output.write_text("".join(chosen), encoding="utf-8")
    return len(chosen)


def chain(images: Path, entities: Path, root: Path, options: Sequence[str]) -> float:
    """Ingest and run by the commands; returns their seconds of wall time."""
    dualset = [sys.executable, "-m", "jobs.cli"]
    started = time.perf_counter()
    source = ["--images", str(images), "--entities", str(entities)]
    for words in (["ingest", "flickr30k_entities", *source], ["run"]):
        subprocess.run([*dualset, *words, "--root", str(root), *options], check=True)  # noqa: S603
    return time.perf_counter() - started


def table(measured: dict[str, list[Section]]) -> list[str]:
    """Markdown of the rows of ``SHOWN``, a column for each way; a row that only one way has is empty in the other."""
    cells: dict[str, dict[str, str]] = {}
    for title, wanted, column, label in SHOWN:
        for way, sections in measured.items():
            for section in sections:
                for row in section.rows if section.title == title else ():
                    if wanted in (None, row[0]):
                        name = label.format(*row).strip()
                        cells.setdefault(name, {})[way] = row[section.columns.index(column)]
    lines = [f"| | {' | '.join(measured)} |", "|---" * (len(measured) + 1) + "|"]
    return lines + [f"| {name} | {' | '.join(row.get(way, '') for way in measured)} |" for name, row in cells.items()]


def main() -> None:
    """Make the roots and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--entities", type=Path, required=True)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--most", type=int, help="photographs; default: all of the split")
    parser.add_argument("--weights", type=Path, required=True, help="of YOLO, for segmenter.weights")
    parser.add_argument("--output", type=Path, required=True, help="a new folder for the roots and what measure says of them")
    parser.add_argument("--ways", nargs="+", choices=("yolo", "boxes", "grounded"), default=("yolo", "boxes"))
    options = parser.parse_args()
    options.output.mkdir(parents=True)
    file = options.output / "entities.jsonl"
    count = cut(options.entities, options.split, options.most, file)
    images = options.images.resolve()
    weights = f"--set=segmenter.weights={options.weights.resolve()}"
    ways = {
        "yolo": ["--profile=photos", weights],
        "boxes": ["--profile=photos", "--set=segmenter.kind=annotations"],
    }
    chosen = {way: words for way, words in ways.items() if way in options.ways}
    seconds = {way: chain(images, file, options.output / way, words) for way, words in chosen.items()}
    measured = {}
    if "grounded" in options.ways:
        few = options.output / "few.jsonl"
        cut(file, options.split, GROUNDED, few)
        dino, sam = options.output / "dino", options.output / "sam"
        for folder in (dino, sam):
            folder.mkdir()
        models = [f"--set=segmenter.weights={dino_folder(dino, side=128)}", f"--set=segmenter.box_weights={sam_folder(sam)}"]
        models += [f"--set={name}" for name in ("segmenter.confidence=0.01", "plan.enter_score=0.02", "plan.remove_score=0.01")]
        chain(images, few, options.output / "grounded", ["--profile=photos", "--set=segmenter.kind=grounded", *models])
    settings = load_settings("photos", ["spark.driver_memory=4g"])
    spark = open_session(settings)
    for way in seconds:
        root = str((options.output / way).resolve())
        measured[way] = measure(Store.of(spark, root, settings), settings)
        (options.output / f"{way}.md").write_text(markdown(root, measured[way]), encoding="utf-8")
    print(f"{count} photographs of {options.split}, {os.cpu_count()} cores; intervals of 95%, by photograph\n")
    print("\n".join(table(measured)))
    print(f"| seconds an image: all | {' | '.join(f'{value / count:.2f}' for value in seconds.values())} |")
    if "grounded" in options.ways:
        store = Store.of(spark, str((options.output / "grounded").resolve()), settings)
        sizes = store.read("families").groupBy("status", "n").count().collect()
        print(f"\ngrounded, random weights: families by (status, n): { {(row[0], row[1]): row[2] for row in sizes} }")
    spark.stop()


if __name__ == "__main__":
    main()
