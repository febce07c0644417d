"""Which components make the family of an image: labels that the captions name and the segmenter found.

``plan_family`` is the rule, ``Planner`` its role for ``jobs.plan``.
"""

from collections import Counter
from collections.abc import Callable, Sequence, Set
from typing import TYPE_CHECKING, TypedDict

from udfs import clock
from udfs.plan.overlap import Overlap, share_inside
from udfs.role import Failure, Row

if TYPE_CHECKING:
    from udfs.segment.segmenter import InstanceRow
    from udfs.settings import RoleSettings

# An instance is carried by a person if at least this share of its box lies inside the person's box.
INSIDE = 0.8


class CaptionRow(TypedDict):
    """A caption of the source."""

    caption_id: str
    caption: str
    status: str


class ParsedCaptionRow(TypedDict):
    """A caption as an extractor parsed it; ``components`` are its mentions (``udfs.captions.mentions``)."""

    caption_id: str
    monotone: bool
    status: str
    components: list[Row] | None


class PlannedRow(TypedDict):
    """What ``Planner`` reads of an image: its parsed captions, the captions themselves in the same order, and its instances."""

    captions: list[ParsedCaptionRow]
    texts: list[CaptionRow]
    instances: "list[InstanceRow]"


class ComponentRow(TypedDict):
    """A component of a family.

    ``phrases`` are the captions' phrases for it. ``instances`` and ``attached`` number the instances that go with it: those of
    its label, and those that they carry or whose pixels are mostly theirs. ``carries`` are the labels of which nothing is left
    once it is gone, and ``area_fraction`` is the share of the image that ``instances`` cover.
    """

    label: str
    phrases: list[str]
    instances: list[int]
    attached: list[int]
    carries: list[str]
    area_fraction: float


class NamingRow(TypedDict):
    """Which components a caption names, as bit masks: surely (``names``, C) and perhaps (``may_name``, U)."""

    caption_id: str
    status: str
    monotone: bool
    names: int
    may_name: int


class FamilyRow(TypedDict):
    """What ``Planner`` returns: the components (bit i of every mask stands for component i), and why there are none if n is 0."""

    n: int
    reason: str | None
    components: list[ComponentRow]
    captions: list[NamingRow]


class Planner:
    """Role: ``PlannedRow`` -> ``FamilyRow``."""

    name = "plan"
    version = "2"  # 2: what lies in a component's masks goes with it

    def __init__(self, settings: "RoleSettings", device: str) -> None:
        self.settings = settings

    def __call__(self, rows: Sequence[PlannedRow]) -> list[FamilyRow | Failure]:
        """Plan each row on its own."""
        with clock.spend("model"):
            return [plan_family(row["captions"], row["texts"], row["instances"], self.settings) for row in rows]


def plan_family(
    captions: Sequence[ParsedCaptionRow],
    texts: Sequence[CaptionRow],
    instances: "Sequence[InstanceRow]",
    settings: "RoleSettings",
) -> FamilyRow:
    """Plan the family of an image.

    A label enters if a caption surely names it, the segmenter found it at ``plan.enter_score``, its area is within the limits,
    and no caption counts more of it than were found. All its instances down to ``plan.remove_score`` are then removed together,
    crowds included, with what they carry, and with each instance of a named label that is seen at ``plan.enter_score`` and whose
    pixels are mostly theirs: a carrot in a bowl, a book on a bed.

    The best ``components.n`` labels are taken: first those that most captions name, then the largest, then by name; but not a
    label that would go with one that is taken, or with which one of those would go.

    Args:
        captions: parsed captions, in the order of ``texts``.
        texts: the captions themselves.
        instances: the instances that the segmenter found.
        settings: ``components`` and ``plan`` are read.
    """
    from udfs.captions.lexicon import count_named

    rule, reasons = settings.plan, Counter[str]()
    named = Counter(label for caption in captions for label in _labels(caption, certain=True))
    carried = carried_by(instances)
    candidates = []
    for label in named:
        members = [i for i, row in enumerate(instances) if row["label"] == label and row["score"] >= rule.remove_score]
        highest = max((instances[i]["score"] for i in members), default=0.0)
        stated = max(_stated(caption, text, label, count_named) for caption, text in zip(captions, texts, strict=True))
        area = min(1.0, sum(instances[i]["area_fraction"] for i in members))
        crowd = any(instances[i]["crowd"] for i in members)
        if not members or highest < rule.enter_score:
            reasons["none_found"] += 1
        elif all(i in carried and instances[carried[i]]["label"] in named for i in members):
            reasons["carried"] += 1
        elif stated > len(members) and not crowd:
            reasons["count_mismatch"] += 1
        elif area < rule.min_area:
            reasons["too_small"] += 1
        elif area > rule.max_area:
            reasons["too_large"] += 1
        else:
            candidates.append((-named[label], -area, label, members, area))
    components = _best(sorted(candidates), captions, instances, carried, set(named), settings)
    if len(components) < len(candidates) and not components:
        reasons["too_large"] += 1
    reason = None if components else (reasons.most_common(1)[0][0] if reasons else "none_named")
    return {
        "n": len(components),
        "reason": reason,
        "components": components,
        "captions": [_naming(caption, text, components) for caption, text in zip(captions, texts, strict=True)],
    }


