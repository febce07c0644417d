"""Power set: a family's images and texts together in one batch, each pair by what is known of its truth.

    L = 1/2 [CE over images + CE over texts],  CE_a = - sum_p q_p log e^{s(a,p)} / sum_{b in P or N} e^{s(a,b)}

P of an image are the texts that are exact for it, N those that contradict it and those of other families that are false of it.
What is entailed (true, but says less) is in neither ("mask"), or a target of weight ``soft`` beside the exact ones ("soft"), or
also ranked below them ("rank"), among the texts whose source names the same:

    L_rank = mean over (exact x, entailed y) of max(0, margin + s(i, y) - s(i, x))

This project's own method; the order exact, entailed, contradictory is that of ``jobs.truth``. ``first_form`` is the idea as it
was first sketched: dual images but no dual texts, so that an original caption is a negative of the duals that it contradicts, and
images without an exact caption are never asked for one. Placebo edits are positives like the originals that they were made of:
their facts are the same.
"""

from typing import Literal

import torch
from torch import Tensor

from training.batch import Facts, Needs
from training.methods.base import Method, Positives, Targets
from training.pairs import Pair


class PowerSet(Method):
    """The contrast over whole families.

    Args:
        entailed: mask, soft or rank.
        first_form: original captions alone.
        members: images of one family in a batch.
        placebo: share of originals that come with an object-free region inpainted.
        soft: an entailed text's weight as a target, of an exact one's 1.
        margin: of the ranking, in cosine.
        rank: the ranking's weight.
    """

    name = "powerset"

    def __init__(
        self,
        masking: bool = True,
        positives: Positives = "multi",
        entailed: Literal["mask", "soft", "rank"] = "mask",
        first_form: bool = False,
        members: int = 4,
        placebo: float = 0.0,
        soft: float = 0.2,
        margin: float = 0.02,
        rank: float = 1.0,
    ) -> None:
        super().__init__(masking, positives if masking else "masked")
        if entailed not in ("mask", "soft", "rank"):
            raise ValueError(f"entailed is mask, soft or rank, not {entailed!r}")
        if not masking and entailed != "mask":
            raise ValueError("without masking every pair but an image's own text is a negative, entailed or not")
        self.needs = Needs(members=members, duals=True, own="original" if first_form else "dual", placebo=placebo)
        self.entailed, self.first_form = entailed, first_form
        self.soft, self.margin, self.rank = soft, margin, rank

    def targets(self, facts: Facts) -> Targets:
        """Exact pairs with weight 1, entailed ones with that of ``soft`` if they are soft targets."""
        found = super().targets(facts)
        if self.entailed != "soft":
            return found
        weight = self.soft * (found.relations == Pair.ENTAILED)
        # Where nothing is exact, nothing is asked.
        asked_image, asked_text = (found.positive > 0).any(1, keepdim=True), (found.positive > 0).any(0, keepdim=True)
        return Targets(found.relations, found.positive + weight * (asked_image & asked_text), found.negative)

    def terms(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets) -> dict[str, Tensor]:
        """The ranking, if asked for."""
        if self.entailed != "rank":
            return {}
        return {"rank": self.rank * ranking(images @ texts.T, targets.relations, facts, scale * self.margin, scale)}


def ranking(cosines: Tensor, relations: Tensor, facts: Facts, margin: Tensor, scale: Tensor) -> Tensor:
    """Mean over triples (image, exact text, entailed text of one source) of the hinge; 0 where there is none.

    Facts do not say which caption a text comes of: sources of one family that name the same components count as one.
    """
    source = (facts.text_family[:, None] == facts.text_family[None, :]) & (facts.named[:, None] == facts.named[None, :])
    places = (relations == Pair.ENTAILED).nonzero()
    image, less = places[:, 0], places[:, 1]
    exact = (relations[image] == Pair.POSITIVE) & source[less]  # [entailed pairs, T]
    hinge = (margin + scale * (cosines[image, less][:, None] - cosines[image])).relu()
    return torch.where(exact, hinge, 0.0).sum() / exact.sum().clamp(min=1)
