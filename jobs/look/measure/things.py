"""What captions name, against the boxes that their phrases have: how much of it the family can take away.

A *thing* is what a chain of phrases refers to: all annotations that one phrase of a caption has. It is counted if the lexicon
knows its class. Sources that say this: ``flickr30k_entities``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pycocotools import mask as coco
from pyspark.sql import functions as F
from pyspark.sql.functions import pandas_udf

from jobs.engine.tables import Store
from jobs.engine.views import run_query
from jobs.look.measure.section import QUERIES, Section
from jobs.look.shares import Share, shares
from udfs.captions import vocabulary

SAME_BOX = 0.5  # intersection over union, as in the scoring of phrase grounding (Plummer et al. 2015)
JUDGED = "phrases: array<boolean>, things: array<struct<label: string, found: boolean, removed: boolean, own: boolean>>"


def things(store: Store, lexicon: str) -> list[Section]:
    """Of what captions name: read, found, removed by a dual image, a component of its own; no section without such boxes.

    ``lexicon`` is the setting of that name, whose classes are counted.
    """
    rows = run_query(store, QUERIES / "things.sql")
    if rows.isEmpty():
        return []
    known = frozenset(vocabulary.load(lexicon).labels)

    def judge(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            rows = batch.to_dict("records")
            yield pd.DataFrame(
                {
                    "phrases": [phrases_of(row["annotations"], row["captions"], known) for row in rows],
                    "things": [things_of(row["annotations"], row["instances"], row["components"], known) for row in rows],
                }
            )

    judged = pandas_udf(judge, returnType=JUDGED).asNondeterministic()  # type: ignore[call-overload]
    columns = F.struct("annotations", "captions", "instances", "components")
    seen = rows.select("record_id", "n", judged(columns).alias("judged")).select("record_id", "n", "judged.*").cache()
    ((_, read),) = shares(seen.select("record_id", F.explode("phrases").alias("named")), {"named": F.col("named")})
    each = seen.select("record_id", F.explode("things").alias("thing")).select("record_id", "thing.*")
    ((_, all_), *groups) = shares(
        each.withColumn("kind", F.when(F.col("label") == "person", "people").otherwise("all else")),
        {name: F.col(name) for name in ("found", "removed", "own")},
        ["kind"],
        total=True,
    )
    ((_, several),) = shares(seen.where(F.size("things") > 1), {"n": F.col("n") > 1})
    seen.unpersist()
    counted = [
        ("phrases that the captions' reading names", read["named"]),
        ("things that the segmenter found", all_["found"]),
        *((f"of them {kind}", these["found"]) for (kind,), these in reversed(groups)),
        ("things that a dual image of the family lacks", all_["removed"]),
        ("things with a component of their own", all_["own"]),
        ("photographs of two things or more with a family of n >= 2", several["n"]),
    ]
    return [
        Section(
            "What captions name, against the boxes of their phrases",
            "Things whose class the lexicon knows, by what phrases refer to. Found: each box of the thing overlaps an instance "
            f"of its class by {SAME_BOX} of their union or more. Intervals of 95%, by photograph.",
            ("what", "counted", "of", "share"),
            tuple(_row(what, share) for what, share in counted),
        )
    ]


def phrases_of(
    annotations: Sequence[Mapping[str, Any]], captions: Sequence[Mapping[str, Any]], known: frozenset[str]
) -> list[bool]:
    """For each phrase of a known class whether a mention of that class overlaps it.

    Args:
        annotations: as for ``things_of``.
        captions: what the extractor read, ``caption_id`` and ``components`` (mentions with ``label``, ``start`` and ``end``).
        known: the classes that count.
    """
    mentions = {row["caption_id"]: row["components"] for row in captions}
    phrases = {
        (row["label"], phrase["caption_id"], phrase["start"], phrase["end"])
        for row in annotations
        if row["label"] in known
        for phrase in _listed(row["phrases"])
    }
    return [
        any(
            mention["label"] == label and mention["start"] < end and start < mention["end"]
            for mention in _listed(mentions.get(caption_id))
        )
        for label, caption_id, start, end in sorted(phrases)
    ]


def things_of(
    annotations: Sequence[Mapping[str, Any]],
    instances: Sequence[Mapping[str, Any]],
    components: Sequence[Mapping[str, Any]],
    known: frozenset[str],
) -> list[dict[str, Any]]:
    """What became of each thing of a photograph.

    Args:
        annotations: the source's instances, with ``label``, ``box`` and ``phrases``.
        instances: what the segmenter found, with ``label`` and ``box``.
        components: those of the family, with numbers of ``instances`` and of what is ``attached`` to them.
        known: the classes that count.

    Returns:
        ``label``; ``found``: all its boxes are; ``removed``: all go with components of the family; ``own``: they are all
        instances of one component, and the only ones.
    """
    nearest = _nearest(annotations, instances)
    gone = {number for part in components for number in (*part["instances"], *part["attached"])}
    judged = []
    for members in referred(annotations):
        if all(annotations[number]["label"] in known for number in members):
            matched = {nearest[number] for number in members}
            found = None not in matched
            judged.append(
                {
                    "label": annotations[min(members)]["label"],
                    "found": found,
                    "removed": found and matched <= gone,
                    "own": found and any(matched == set(part["instances"]) for part in components),
                }
            )
    return judged


def referred(rows: Sequence[Mapping[str, Any]]) -> list[frozenset[int]]:
    """The numbers of the annotations, or instances, that each thing has: those that a phrase refers to together, once each."""
    by_phrase: dict[tuple[str, int, int], set[int]] = {}
    for number, row in enumerate(rows):
        for phrase in _listed(row["phrases"]):
            by_phrase.setdefault((phrase["caption_id"], phrase["start"], phrase["end"]), set()).add(number)
    return sorted({frozenset(group) for group in by_phrase.values()}, key=sorted)


def _nearest(annotations: Sequence[Mapping[str, Any]], instances: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """For each annotation the instance of its class that overlaps it most, if by enough."""
    if not len(instances):
        return [None] * len(annotations)
    here, there = (np.array([_sides(row["box"]) for row in rows], dtype=float) for rows in (annotations, instances))
    overlap = coco.iou(there, here, [0] * len(annotations)).T
    same = np.array([[row["label"] == other["label"] for other in instances] for row in annotations])
    best = np.where(same, overlap, 0.0)
    return [int(row.argmax()) if row.max() >= SAME_BOX else None for row in best]


def _listed(values: Sequence[Any] | None) -> Sequence[Any]:
    """An array from Spark, in which a null is no list."""
    return () if values is None else values


def _sides(box: Mapping[str, float]) -> tuple[float, float, float, float]:
    return box["x"], box["y"], box["width"], box["height"]


def _row(what: str, share: Share) -> tuple[str, ...]:
    return what, f"{share.hits:.0f}", str(share.total), str(share)
