"""Which components make the family of an image: what the captions name meets what the segmenter found.

``plan_family`` is the rule; ``Planner`` is its role for ``jobs.plan``.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from udfs import clock
from udfs.role import Failure, Row

if TYPE_CHECKING:
    from jobs.settings import Settings

# Share of a thing's box that must lie inside another's box for it to be carried by it.
INSIDE = 0.8


class Planner:
    """The planner role: rows {captions (parsed), texts, instances} in, {n, reason, components, captions} out."""

    name = "plan"
    version = "1"

    def __init__(self, settings: "Settings", device: str) -> None:
        self.settings = settings

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Plan each row on its own."""
        with clock.spend("model"):
            return [plan_family(row["captions"], row["texts"], row["instances"], self.settings) for row in rows]


def plan_family(captions: list[Row], texts: list[Row], instances: list[Row], settings: "Settings") -> Row:
    """The family of one image.

    A label enters when a caption surely names it, the segmenter found it at ``plan.enter_score``, its area is within limits,
    and no caption counts more of it than were found. All instances of the label down to ``plan.remove_score`` are then removed
    together, crowds included, with what they carry. The ``components.n`` best are taken: named by most captions, then largest,
    then by name.

    Args:
        captions: parsed captions, in the order of ``texts``.
        texts: the captions themselves.
        instances: what the segmenter found.
        settings: ``components`` and ``plan`` are read.

    Returns:
        ``n``, ``reason`` (why n is 0, else None), ``components`` (bit i of every mask is component i) and for each caption which
        of them it ``names`` (C) and ``may_name`` (U).
    """
    from udfs.lexicon import count_named

    rule, reasons = settings.plan, Counter[str]()
    named = Counter(label for caption in captions for label in _labels(caption, certain=True))
    carried = carried_by(instances)
    candidates = []
    for label in named:
        every = [i for i, found in enumerate(instances) if found["label"] == label and found["score"] >= rule.remove_score]
        surest = max((instances[i]["score"] for i in every), default=0.0)
        stated = max(_stated(caption, text, label, count_named) for caption, text in zip(captions, texts, strict=True))
        area = min(1.0, sum(instances[i]["area_fraction"] for i in every))
        crowd = any(instances[i]["crowd"] for i in every)
        if not every or surest < rule.enter_score:
            reasons["none_found"] += 1
        elif all(i in carried and instances[carried[i]]["label"] in named for i in every):
            reasons["carried"] += 1
        elif stated > len(every) and not crowd:
            reasons["count_mismatch"] += 1
        elif area < rule.min_area:
            reasons["too_small"] += 1
        elif area > rule.max_area:
            reasons["too_large"] += 1
        else:
            candidates.append((-named[label], -area, label, every, area))
    components = _best(sorted(candidates), captions, instances, carried, settings)
    if len(components) < len(candidates) and not components:
        reasons["too_large"] += 1
    reason = None if components else (reasons.most_common(1)[0][0] if reasons else "none_named")
    return {
        "n": len(components),
        "reason": reason,
        "components": components,
        "captions": [_naming(caption, text, components) for caption, text in zip(captions, texts, strict=True)],
    }


def carried_by(instances: list[Row]) -> dict[int, int]:
    """For each instance that a person wears or holds close (a tie, a bag), the person's index: it goes when the person goes."""
    from udfs.lexicon import carried_labels

    hosts = [i for i, found in enumerate(instances) if found["label"] == "person" and not found["crowd"]]
    carried = {}
    for i, found in enumerate(instances):
        if found["label"] in carried_labels():
            shares = [(_share_inside(found["box"], instances[host]["box"]), -host) for host in hosts]
            share, host = max(shares, default=(0.0, 0))
            if share >= INSIDE:
                carried[i] = -host
    return carried


def _best(
    ranked: list[tuple[int, float, str, list[int], float]],
    captions: list[Row],
    instances: list[Row],
    carried: dict[int, int],
    settings: "Settings",
) -> list[Row]:
    chosen: list[Row] = []
    total = 0.0
    for _, _, label, every, area in ranked:
        if len(chosen) == settings.components.n or total + area > settings.plan.max_total_area:
            continue
        total += area
        members = set(every)
        attached = sorted(i for i, host in carried.items() if host in members and i not in members)
        phrases = {m["phrase"] for caption in captions for m in caption["components"] or [] if m["label"] == label}
        loose = {found["label"] for i, found in enumerate(instances) if i not in attached}
        chosen.append(
            {
                "label": label,
                "phrases": sorted(phrases),
                "instances": every,
                "attached": attached,
                # Labels of which nothing is left once this component is gone: a text that names them names what is gone.
                "carries": sorted({instances[i]["label"] for i in attached} - loose),
                "area_fraction": area,
            }
        )
    return chosen


def _labels(caption: Row, *, certain: bool) -> set[str]:
    return {m["label"] for m in caption["components"] or [] if m["label"] not in ("", "*") and m["certain"] is certain}


def _stated(caption: Row, text: Row, label: str, count_named) -> int:  # type: ignore[no-untyped-def]
    mentions = [m for m in caption["components"] or [] if m["label"] == label and m["certain"]]
    return max((count_named(text["caption"], mention) for mention in mentions), default=0)


def _naming(caption: Row, text: Row, components: list[Row]) -> Row:
    sure, perhaps = _labels(caption, certain=True), _labels(caption, certain=False)
    anything = any(m["label"] == "*" for m in caption["components"] or [])
    bits = [(1 << bit, {part["label"], *part["carries"]}) for bit, part in enumerate(components)]
    return {
        "caption_id": text["caption_id"],
        "status": caption["status"],
        "monotone": caption["monotone"],
        "names": sum(mask for mask, labels in bits if labels & sure),
        "may_name": sum(mask for mask, labels in bits if anything or labels & perhaps),
    }


def _share_inside(inner: Row, outer: Row) -> float:
    width = min(inner["x"] + inner["width"], outer["x"] + outer["width"]) - max(inner["x"], outer["x"])
    height = min(inner["y"] + inner["height"], outer["y"] + outer["height"]) - max(inner["y"], outer["y"])
    area = inner["width"] * inner["height"]
    return max(0.0, width) * max(0.0, height) / area if area > 0 else 0.0
