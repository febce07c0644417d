"""What of a class can be a component: all its instances, or, where phrases tell them apart, what some of the phrases refer to.

A phrase refers to instances where the source says so, or the model that found them (``InstanceRow.phrases``). What two phrases
say of one instance is true of it together ("a girl", "a child in pink"). Two instances are apart if what is said of one cannot be
said of the other: a man and a woman, a black and a brown dog, but not a man and a biker. An instance of which nothing is said may
be any, and then the class stays together, as it does where one instance lies in another. A unit has the traits that each of its
instances has.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from udfs.captions.traits import Traits, shared, told_apart, traits_of, united, worn_colours
from udfs.plan.overlap import Overlap

if TYPE_CHECKING:
    from udfs.captions.rows import CaptionRow, ParsedCaptionRow
    from udfs.segment.segmenter import InstanceRow

Mention = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Unit:
    """Instances of a class that go together, by number, and what tells them from others of the class: nothing, if they are all.

    ``said``: what the phrases that refer to some of them say.
    """

    label: str
    members: tuple[int, ...]
    traits: Traits = field(default_factory=dict)
    said: "tuple[Said, ...]" = ()


@dataclass(frozen=True)
class Said:
    """What a phrase says of an instance: the phrase in lower case and without article, the colours of clothes, all traits."""

    phrase: str
    worn: str  # "red and white"; empty if nothing is said of it
    traits: Traits


def units_of(
    label: str,
    members: Sequence[int],
    captions: "Sequence[ParsedCaptionRow]",
    texts: "Sequence[CaptionRow]",
    instances: "Sequence[InstanceRow]",
    overlap: Overlap,
) -> list[Unit]:
    """Divide the ``members``, instances of one class, into units, in the order of their first members."""
    if not members:
        return []
    whole = [Unit(label, tuple(members))]
    if len(members) == 1 or any(instances[i]["crowd"] or not instances[i].get("phrases") for i in members):
        return whole
    said = {i: _said(label, instances[i], captions, texts) for i in members}
    traits = {i: united(phrase.traits for phrase in said[i]) for i in members}
    if not all(traits.values()):
        return whole
    groups = _together(members, traits, overlap)
    if len(groups) == 1:
        return whole
    return [
        Unit(label, tuple(group), shared([traits[i] for i in group]), tuple(phrase for i in group for phrase in said[i]))
        for group in groups
    ]


def names_of(units: Sequence[Unit]) -> list[str]:
    """A name for each unit of a class, no two the same: the label, where it is the only one."""
    if len(units) == 1:
        return [units[0].label]
    names = [_name(unit, [other for other in units if other is not unit]) for unit in units]
    if len(set(names)) < len(names):
        names = [_name(unit, [other for other in units if other is not unit], with_clothes=True) for unit in units]
    return [name if names.count(name) == 1 else f"{name} {names[: i + 1].count(name)}" for i, name in enumerate(names)]


def _said(
    label: str, instance: "InstanceRow", captions: "Sequence[ParsedCaptionRow]", texts: "Sequence[CaptionRow]"
) -> list[Said]:
    """What the mentions that refer to an instance say of it."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for phrase in instance.get("phrases") or ():
        if phrase["start"] is not None and phrase["end"] is not None:
            spans.setdefault(phrase["caption_id"], []).append((phrase["start"], phrase["end"]))
    return [
        Said(
            mention["phrase"].lower(),
            " and ".join(worn_colours(text["caption"], mention)[1]),
            traits_of(text["caption"], mention),
        )
        for caption, text in zip(captions, texts, strict=True)
        for mention in caption["components"] or ()
        if mention["label"] == label and mention["certain"]
        # A mention's head is its end.
        if any(start < mention["end"] <= end for start, end in spans.get(text["caption_id"], ()))
    ]


def _together(members: Sequence[int], traits: Mapping[int, Traits], overlap: Overlap) -> list[list[int]]:
    """Groups of instances that nothing tells apart, or that lie in one another: whom a chain of such pairs links is in one.

    Instances of which the same is said, such as those of a crowd, are linked without looking at their pairs.
    """
    linked = {i: i for i in members}

    def root(i: int) -> int:
        while linked[i] != i:
            linked[i] = i = linked[linked[i]]
        return i

    first: dict[frozenset[tuple[str, frozenset[str]]], int] = {}
    for i in members:
        linked[root(i)] = root(first.setdefault(frozenset(traits[i].items()), i))
    kinds = list(first.values())
    for at, one in enumerate(kinds):
        for other in kinds[at + 1 :]:
            if not told_apart(traits[one], traits[other]):
                linked[root(other)] = root(one)
    groups = _grouped(members, root)
    for at, group in enumerate(groups):
        for other_group in groups[at + 1 :]:
            if root(group[0]) != root(other_group[0]) and _entangled(group, other_group, overlap):
                linked[root(other_group[0])] = root(group[0])
    return _grouped(members, root)


def _grouped(members: Sequence[int], root: Callable[[int], int]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for i in members:
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _entangled(first: Sequence[int], second: Sequence[int], overlap: Overlap) -> bool:
    return any(overlap.goes(i, second) for i in first) or any(overlap.goes(i, first) for i in second)


def _name(unit: Unit, others: Sequence[Unit], *, with_clothes: bool = False) -> str:
    telling = [said for said in unit.said if all(told_apart(said.traits, other.traits) for other in others)]
    counts = Counter(
        f"{said.phrase} in {said.worn}" if with_clothes and said.worn else said.phrase for said in telling or unit.said
    )
    return min(counts, key=lambda phrase: (-counts[phrase], len(phrase), phrase))
