"""Power set: images and texts of the same family in one batch; the truth of each pair decides its role in the loss.

    L = 1/2 [CE over images + CE over texts],  CE_a = - sum_p q_p log e^{s(a,p)} / sum_{b in P or N} e^{s(a,b)}

P of an image are the texts that are exact for it, N those that contradict it and those of other families (``masking`` decides
whether texts that are true by chance are among them). Entailed texts (true, but they say less) are in neither ("mask"), or are
targets of weight ``soft`` next to the exact ones ("soft"), or are in neither and ranked below the exact texts whose source names
the same components ("rank"):

    L_rank = mean over (exact x, entailed y) of max(0, margin + s(i, y) - s(i, x))

This is the project's own method; the order exact, entailed, contradictory is that of ``udfs.truth``. ``first_form`` is the first
sketch of the idea: dual images but no dual texts, so an original caption is a negative of the duals that it contradicts, and
images without an exact caption have no positive. Placebo edits are positives like their originals: their facts are the same.

Controls: ``subsets="leave_one_out"`` uses the originals and the duals with one component removed, to measure what 2^N adds to N.
``images="originals"`` uses dual texts without dual images: every image is an original, and its text is drawn from the texts of
its family that are true of it, exact or entailed; the drawn text is a target even if it is entailed. A batch then has one image
per family, as copies of an image would be distinguished by their texts only.
"""

from typing import Literal

import torch
from torch import Tensor

from training.data.batch import Facts, Needs
from training.methods.base import Masking, Method, Positives, Targets
from training.methods.pairs import Pair


class PowerSet(Method):
    """The contrastive loss over whole families.

    Args:
        entailed: what entailed texts are: "mask", "soft" or "rank".
        first_form: original captions only.
        subsets: "all" dual images, or "leave_one_out".
        images: "all", or "originals": dual texts without dual images.
        members: images of one family in a batch; by default 4, or 1 with originals only.
        placebo: share of originals that are replaced by their placebo (an object-free region inpainted).
        soft: weight of an entailed text as a target, where an exact one has 1.
        margin: of the ranking, in cosine.
        rank: weight of the ranking.
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
            raise ValueError("without masking every text but an image's own is a negative, so entailed must be mask")
        if subsets not in ("all", "leave_one_out"):
            raise ValueError(f"subsets is all or leave_one_out, not {subsets!r}")
        if images not in ("all", "originals"):
            raise ValueError(f"images is all or originals, not {images!r}")
        duals = images == "all"
        if not duals and (first_form or subsets != "all" or entailed != "mask"):
            raise ValueError("with originals only a family has one image and one text: no first_form, subsets, soft or rank")
        if not duals and members not in (None, 1):
            raise ValueError(f"members is {members}: with originals only it must be 1, as a family has one original")
        own = "original" if first_form else "dual" if duals else "true"
        members = members if members is not None else 4 if duals else 1
        self.needs = Needs(members=members, duals=duals, subsets=subsets, own=own, placebo=placebo)
        self.entailed, self.first_form, self.images = entailed, first_form, images
        self.soft, self.margin, self.rank = soft, margin, rank

    def targets(self, facts: Facts) -> Targets:
        """Exact pairs with weight 1; entailed ones with weight ``soft`` if they are soft targets.

        With originals only, an entailed text has weight 1 for the image that it was drawn for.
        """
        targets = super().targets(facts)
        if self.images == "originals" and self.masking:
            drawn = torch.zeros_like(targets.negative).fill_diagonal_(True) & (targets.relations == Pair.ENTAILED)
            targets = Targets(targets.relations, targets.positive + drawn.float(), targets.negative)
        if self.entailed != "soft":
            return targets
        weight = self.soft * (targets.relations == Pair.ENTAILED)
        # Images and texts without an exact pair get no soft target either.
        image_has_exact = (targets.positive > 0).any(1, keepdim=True)
        text_has_exact = (targets.positive > 0).any(0, keepdim=True)
        return Targets(targets.relations, targets.positive + weight * (image_has_exact & text_has_exact), targets.negative)

    def terms(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets) -> dict[str, Tensor]:
        """The ranking, if asked for."""
        if self.entailed != "rank":
            return {}
        return {"rank": self.rank * ranking(images @ texts.T, targets.relations, facts, scale * self.margin, scale)}


def ranking(cosines: Tensor, relations: Tensor, facts: Facts, margin: Tensor, scale: Tensor) -> Tensor:
    """The mean hinge over triples (image, exact text, entailed text of the same source); 0 without any.

    Facts do not tell a text's source caption: sources of a family that name the same components count as the same.
    """
    source = (facts.text_family[:, None] == facts.text_family[None, :]) & (facts.named[:, None] == facts.named[None, :])
    places = (relations == Pair.ENTAILED).nonzero()
    image, entailed = places[:, 0], places[:, 1]
    exact = (relations[image] == Pair.POSITIVE) & source[entailed]  # [entailed pairs, T]
    hinge = (margin + scale * (cosines[image, entailed][:, None] - cosines[image])).relu()
    return torch.where(exact, hinge, 0.0).sum() / exact.sum().clamp(min=1)
