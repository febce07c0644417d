"""The relation of each text of a batch to each image: the truth relation, extended from a family to a whole batch.

Within a family the bit masks decide (``udfs.truth``). A hard negative contradicts the image that it was made for; for the other
members it is unknown, unless the bit masks say more. Families share no bits. Across families a text is considered false if the
detector did not see something that it names, and true by chance otherwise; a text that names nothing is never considered false.
"""

from enum import IntEnum

import torch
from torch import Tensor

from training.data.batch import Facts, TextKind
from udfs.truth import Relation, relation_tensor


class Pair(IntEnum):
    """The relation of a text to an image."""

    NEGATIVE = 0  # other family, and the text names something that is not in the image
    CHANCE = 1  # other family, and the image has everything that the text names, or it names nothing
    UNKNOWN = 2  # same family; it may name something removed, or was made to be false of another member
    CONTRADICTORY = 3  # same family; it names something removed, or was made to be false of this image
    ENTAILED = 4  # same family; true, but says less than its caption about what is there
    POSITIVE = 5  # same family; exact


TRUE = (Pair.POSITIVE, Pair.ENTAILED)
UNSURE = (Pair.UNKNOWN, Pair.CHANCE)

# Equal strings are one text, and the strongest evidence about it counts. From weakest to strongest: labels, the intention of a
# hard negative, bit masks. So a hard negative with the same string as an exact text is exact.
_STRENGTH = (
    Pair.NEGATIVE,
    Pair.CHANCE,
    Pair.UNKNOWN,  # a hard negative, for the other members
    Pair.CONTRADICTORY,  # a hard negative, for its image
    Pair.ENTAILED,
    Pair.UNKNOWN,
    Pair.POSITIVE,
    Pair.CONTRADICTORY,
)
# Indices into _STRENGTH.
_CHANCE, _MADE_FOR_OTHER, _MADE_FOR = 1, 2, 3
_BY_BITS = {Relation.ENTAILED: 4, Relation.UNKNOWN: 5, Relation.EXACT: 6, Relation.CONTRADICTORY: 7}


def pairs(facts: Facts) -> Tensor:
    """The ``Pair`` of all I images with all T texts of a batch: int8 [I, T], on the device of the facts."""
    strength = torch.where(_same_family(facts), _within(facts), _across(facts))
    # Reduce to one column per distinct string, then expand to one per text again.
    _, string = facts.text_key.unique(return_inverse=True)
    strongest = torch.zeros_like(strength).scatter_reduce(1, string.expand_as(strength), strength, "amax")
    return torch.tensor(_STRENGTH, dtype=torch.int8, device=strength.device)[strongest[:, string]]


def _same_family(facts: Facts) -> Tensor:
    return facts.image_family[:, None] == facts.text_family[None, :]


def _within(facts: Facts) -> Tensor:
    """Strengths as if all pairs were of the same family: int64 [I, T]."""
    removed = facts.removed[:, None]
    relations = relation_tensor(removed, facts.named, facts.mentions, facts.may_mention)
    by_bits = torch.tensor([_BY_BITS[relation] for relation in Relation], device=relations.device)[relations.long()]
    # A hard negative is made for its image and for all images with the same components removed.
    made_for = removed == facts.removed[facts.owner]
    by_intention = torch.where(made_for, _MADE_FOR, _MADE_FOR_OTHER)
    intended = (facts.kind == TextKind.NEGATIVE) & (relations != Relation.CONTRADICTORY)
    return torch.where(intended, by_intention, by_bits)


def _across(facts: Facts) -> Tensor:
    """Strengths as if all pairs were of different families: int64 [I, T]."""
    missing = (~facts.present).float() @ facts.labels.float().T  # labels of the text that the image lacks, their number
    return torch.where(missing == 0, _CHANCE, 0)
