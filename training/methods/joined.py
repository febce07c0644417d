"""Joined methods: the power set's contrastive loss over the texts of both methods, plus the other method's further terms.

"powerset+negclip": families in the batch, swapped captions as further negatives, and NegCLIP's mining applied to whole families:
half of the batch's images are in chunks that are near the chunks of the other half. A sibling does not replace a near neighbour
(a sibling lacks a thing, a neighbour has other things of the same kind), and as the mining is kept, "powerset+negclip" differs
from "negclip" only by its families. Mined images count as images of the step, so the image tower has as many forward passes.
"powerset+simclip": families that are near each other. "powerset+ce_clip" and "powerset+svlc": with those methods' own terms.
"""

from dataclasses import replace

import torch
from torch import Tensor

from training.data.batch import Facts, Needs
from training.methods.base import Method, Targets
from training.methods.powerset import PowerSet


class Joined(Method):
    """The power set joined with another method."""

    _places: Tensor

    def __init__(self, first: PowerSet, second: Method) -> None:
        super().__init__(first.masking, first.positives)
        self.first, self.second = first, second
        self.name = f"{first.name}+{second.name}"
        self.needs = joined(first.needs, second.needs)
        places = [self.needs.variants.index(variant) for variant in second.needs.variants]
        table = torch.full((len(self.needs.variants) + 1,), -1)  # index -1 reads the last entry: no variant
        table[places] = torch.arange(len(places))
        self.register_buffer("_places", table, persistent=False)

    def targets(self, facts: Facts) -> Targets:
        """The power set's targets."""
        return self.first.targets(facts)

    def terms(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets) -> dict[str, Tensor]:
        """The terms of both; variants are renumbered for the second method."""
        renumbered = replace(facts, variant=self._places[facts.variant])
        return self.first.terms(images, texts, scale, facts, targets) | self.second.terms(
            images, texts, scale, renumbered, targets
        )


def joined(first: Needs, second: Needs) -> Needs:
    """The needs of both: the first one's families, the second one's texts and neighbours."""
    return replace(
        first,
        rewrites=second.rewrites or first.rewrites,
        variants=first.variants + tuple(variant for variant in second.variants if variant not in first.variants),
        neighbours=first.neighbours or second.neighbours,
        mined=max(first.mined, second.mined),
    )