def carried_by(instances: "Sequence[InstanceRow]") -> dict[int, int]:
    """The index of the person for each instance that a person wears or holds close (a tie, a bag): the two go together."""
    from udfs.captions.lexicon import carried_labels

    hosts = [i for i, instance in enumerate(instances) if instance["label"] == "person" and not instance["crowd"]]
    carried = {}
    for i, instance in enumerate(instances):
        if instance["label"] in carried_labels():
            shares = [(share_inside(instance["box"], instances[host]["box"]), -host) for host in hosts]
            share, host = max(shares, default=(0.0, 0))
            if share >= INSIDE:
                carried[i] = -host
    return carried


def _best(
    ranked: list[tuple[int, float, str, list[int], float]],
    captions: Sequence[ParsedCaptionRow],
    instances: "Sequence[InstanceRow]",
    carried: dict[int, int],
    named: set[str],
    settings: "RoleSettings",
) -> list[ComponentRow]:
    overlap = Overlap(instances)
    # What a detector doubts it sees is often part of another thing, and says nothing of the label.
    sure = {i for i, row in enumerate(instances) if row["label"] in named and row["score"] >= settings.plan.enter_score}
    chosen: list[tuple[str, list[int], float]] = []
    total = 0.0
    for _, _, label, members, area in ranked:
        if len(chosen) == settings.components.n or total + area > settings.plan.max_total_area:
            continue
        if any(_go_together(overlap, members, others, sure) for _, others, _ in chosen):
            continue
        total += area
        chosen.append((label, members, area))
    sure -= {i for _, members, _ in chosen for i in members}
    components: list[ComponentRow] = []
    for label, members, area in chosen:
        attached = {i for i, host in carried.items() if host in members and i not in members}
        attached |= {i for i in sure if overlap.goes(i, members)}
        phrases = {m["phrase"] for caption in captions for m in caption["components"] or [] if m["label"] == label}
        loose = {instance["label"] for i, instance in enumerate(instances) if i not in attached}
        components.append(
            {
                "label": label,
                "phrases": sorted(phrases),
                "instances": members,
                "attached": sorted(attached),
                # A text that names one of these labels names something that is gone with the component.
                "carries": sorted({instances[i]["label"] for i in attached} - loose),
                "area_fraction": area,
            }
        )
    return components


def _go_together(overlap: Overlap, first: Sequence[int], second: Sequence[int], sure: Set[int]) -> bool:
    """Whether an instance of either of two labels, surely seen, would go with the other label."""
    return any(overlap.goes(i, second) for i in first if i in sure) or any(overlap.goes(i, first) for i in second if i in sure)


def _labels(caption: ParsedCaptionRow, *, certain: bool) -> set[str]:
    return {m["label"] for m in caption["components"] or [] if m["label"] not in ("", "*") and m["certain"] is certain}


def _stated(caption: ParsedCaptionRow, text: CaptionRow, label: str, count_named: Callable[[str, Row], int]) -> int:
    """The highest number of things of a label that a caption states; 0 if it names none."""
    mentions = [m for m in caption["components"] or [] if m["label"] == label and m["certain"]]
    return max((count_named(text["caption"], mention) for mention in mentions), default=0)


def _naming(caption: ParsedCaptionRow, text: CaptionRow, components: Sequence[ComponentRow]) -> NamingRow:
    sure, perhaps = _labels(caption, certain=True), _labels(caption, certain=False)
    anything = any(m["label"] == "*" for m in caption["components"] or [])
    bits = [(1 << bit, {component["label"], *component["carries"]}) for bit, component in enumerate(components)]
    return {
        "caption_id": text["caption_id"],
        "status": caption["status"],
        "monotone": caption["monotone"],
        "names": sum(mask for mask, labels in bits if labels & sure),
        "may_name": sum(mask for mask, labels in bits if anything or labels & perhaps),
    }
