"""When is a text true of an image? The one relation that tables, losses and benchmarks share.

It is defined on bit masks over the components of a family (bit i stands for component i):
    R  removed from the image
    C  named by the text's source caption
    M  surely named by the text
    U  perhaps named by the text (a hypernym, a pronoun, a word that nothing resolved)
The first condition that holds decides: *contradictory* if ``M & R``; *unknown* if ``U & R``; *exact* if ``M == C & ~R``;
*entailed* otherwise.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class Relation(IntEnum):
    """How a text relates to an image. Where several texts are the same string, the strongest (highest) relation counts."""

    ENTAILED = 0
    UNKNOWN = 1
    EXACT = 2
    CONTRADICTORY = 3


def relation(removed: Any, named: Any, mentions: Any, may_mention: Any) -> Any:
    """Relation of texts to images.

    Args:
        removed: R, an int or an integer NumPy array of any shape; all four broadcast against each other.
        named: C, likewise.
        mentions: M, likewise.
        may_mention: U, likewise.

    Returns:
        A ``Relation`` for four ints, else an int8 array of ``Relation`` values of the broadcast shape.
    """
    if all(isinstance(mask, int) for mask in (removed, named, mentions, may_mention)):
        if mentions & removed:
            return Relation.CONTRADICTORY
        if may_mention & removed:
            return Relation.UNKNOWN
        return Relation.EXACT if mentions == named & ~removed else Relation.ENTAILED
    import numpy as np

    r, c, m, u = np.broadcast_arrays(*(np.asarray(x) for x in (removed, named, mentions, may_mention)))
    conditions = [(m & r) != 0, (u & r) != 0, m == (c & ~r)]
    choices = [Relation.CONTRADICTORY, Relation.UNKNOWN, Relation.EXACT]
    return np.select(conditions, choices, default=Relation.ENTAILED).astype(np.int8)


def relation_tensor(removed: "Tensor", named: "Tensor", mentions: "Tensor", may_mention: "Tensor") -> "Tensor":
    """``relation`` for integer tensors that broadcast against each other: int8 ``Relation`` values, on their device."""
    import torch

    relations = torch.where(mentions == (named & ~removed), int(Relation.EXACT), int(Relation.ENTAILED))
    relations = torch.where((may_mention & removed) != 0, int(Relation.UNKNOWN), relations)
    return torch.where((mentions & removed) != 0, int(Relation.CONTRADICTORY), relations).to(torch.int8)


def relation_sql(removed: str, named: str, mentions: str, may_mention: str) -> str:
    """``relation`` as a Spark SQL expression over four column names; its value is a string: 'exact', 'entailed', ..."""
    return (
        f"CASE WHEN {mentions} & {removed} <> 0 THEN 'contradictory'"
        f" WHEN {may_mention} & {removed} <> 0 THEN 'unknown'"
        f" WHEN {mentions} = ({named} & ~{removed}) THEN 'exact' ELSE 'entailed' END"
    )


def submasks(mask: int) -> list[int]:
    """All non-empty submasks of ``mask``, ascending: 2^popcount - 1 of them."""
    submask, descending = mask, []
    while submask:
        descending.append(submask)
        submask = (submask - 1) & mask
    return descending[::-1]
