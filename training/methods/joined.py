"""Two methods in one: the power set's contrast over both methods' texts, and the other's further terms.

"powerset+negclip": families in the batch, swapped captions as further negatives, and NegCLIP's mining, of whole families: half of
the batch's images come in chunks that are near the chunks of the other half. A sibling is no stand-in for a near neighbour (it
lacks a thing, where a neighbour has other things of the same kind), and with the mining kept only the families tell
"powerset+negclip" from "negclip". Mined images count as images of the step, as everywhere, so the image tower has as many passes.
"powerset+simclip": families that are near each other. "powerset+ce_clip" and "powerset+svlc" add those methods' own terms.
"""

from dataclasses import replace

import torch
from torch import Tensor

from training.batch import Facts, Needs
from training.methods.base import Method, Targets
from training.methods.powerset import PowerSet


class Joined(Method):
    """A power set with one other method beside it."""

    _places: Tensor

    def __init__(self, first: PowerSet, second: Method) -> None:
        super().__init__(first.masking, first.positives)
        self.first, self.second = first, second
        self.name = f"{first.name}+{second.name}"
        self.needs = joined(first.needs, second.needs)
        places = [self.needs.variants.index(one) for one in second.needs.variants]
        table = torch.full((len(self.needs.variants) + 1,), -1)  # the last entry is read by -1: no variant
        table[places] = torch.arange(len(places))
        self.register_buffer("_places", table, persistent=False)

    def targets(self, facts: Facts) -> Targets:
        """The power set's."""
        return self.first.targets(facts)

    def terms(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets) -> dict[str, Tensor]:
        """Those of both; the second one sees its own variants as it counts them."""
        its = replace(facts, variant=self._places[facts.variant])
        return self.first.terms(images, texts, scale, facts, targets) | self.second.terms(images, texts, scale, its, targets)


def joined(first: Needs, second: Needs) -> Needs:
    """What both need: families of the first, the second's texts and neighbours."""
    return replace(
        first,
        rewrites=second.rewrites or first.rewrites,
        variants=first.variants + tuple(one for one in second.variants if one not in first.variants),
        neighbours=first.neighbours or second.neighbours,
        mined=max(first.mined, second.mined),
    )
