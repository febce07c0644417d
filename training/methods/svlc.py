"""SVLC (TSVLC): CLIP, plus each image's own text against its hard negatives, plus paraphrases as positives.

    L     = L_cont + w_neg L_neg + w_pos L_pos
    L_neg = - mean_i log e^{s(i, t_i)} / (e^{s(i, t_i)} + sum_k e^{s(i, t_ik)})           t_ik: negatives of t_i
    L_pos = 1/2 [CE(images, paraphrases) + CE(texts, paraphrases)] + 0.1 KL(1/2, 1/2 | softmax(s(i, t_i), s(i, p_i)))

Doveh et al. 2023, "Teaching Structured Vision & Language Concepts to Vision & Language Models", arXiv 2211.11733, section 3;
L_pos is as in the released code: both cross entropies are from images and texts to the batch's paraphrases p; the divergence is
an option there, off by default (``likeness=0``). Departures: all negatives of the rules (or the language model) are used, where
the released code draws one kind per step, and they are not in the contrastive loss, which is another option there; images without
a paraphrase are left out of L_pos, where the released code takes the caption; paraphrases of other families are masked like all
texts; LoRA is an option of the training loop.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.batch import Facts, Needs, TextKind
from training.methods import hard
from training.methods.base import Masking, Method, Positives, Targets, cross_entropy

RULES = (("replace_noun", 1), ("replace_adjective", 1), ("replace_relation", 1))
MODEL = (("llm_replace", 1),)


class Svlc(Method):
    """Contrastive loss, hard negatives of the own image, and analogies.

    Args:
        source: of the hard negatives: "rules", the language "model", or "both".
        negative: w_neg.
        positive: w_pos.
        likeness: weight of the divergence within L_pos.
    """

    name = "svlc"
    needs = Needs(own="original", variants=(*RULES, ("paraphrase", 1)))

    def __init__(
        self,
        masking: Masking = "family",
        positives: Positives = "masked",
        source: Literal["rules", "model", "both"] = "rules",
        negative: float = 1.0,
        positive: float = 1.0,
        likeness: float = 0.1,
    ) -> None:
        super().__init__(masking, positives)
        kinds = {"rules": RULES, "model": MODEL, "both": RULES + MODEL}
        if source not in kinds:
            raise ValueError(f"source is rules, model or both, not {source!r}")
        self.source = source
        self.needs = Needs(own="original", variants=(*kinds[source], ("paraphrase", 1)))
        self.negative, self.positive, self.likeness = negative, positive, likeness

    def targets(self, facts: Facts) -> Targets:
        """CLIP's targets, over own texts only."""
        targets = super().targets(facts)
        own = facts.kind == TextKind.OWN
        return Targets(targets.relations, targets.positive * own, targets.negative & own)

    def terms(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets) -> dict[str, Tensor]:
        """The weighted L_neg and L_pos."""
        right = scale * (images * texts[: len(images)]).sum(1)
        return {
            "negative": self.negative * self._negative_loss(images, texts, scale, facts, targets, right),
            "positive": self.positive * self._positive_loss(images, texts, scale, facts, targets, right),
        }

    def _negative_loss(
        self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets, right: Tensor
    ) -> Tensor:
        negatives = hard.negatives(facts, targets, bool(self.masking))
        wrong = scale * (images[negatives.owner] * texts[negatives.place]).sum(1)
        by_owner = hard.by_owner(wrong, negatives, len(images), -torch.inf)
        logits = torch.cat([right[:, None], by_owner], 1)
        has_negative = (by_owner > -torch.inf).any(1)
        first = torch.zeros(int(has_negative.sum()), dtype=torch.long, device=logits.device)
        return F.cross_entropy(logits[has_negative], first) if len(first) else right.sum() * 0

    def _positive_loss(
        self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets, right: Tensor
    ) -> Tensor:
        rewordings = hard.positives(facts, targets, bool(self.masking))
        owner = rewordings.owner
        if not len(rewordings.place):
            return right.sum() * 0
        paraphrases = texts[rewordings.place]
        # A paraphrase has the role of its image's own text: it is masked or negative for the same images.
        positive = (owner[None, :] == torch.arange(len(images), device=images.device)[:, None]).float()
        negative = targets.negative[:, owner] if self.masking else positive == 0
        sides = (images, texts[: len(images)])
        contrasts = [cross_entropy(scale * side @ paraphrases.T, positive, negative) for side in sides]
        logits = torch.stack([right[owner], scale * (images[owner] * paraphrases).sum(1)], 1)
        even = torch.full_like(logits, 0.5)
        return sum(contrasts) / 2 + self.likeness * F.kl_div(logits.log_softmax(1), even, reduction="batchmean")
