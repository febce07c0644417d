"""Power set: a family's images and texts together in one batch, each pair by what is known of its truth.

    L = 1/2 [CE over images + CE over texts],  CE_a = - sum_p q_p log e^{s(a,p)} / sum_{b in P or N} e^{s(a,b)}

P of an image are the texts that are exact for it, N those that contradict it and those of other families (``masking``: also
those that are true of it by chance, or not).
What is entailed (true, but says less) is in neither ("mask"), or a target of weight ``soft`` beside the exact ones ("soft"), or
also ranked below them ("rank"), among the texts whose source names the same:

    L_rank = mean over (exact x, entailed y) of max(0, margin + s(i, y) - s(i, x))

This project's own method; the order exact, entailed, contradictory is that of ``jobs.truth``. ``first_form`` is the idea as it
was first sketched: dual images but no dual texts, so that an original caption is a negative of the duals that it contradicts, and
images without an exact caption are never asked for one. Placebo edits are positives like the originals that they were made of:
their facts are the same.

Controls: ``subsets="leave_one_out"`` has the originals and the duals without one component, to tell what 2^N adds to N.
``images="originals"`` has dual texts without dual images: every image is an original, and its text, exact or entailed, is drawn
among all of its family, which are all true of it; what is drawn is a target, be it entailed. One image of a family is a member
then, as copies of an image would be told apart by their texts alone.
"""

from typing import Literal

import torch
from torch import Tensor

from training.batch import Facts, Needs
from training.methods.base import Masking, Method, Positives, Targets
from training.pairs import Pair


class PowerSet(Method):
    """The contrast over whole families.

    Args:
        entailed: mask, soft or rank.
        first_form: original captions alone.
        subsets: all, or leave_one_out.
        images: all, or originals: dual texts without dual images.
        members: images of one family in a batch; 4 if not given, or 1 of originals.
        placebo: share of originals that come with an object-free region inpainted.
        soft: an entailed text's weight as a target, of an exact one's 1.
        margin: of the ranking, in cosine.
        rank: the ranking's weight.
    """

    name = "powerset"

    def __init__(
        self,
        masking: Masking = "family",
        positives: Positives = "multi",
        entailed: Literal["mask", "soft", "rank"] = "mask",
        first_form: bool = False,
        subsets: Literal["all", "leave_one_out"] = "all",
        images: Literal["all", "originals"] = "all",
        members: int | None = None,
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
        if subsets not in ("all", "leave_one_out"):
            raise ValueError(f"subsets is all or leave_one_out, not {subsets!r}")
        if images not in ("all", "originals"):
            raise ValueError(f"images is all or originals, not {images!r}")
        duals = images == "all"
        if not duals and (first_form or subsets != "all" or entailed != "mask"):
            raise ValueError("with originals alone a family has one image and one text: no first_form, subsets, soft or rank")
        if not duals and members not in (None, 1):
            raise ValueError(f"members is {members}: a family has one original, and copies of it in a batch make no sense")
        own = "original" if first_form else "dual" if duals else "true"
        members = members if members is not None else 4 if duals else 1
        self.needs = Needs(members=members, duals=duals, subsets=subsets, own=own, placebo=placebo)
        self.entailed, self.first_form, self.images = entailed, first_form, images
        self.soft, self.margin, self.rank = soft, margin, rank

    def targets(self, facts: Facts) -> Targets:
        """Exact pairs with weight 1, entailed ones with that of ``soft`` if they are soft targets.

        Of originals alone an entailed text is a whole target of the image that it was drawn for.
        """
        found = super().targets(facts)
        if self.images == "originals" and self.masking:
            drawn = torch.zeros_like(found.negative).fill_diagonal_(True) & (found.relations == Pair.ENTAILED)
            found = Targets(found.relations, found.positive + drawn.float(), found.negative)
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
