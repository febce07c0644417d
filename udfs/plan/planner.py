"""Which components make the family of an image: what the captions name and the segmenter found.

``plan_family`` is the rule, ``Planner`` its role for ``jobs.plan``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypedDict

from udfs import clock
from udfs.captions.lexicon import count_named
from udfs.captions.referents import NamedRow, OtherRow, Referents
from udfs.captions.rows import CaptionRow, ParsedCaptionRow
from udfs.captions.traits import to_strings
from udfs.captions.vocabulary import ANY
from udfs.plan.overlap import Overlap, share_inside
from udfs.plan.units import Unit, names_of, units_of
from udfs.role import Failure, Row

if TYPE_CHECKING:
    from udfs.segment.segmenter import InstanceRow
    from udfs.settings import RoleSettings

# An instance is carried by a person if at least this share of its box lies inside the person's box.
INSIDE = 0.8


class PlannedRow(TypedDict):
    """What ``Planner`` reads of an image: its parsed captions, the captions themselves in the same order, and its instances."""

    captions: list[ParsedCaptionRow]
    texts: list[CaptionRow]
    instances: "list[InstanceRow]"


class ComponentRow(TypedDict):
    """A component of a family.

    ``label`` is its class. ``name``, unique in the family, is the label, or what tells the component from others of its class
    ("man in red"); ``traits`` are what does so (``udfs.captions.traits``, as strings), empty for a whole class. ``phrases`` are
    the captions' phrases for it. ``instances`` and ``attached`` number the instances that go with it: its own, and those that
    they carry or whose pixels are mostly theirs. ``carries`` are the labels of which nothing is left once it is gone, and
    ``area_fraction`` is the share of the image that ``instances`` cover.
    """

    label: str
    name: str
    traits: list[str]
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
    """What ``Planner`` returns: the components (bit i of every mask stands for component i), and why there are none if n is 0.

    ``others`` are the instances of a class whose others are a component, or go with one.
    """

    n: int
    reason: str | None
    components: list[ComponentRow]
    others: list[OtherRow]
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


@dataclass(frozen=True)
class _Image:
    """What is known of an image."""

    captions: Sequence[ParsedCaptionRow]
    texts: Sequence[CaptionRow]
    instances: "Sequence[InstanceRow]"
    settings: "RoleSettings"

    @cached_property
    def mentions(self) -> list[tuple[str, list[Row]]]:
        """Each caption with its mentions."""
        return [(text["caption"], caption["components"] or []) for caption, text in zip(self.captions, self.texts, strict=True)]

    @cached_property
    def named(self) -> frozenset[str]:
        """The labels that a caption surely names."""
        mentions = (mention for _, mentions in self.mentions for mention in mentions if mention["certain"])
        return frozenset(mention["label"] for mention in mentions) - {"", ANY}

    @cached_property
    def overlap(self) -> Overlap:
        return Overlap(self.instances)

    @cached_property
    def carried(self) -> dict[int, int]:
        return carried_by(self.instances)

    @cached_property
    def sure(self) -> frozenset[int]:
        """The instances of named labels that are surely there. What a detector doubts is often part of another thing."""
        least = self.settings.plan.enter_score
        return frozenset(i for i, row in enumerate(self.instances) if row["label"] in self.named and row["score"] >= least)

    def members(self, label: str) -> list[int]:
        """The instances of a label that go if it goes."""
        least = self.settings.plan.remove_score
        return [i for i, row in enumerate(self.instances) if row["label"] == label and row["score"] >= least]

    def area(self, members: Sequence[int]) -> float:
        """The share of the image that instances cover."""
        return min(1.0, sum(self.instances[i]["area_fraction"] for i in members))


@dataclass(frozen=True)
class _Candidate:
    """A unit that may be a component; ``order`` sorts as ``plan_family`` prefers."""

    unit: Unit
    name: str
    captions: int  # that surely name it
    area: float

    @property
    def order(self) -> tuple[int, float, str, str]:
        return -self.captions, -self.area, self.unit.label, self.name


def plan_family(
    captions: Sequence[ParsedCaptionRow],
    texts: Sequence[CaptionRow],
    instances: "Sequence[InstanceRow]",
    settings: "RoleSettings",
) -> FamilyRow:
    """Plan the family of an image.

    The unit is a label with all its instances, or, where phrases tell the instances apart, what some of them refer to
    (``udfs.plan.units``). It enters if a caption surely names it, the segmenter found its label at ``plan.enter_score``, its area
    is within the limits, and no caption counts more of the label than were found. All its instances down to
    ``plan.remove_score`` are then removed together, crowds included, with what they carry, and with each instance of a named
    label that is seen at ``plan.enter_score`` and whose pixels are mostly theirs: a carrot in a bowl, a book on a bed.

    The best ``components.n`` units are taken: first those that most captions name, then the largest, then by name; but not a
    unit that would go with one that is taken, or with which one of those would go.

    Args:
        captions: parsed captions, in the order of ``texts``.
        texts: the captions themselves.
        instances: the instances that the segmenter found.
        settings: ``components`` and ``plan`` are read.
    """
    image = _Image(captions, texts, instances, settings)
    # Sorted: the first of several reasons that are as frequent must not depend on a set's order.
    units = {
        label: units_of(label, image.members(label), captions, texts, instances, image.overlap) for label in sorted(image.named)
    }
    candidates, reasons = _candidates(image, units)
    chosen = _best(image, candidates)
    components = _components(image, chosen)
    others = _others(units, chosen, components)
    if len(components) < len(candidates) and not components:
        reasons["too_large"] += 1
    reason = None if components else (reasons.most_common(1)[0][0] if reasons else "none_named")
    referents = Referents([named_by(component) for component in components], others)
    return {
        "n": len(components),
        "reason": reason,
        "components": components,
        "others": others,
        "captions": [_naming(caption, text, referents) for caption, text in zip(captions, texts, strict=True)],
    }


def named_by(component: ComponentRow) -> NamedRow:
    """What names a component."""
    return {
        "label": component["label"],
        "name": component["name"],
        "carries": component["carries"],
        "traits": component["traits"],
        "things": len(component["instances"]),
    }


def to_rewrite(family: FamilyRow, captions: Sequence[ParsedCaptionRow], texts: Sequence[CaptionRow]) -> Row:
    """What the rewriter reads of a planned image, for callers outside of Spark: ``jobs.rewrite`` joins the same."""
    rows = [
        {**naming, "caption": text["caption"], "mentions": caption["components"]}
        for naming, caption, text in zip(family["captions"], captions, texts, strict=True)
    ]
    return {"components": [named_by(part) for part in family["components"]], "others": family["others"], "captions": rows}


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


def _candidates(image: _Image, units: dict[str, list[Unit]]) -> tuple[list[_Candidate], Counter[str]]:
    """The units that may be components, best first, and why others may not."""
    by_caption = _surely_named(image, [unit for of_label in units.values() for unit in of_label])
    plan, candidates, reasons = image.settings.plan, list[_Candidate](), Counter[str]()
    for label, of_label in units.items():
        if reason := _refused(image, label, of_label):
            reasons[reason] += 1
            continue
        for unit, name in zip(of_label, names_of(of_label), strict=True):
            area = image.area(unit.members)
            if not by_caption[unit]:
                reasons["not_told_apart"] += 1
            elif area < plan.min_area:
                reasons["too_small"] += 1
            elif area > plan.max_area:
                reasons["too_large"] += 1
            else:
                candidates.append(_Candidate(unit, name, by_caption[unit], area))
    return sorted(candidates, key=lambda candidate: candidate.order), reasons


def _refused(image: _Image, label: str, units: Sequence[Unit]) -> str | None:
    """Why no unit of a label can be a component; None if one can."""
    members = [i for unit in units for i in unit.members]
    if max((image.instances[i]["score"] for i in members), default=0.0) < image.settings.plan.enter_score:
        return "none_found"
    if all(i in image.carried and image.instances[image.carried[i]]["label"] in image.named for i in members):
        return "carried"
    if any(image.instances[i]["crowd"] for i in members):
        return None
    referents = Referents([_named_by(unit) for unit in units])
    for text, mentions in image.mentions:
        for mention in mentions:
            if mention["label"] == label and mention["certain"]:
                fits = referents.of(text, mention).fits
                things = sum(len(unit.members) for bit, unit in enumerate(units) if fits >> bit & 1)
                if count_named(text, mention) > things:
                    return "count_mismatch"
    return None


def _surely_named(image: _Image, units: Sequence[Unit]) -> Counter[Unit]:
    """How many captions surely name each unit."""
    referents, counts = Referents([_named_by(unit) for unit in units]), Counter[Unit]()
    for text, mentions in image.mentions:
        sure, _ = referents.masks_of(text, mentions)
        counts.update(unit for bit, unit in enumerate(units) if sure >> bit & 1)
    return counts


def _named_by(unit: Unit) -> NamedRow:
    return {"label": unit.label, "traits": to_strings(unit.traits), "things": len(unit.members)}


def _best(image: _Image, ranked: Sequence[_Candidate]) -> list[_Candidate]:
    chosen: list[_Candidate] = []
    total = 0.0
    for candidate in ranked:
        if len(chosen) == image.settings.components.n or total + candidate.area > image.settings.plan.max_total_area:
            continue
        if any(_go_together(image, candidate.unit.members, other.unit.members) for other in chosen):
            continue
        total += candidate.area
        chosen.append(candidate)
    return chosen


def _components(image: _Image, chosen: Sequence[_Candidate]) -> list[ComponentRow]:
    sure = image.sure - {i for candidate in chosen for i in candidate.unit.members}
    components: list[ComponentRow] = []
    for candidate in chosen:
        unit, members = candidate.unit, candidate.unit.members
        attached = {i for i, host in image.carried.items() if host in members and i not in members}
        attached |= {i for i in sure if image.overlap.goes(i, members)}
        loose = {instance["label"] for i, instance in enumerate(image.instances) if i not in attached}
        components.append(
            {
                "label": unit.label,
                "name": candidate.name,
                "traits": to_strings(unit.traits),
                "phrases": sorted(_phrases(image, unit)),
                "instances": list(members),
                "attached": sorted(attached),
                # A text that names one of these labels names something that is gone with the component.
                "carries": sorted({image.instances[i]["label"] for i in attached} - loose),
                "area_fraction": candidate.area,
            }
        )
    return components


def _phrases(image: _Image, unit: Unit) -> set[str]:
    """The captions' phrases for a unit: those of its label that its traits do not rule out."""
    referents = Referents([_named_by(unit), {"label": unit.label}] if unit.traits else [_named_by(unit)])
    return {
        mention["phrase"]
        for text, mentions in image.mentions
        for mention in mentions
        if mention["label"] == unit.label and referents.of(text, mention).fits & 1
    }


