"""An image's own hard texts: the variants picked for it, beside its own text."""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.batch import Facts, TextKind
from training.methods.base import Targets
from training.pairs import TRUE, Pair


@dataclass(frozen=True)
class Hard:
    """K variants that are what they were made to be."""

    place: Tensor  # int64 [K]: among the T texts
    owner: Tensor  # int64 [K]: the image, and the place of its own text
    variant: Tensor  # int64 [K]: which of the method's kinds of variants


def negatives(facts: Facts, targets: Targets, masking: bool) -> Hard:
    """The variants made to be false of their image; with masking, those that are not true of it after all.

    An image whose own text is not true of it (an original caption of a dual image) has none: no text is to win there.
    """
    chosen = facts.kind == TextKind.NEGATIVE
    if masking:
        chosen = chosen & (_to_owner(facts, targets) == Pair.CONTRADICTORY) & _has_true_text(facts, targets)
    return _hard(facts, chosen & (facts.variant >= 0))


def positives(facts: Facts, targets: Targets, masking: bool) -> Hard:
    """The variants made to be true of their image; with masking, those that are."""
    chosen = facts.kind == TextKind.POSITIVE
    if masking:
        chosen = chosen & (_to_owner(facts, targets) == Pair.POSITIVE) & _has_true_text(facts, targets)
    return _hard(facts, chosen & (facts.variant >= 0))


def by_owner(values: Tensor, hard: Hard, images: int, fill: float) -> Tensor:
    """[K] values as a matrix [I, K] in which a column has its value in its owner's row and ``fill`` elsewhere."""
    mine = hard.owner[None, :] == torch.arange(images, device=values.device)[:, None]
    return torch.where(mine, values[None, :], fill)


def _to_owner(facts: Facts, targets: Targets) -> Tensor:
    return targets.relations[facts.owner, torch.arange(len(facts.owner), device=facts.owner.device)]


def _has_true_text(facts: Facts, targets: Targets) -> Tensor:
    own = targets.relations.diagonal()
    return ((own == TRUE[0]) | (own == TRUE[1]))[facts.owner]


def _hard(facts: Facts, chosen: Tensor) -> Hard:
    place = chosen.nonzero().flatten()
    return Hard(place, facts.owner[place], facts.variant[place])
