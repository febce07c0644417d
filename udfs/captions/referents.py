"""Which components of a family a text's mentions refer to.

A component is a class with all its instances, or, where the captions' phrases tell the instances of a class apart, what some of
the phrases refer to ("a man", "a woman"). Then a mention of the class refers to those components that its own words do not rule
out: "a man" to one of the two, "somebody" to either.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NotRequired, Self, TypedDict

from udfs.captions.lexicon import count_named, find_mentions
from udfs.captions.traits import Traits, from_strings, told_apart, traits_of
from udfs.captions.vocabulary import ANY

Mention = Mapping[str, Any]


class NamedRow(TypedDict):
    """What is known of a component's names, as the tables have it.

    ``label``: its class. ``name``: what it is called, its label where that is missing. ``carries``: the classes of which nothing
    is left once it is gone. ``traits`` (``udfs.captions.traits``, as strings) and ``things`` (its number of instances) matter
    only where another component, or ``OtherRow``, has its class.
    """

    label: str
    name: NotRequired[str | None]
    carries: NotRequired[Sequence[str] | None]
    traits: NotRequired[Sequence[str] | None]
    things: NotRequired[int | None]


class OtherRow(TypedDict):
    """Instances that are told apart from others of their class and are no component.

    ``goes_with`` is the component in whose masks they lie, so that they go with it; -1 where every image has them.
    """

    label: str
    traits: Sequence[str]
    things: int
    goes_with: int


class Reference(NamedTuple):
    """What a mention refers to: components surely and perhaps, as bit masks.

    ``carriers`` are those that carry it, each of which takes it along; ``stays``: it also fits what no image lacks.
    """

    sure: int
    perhaps: int
    carriers: int = 0
    stays: bool = False

    @property
    def fits(self) -> int:
        """All components that it may refer to."""
        return self.sure | self.perhaps

    def lost(self, subset: int) -> bool:
        """Whether nothing is left that it could refer to once the components in ``subset`` are removed."""
        return bool(self.carriers & subset or (self.fits & subset and not self.fits & ~subset and not self.stays))

    def wronged(self, subset: int) -> bool:
        """Whether it is false without ``subset``, though something is left that it could refer to: one of "two men"."""
        return bool(self.sure & subset) and not self.lost(subset)


@dataclass(frozen=True)
class _Referent:
    mask: int  # 0 for what is no component
    traits: Traits
    things: int


class Referents:
    """The components of a family, by what names them; bit i stands for component i."""

    def __init__(self, components: Sequence[NamedRow], others: Sequence[OtherRow] | None = None) -> None:
        self.everything = (1 << len(components)) - 1
        self._by_label: dict[str, list[_Referent]] = {}
        self._carriers: dict[str, int] = {}
        for bit, row in enumerate(components):
            referent = _Referent(1 << bit, from_strings(row.get("traits") or ()), row.get("things") or 1)
            self._by_label.setdefault(row["label"], []).append(referent)
            for label in row.get("carries") or ():
                self._carriers[label] = self._carriers.get(label, 0) | 1 << bit
        for other in others or ():
            mask = 0 if other["goes_with"] < 0 else 1 << other["goes_with"]
            referent = _Referent(mask, from_strings(other["traits"]), other["things"])
            self._by_label.setdefault(other["label"], []).append(referent)

    @classmethod
    def of_labels(cls, labels: Sequence[str], carries: Sequence[Sequence[str]] | None = None) -> Self:
        """The components of a family in which each is a class of its own."""
        return cls([{"label": label, "carries": own} for label, own in zip(labels, carries or [()] * len(labels), strict=True)])

    def of(self, text: str, mention: Mention) -> Reference:
        """What a mention of a text refers to.

        A component is surely named if the mention is false without it: it fits, and of what else fits there are fewer things than
        the mention counts. Of two men "two men" names both, and "a man" names none surely. What may be anything is perhaps all.
        """
        label = mention["label"]
        if label == ANY:
            return Reference(0, self.everything, 0, stays=True)
        carriers = self._carriers.get(label, 0)
        of_class = self._by_label.get(label, [])
        if len(of_class) > 1:
            traits = traits_of(text, mention)
            of_class = [referent for referent in of_class if not told_apart(traits, referent.traits)]
        masks = {referent.mask for referent in of_class}
        stated = count_named(text, dict(mention)) if len(masks) > 1 else 1
        sure = fits = carriers
        for mask in masks:
            fits |= mask
            if sum(referent.things for referent in of_class if referent.mask != mask) < stated:
                sure |= mask
        stays = 0 in masks
        return Reference(sure, fits & ~sure, carriers, stays) if mention["certain"] else Reference(0, fits, carriers, stays)

    def masks(self, text: str) -> tuple[int, int]:
        """Which components a text names: two bit masks, surely and perhaps. A component may be in both."""
        return self.masks_of(text, find_mentions(text))

    def masks_of(self, text: str, mentions: Iterable[Mention]) -> tuple[int, int]:
        """``masks`` of a text whose mentions are known."""
        sure = perhaps = 0
        for mention in mentions:
            reference = self.of(text, mention)
            sure |= reference.sure
            perhaps |= reference.perhaps
        return sure, perhaps
