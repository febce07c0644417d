"""Hard negatives and positives: the variants that were drawn for an image besides its own text."""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.batch import Facts, TextKind
from training.methods.base import Targets
from training.methods.pairs import TRUE, Pair


@dataclass(frozen=True)
class Hard:
    """K variants whose truth is as intended."""

    place: Tensor  # int64 [K]: index among the T texts
    owner: Tensor  # int64 [K]: index of the image, and of its own text
    variant: Tensor  # int64 [K]: index of the kind among the method's kinds of variants


def negatives(facts: Facts, targets: Targets, masking: bool) -> Hard:
    """The variants that were made to be false of their image; with masking, without those that turn out not to be false.

    An image whose own text is not true of it (a dual image with an original caption) has none: neither text should win there.
    """
    mask = facts.kind == TextKind.NEGATIVE
    if masking:
        mask = mask & (_to_owner(facts, targets) == Pair.CONTRADICTORY) & _has_true_text(facts, targets)
    return _hard(facts, mask & (facts.variant >= 0))


def positives(facts: Facts, targets: Targets, masking: bool) -> Hard:
    """The variants that were made to be true of their image; with masking, only those that are."""
    mask = facts.kind == TextKind.POSITIVE
    if masking:
        mask = mask & (_to_owner(facts, targets) == Pair.POSITIVE) & _has_true_text(facts, targets)
    return _hard(facts, mask & (facts.variant >= 0))


def by_owner(values: Tensor, hard: Hard, images: int, fill: float) -> Tensor:
    """Values [K] as a matrix [I, K]: each column has its value in the row of its owner and ``fill`` elsewhere."""
    is_owner = hard.owner[None, :] == torch.arange(images, device=values.device)[:, None]
    return torch.where(is_owner, values[None, :], fill)


def _to_owner(facts: Facts, targets: Targets) -> Tensor:
    return targets.relations[facts.owner, torch.arange(len(facts.owner), device=facts.owner.device)]


def _has_true_text(facts: Facts, targets: Targets) -> Tensor:
    own = targets.relations.diagonal()
    return ((own == TRUE[0]) | (own == TRUE[1]))[facts.owner]


def _hard(facts: Facts, mask: Tensor) -> Hard:
    place = mask.nonzero().flatten()
    return Hard(place, facts.owner[place], facts.variant[place])
