"""When is a text true of an image? The one relation that tables, losses and benchmarks share.

Bit masks over a family's components (bit i = component i):
    R  removed from the image
    C  named by the text's source caption
    M  surely named by the text
    U  perhaps named by the text (a hypernym, a pronoun, a word that nothing resolved)
In this order: *contradictory* if ``M & R``; *unknown* if ``U & R``; *exact* if ``M == C & ~R``; *entailed* otherwise.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class Relation(IntEnum):
    """How a text relates to an image; of texts that are equal strings the strongest (highest) relation counts."""

    ENTAILED = 0
    UNKNOWN = 1
    EXACT = 2
    CONTRADICTORY = 3


def relation(removed: Any, named: Any, mentions: Any, may_mention: Any) -> Any:
    """Relation of texts to images.

    Args:
        removed: R, an int or an integer array (numpy) of any shape; all four broadcast against each other.
        named: C.
        mentions: M.
        may_mention: U.

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
    """The same relation of integer tensors that broadcast against each other: int8 ``Relation`` values, on their device."""
    import torch

    found = torch.where(mentions == (named & ~removed), int(Relation.EXACT), int(Relation.ENTAILED))
    found = torch.where((may_mention & removed) != 0, int(Relation.UNKNOWN), found)
    return torch.where((mentions & removed) != 0, int(Relation.CONTRADICTORY), found).to(torch.int8)


def relation_sql(removed: str, named: str, mentions: str, may_mention: str) -> str:
    """The same relation as a Spark SQL expression over four column names; a string: 'exact', 'entailed', ..."""
    return (
        f"CASE WHEN {mentions} & {removed} <> 0 THEN 'contradictory'"
        f" WHEN {may_mention} & {removed} <> 0 THEN 'unknown'"
        f" WHEN {mentions} = ({named} & ~{removed}) THEN 'exact' ELSE 'entailed' END"
    )


def submasks(mask: int) -> list[int]:
    """All non-empty submasks of ``mask``, ascending: 2^popcount - 1 of them."""
    found, part = [], mask
    while part:
        found.append(part)
        part = (part - 1) & mask
    return found[::-1]
