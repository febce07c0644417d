"""Sampling within a family: which images form a chunk, and which texts each image gets.

Everything is drawn from the seed, the epoch and the record id, never from a running random state. No image is decoded here.
"""

import hashlib
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from jobs.snapshot.manifest import JOINT, Manifest
from training.data.batch import Needs, TextKind
from training.data.family import Family
from udfs.truth import Relation, relation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Kinds of variants that are true wherever their source is; all other kinds are hard negatives.
TRUE_KINDS = ("paraphrase", "rewrite")


@dataclass(frozen=True)
class Text:
    """A text as drawn for an image. A variant has its source's C and its own M and U."""

    text_id: str
    text: str
    named: int  # C
    mentions: int  # M
    may_mention: int  # U
    labels: tuple[str, ...]
    kind: TextKind = TextKind.OWN
    variant: int = -1


@dataclass(frozen=True)
class Member:
    """An image, still encoded, with its texts; its own text is the first."""

    record_id: str
    labels: tuple[str, ...]
    detected: tuple[str, ...]
    subset: int
    image: bytes = field(repr=False)
    texts: tuple[Text, ...]
    placebo: bool = False

    @property
    def image_id(self) -> str:
        """``record_id/subset``, and ``record_id/0p`` of a placebo."""
        return f"{self.record_id}/{self.subset}" + "p" * self.placebo


Chunk = list[Member]  # of one family


def check(needs: Needs, manifest: Manifest) -> None:
    """Check that a reader of the snapshot can provide what a method needs.

    Raises:
        ValueError: it cannot; the message says which need.
    """
    mixture = sizes(needs)
    if min(k for k, _ in mixture) < 1 or min(share for _, share in mixture) <= 0:
        raise ValueError(f"members is {needs.members}: a batch has at least one image of a family, and shares are above 0")
    if needs.subsets not in ("all", "leave_one_out"):
        raise ValueError(f"subsets is {needs.subsets!r}: either 'all' or 'leave_one_out'")
    if needs.own not in ("dual", "true", "original"):
        raise ValueError(f"own is {needs.own!r}: 'dual', 'true' or 'original'")
    if not 0 <= needs.mined < 1:
        raise ValueError(f"mined is {needs.mined}: a share of the batch below 1, as mined images are near the others in it")
    if not 0 <= needs.placebo <= 1:
        raise ValueError(f"placebo is {needs.placebo}: a share of the originals")
    if needs.placebo and not manifest.has_placebos:
        raise ValueError(f"snapshot {manifest.id} has no placebos: dualset run --stages placebos, then dualset publish")


def sizes(needs: Needs) -> tuple[tuple[int, float], ...]:
    """``members`` as a mixture: (k, share of the families)."""
    return ((needs.members, 1.0),) if isinstance(needs.members, int) else needs.members


def usable(family: Family, needs: Needs) -> list[int]:
    """Places of the images that can be members: those that ``needs`` asks for and that have an exact text."""
    return _usable(family, needs, relations(family))


def relations(family: Family) -> "NDArray[np.int8]":
    """The ``Relation`` of each text to each image: int8 [K, T]."""
    masks = (mask[None, :] for mask in (family["text_named"], family["text_mentions"], family["text_may_mention"]))
    return cast("NDArray[np.int8]", relation(family["subsets"][:, None], *masks))


def chunks(family: Family, needs: Needs, seed: int, epoch: int) -> list[Chunk]:
    """The members of a family, shuffled and cut into chunks of k; every member is in exactly one chunk."""
    rng, known = drawn_from(seed, epoch, family["record_id"]), relations(family)
    places = _usable(family, needs, known)
    rng.shuffle(places)
    ks, shares = zip(*sizes(needs), strict=True)
    (k,) = rng.choices(ks, shares)
    members = [_member(family, at, _own(family, needs, known[at]), needs, rng) for at in places]
    members = [_placebo(member, family, needs, seed, epoch) for member in members]
    return [members[start : start + k] for start in range(0, len(members), k)]


def _originals(family: Family) -> "NDArray[np.bool_]":
    return cast("NDArray[np.bool_]", family["text_mentions"] == family["text_named"])


def _own(family: Family, needs: Needs, known: "NDArray[np.int8]") -> "NDArray[np.bool_]":
    """Which texts may be an image's own text, by their relations to it (int8 [T]): bool [T]."""
    if needs.own == "original":
        return _originals(family)
    own = known == Relation.EXACT
    return cast("NDArray[np.bool_]", own | (known == Relation.ENTAILED) if needs.own == "true" else own)


def _usable(family: Family, needs: Needs, known: "NDArray[np.int8]") -> list[int]:
    if needs.own == "original" and not _originals(family).any():
        return []
    exact = (known == Relation.EXACT).any(axis=1)
    return [i for i, subset in enumerate(family["subsets"].tolist()) if _is_wanted(subset, needs) and exact[i]]


def _is_wanted(subset: int, needs: Needs) -> bool:
    return not subset or (needs.duals and (needs.subsets == "all" or subset.bit_count() == 1))


def drawn_from(*key: object) -> random.Random:
    """A random generator that is the same in every process for the same key."""
    return random.Random(hashlib.blake2b(repr(key).encode(), digest_size=16).digest())


def _member(family: Family, place: int, true: "NDArray[np.bool_]", needs: Needs, rng: random.Random) -> Member:
    own = rng.choice(true.nonzero()[0].tolist())
    texts = [rng.choice([_text(family, own), *(_variant(family, i) for i in _variants(family, own, needs.rewrites))])]
    for which, (kind, count) in enumerate(needs.variants):
        available = _variants(family, own, kind)
        text_kind = TextKind.POSITIVE if kind in TRUE_KINDS else TextKind.NEGATIVE
        drawn = rng.sample(available, min(count, len(available)))
        texts += [replace(_variant(family, i), kind=text_kind, variant=which) for i in drawn]
    labels, detected = tuple(family["labels"]), tuple(family["detected"])
    return Member(family["record_id"], labels, detected, int(family["subsets"][place]), family["images"][place], tuple(texts))


def _placebo(member: Member, family: Family, needs: Needs, seed: int, epoch: int) -> Member:
    """Replace an original by its placebo, by chance. A separate draw: the rest of the batch is the same without placebos."""
    if member.subset or not needs.placebo or family["placebo"] is None:
        return member
    replaced = drawn_from(seed, epoch, member.record_id, "placebo").random() < needs.placebo
    return replace(member, image=family["placebo"], placebo=True) if replaced else member


def _text(family: Family, place: int) -> Text:
    return Text(
        f"{family['record_id']}/{family['caption_id'][place]}",
        family["text"][place],
        int(family["text_named"][place]),
        int(family["text_mentions"][place]),
        int(family["text_may_mention"][place]),
        tuple(label for bit, label in enumerate(family["labels"]) if family["text_mentions"][place] >> bit & 1),
    )


def _variants(family: Family, source: int, kind: str) -> list[int]:
    if not kind:
        return []
    variants = zip(family["variant_of"], family["variant_kind"], strict=True)
    return [i for i, variant in enumerate(variants) if variant == (source, kind)]


def _variant(family: Family, place: int) -> Text:
    source = _text(family, int(family["variant_of"][place]))
    return replace(
        source,
        text_id=f"{source.text_id}#{family['variant_kind'][place]}",
        text=family["variant_text"][place],
        mentions=int(family["variant_mentions"][place]),
        may_mention=int(family["variant_may_mention"][place]),
        labels=tuple(filter(None, family["variant_names"][place].split(JOINT))),
    )
