"""What every text of a batch is to every image of it: the truth relation, carried from a family to a whole batch.

Inside a family the bits decide (``jobs.truth``). A text that was made to be false is contradictory to what it was made for, and
nobody knows what it is to the other members, unless its bits say so. Across families there are no common bits: a text is taken to
be false there if the detector missed something that it names, and true by chance otherwise; a text that names nothing is never
called false.
"""

from enum import IntEnum

import torch
from torch import Tensor

from jobs.truth import Relation, relation_tensor
from training.batch import Facts, TextKind


class Pair(IntEnum):
    """An image and a text."""

    NEGATIVE = 0  # of another family, and it names what is not in the image
    CHANCE = 1  # of another family, and all that it names is in the image, or it names nothing
    UNKNOWN = 2  # of one family, but it may name what is gone, or was made to be false of another member
    CONTRADICTORY = 3  # of one family, and it names what is gone, or was made to be false of this image
    ENTAILED = 4  # true, but says less than its caption does of what is there
    POSITIVE = 5  # exact


TRUE = (Pair.POSITIVE, Pair.ENTAILED)
UNSURE = (Pair.UNKNOWN, Pair.CHANCE)

# Equal strings are one text, and what is known best of it counts, from the weakest up: what labels say, what was intended when
# a negative was made, what bits say. A made negative that is the string of an exact text is exact, whoever made it.
_STRENGTH = (
    Pair.NEGATIVE,
    Pair.CHANCE,
    Pair.UNKNOWN,  # of a made negative, to the other members
    Pair.CONTRADICTORY,  # of a made negative, to its image
    Pair.ENTAILED,
    Pair.UNKNOWN,
    Pair.POSITIVE,
    Pair.CONTRADICTORY,
)
_CHANCE, _ELSEWHERE, _MADE = 1, 2, 3
_BY_BITS = {Relation.ENTAILED: 4, Relation.UNKNOWN: 5, Relation.EXACT: 6, Relation.CONTRADICTORY: 7}


def pairs(facts: Facts) -> Tensor:
    """The ``Pair`` of all I images and T texts of a batch: int8 [I, T], on the facts' device."""
    strength = torch.where(_kin(facts), _inside(facts), _across(facts))
    # One column a string, then back to one a text.
    _, string = facts.text_key.unique(return_inverse=True)
    strongest = torch.zeros_like(strength).scatter_reduce(1, string.expand_as(strength), strength, "amax")
    return torch.tensor(_STRENGTH, dtype=torch.int8, device=strength.device)[strongest[:, string]]


def _kin(facts: Facts) -> Tensor:
    return facts.image_family[:, None] == facts.text_family[None, :]


def _inside(facts: Facts) -> Tensor:
    """Strengths as if all were one family: int64 [I, T]."""
    removed = facts.removed[:, None]
    found = relation_tensor(removed, facts.named, facts.mentions, facts.may_mention)
    by_bits = torch.tensor([_BY_BITS[one] for one in Relation], device=found.device)[found.long()]
    # The image that it was made for, and any other picture of the same things.
    made_for = removed == facts.removed[facts.owner]
    made = torch.where(made_for, _MADE, _ELSEWHERE)
    intended = (facts.kind == TextKind.NEGATIVE) & (found != Relation.CONTRADICTORY)
    return torch.where(intended, made, by_bits)


def _across(facts: Facts) -> Tensor:
    """Strengths as if no two were of one family: int64 [I, T]."""
    missing = (~facts.present).float() @ facts.labels.float().T  # how many labels of the text the image lacks
    return torch.where(missing == 0, _CHANCE, 0)