def _others(units: dict[str, list[Unit]], chosen: Sequence[_Candidate], components: Sequence[ComponentRow]) -> list[OtherRow]:
    """The instances that are no component, of classes of which others are one or go with one."""
    taken = {candidate.unit for candidate in chosen}
    hosts = {i: bit for bit, part in reversed(list(enumerate(components))) for i in part["attached"]}
    others: list[OtherRow] = []
    for of_label in units.values():
        left = [unit for unit in of_label if unit not in taken] if len(of_label) > 1 else []
        rows: list[OtherRow] = [
            {"label": unit.label, "traits": to_strings(unit.traits), "things": things, "goes_with": host}
            for unit in left
            for host, things in sorted(Counter(hosts.get(i, -1) for i in unit.members).items())
        ]
        if len(left) < len(of_label) or any(row["goes_with"] >= 0 for row in rows):
            others += rows
    return others


def _go_together(image: _Image, first: Sequence[int], second: Sequence[int]) -> bool:
    """Whether an instance of either of two units, surely seen, would go with the other unit."""
    goes = image.overlap.goes
    return any(goes(i, second) for i in first if i in image.sure) or any(goes(i, first) for i in second if i in image.sure)


def _naming(caption: ParsedCaptionRow, text: CaptionRow, referents: Referents) -> NamingRow:
    sure, perhaps = referents.masks_of(text["caption"], caption["components"] or [])
    return {
        "caption_id": text["caption_id"],
        "status": caption["status"],
        "monotone": caption["monotone"],
        "names": sure,
        "may_name": perhaps,
    }
