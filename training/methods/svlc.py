"""SVLC (TSVLC): CLIP, each image's own text against its own negatives, and paraphrases as positives.

    L     = L_cont + w_neg L_neg + w_pos L_pos
    L_neg = - mean_i log e^{s(i, t_i)} / (e^{s(i, t_i)} + sum_k e^{s(i, t_ik)})           t_ik: negatives of t_i
    L_pos = 1/2 [CE(images, paraphrases) + CE(texts, paraphrases)] + 0.1 KL(1/2, 1/2 | softmax(s(i, t_i), s(i, p_i)))

Doveh et al. 2023, "Teaching Structured Vision & Language Concepts to Vision & Language Models", arXiv 2211.11733, section 3;
L_pos in the form of the released code, both cross entropies from images and texts to the batch's paraphrases p; the divergence is
an option there (``likeness=0``: its default). Departures: negatives of the rules (or of the language model) are all taken, where
theirs draws one kind a step, and they stay out of the contrast, which is another option there; images without a paraphrase are
left out of L_pos, where theirs takes the caption itself; paraphrases of other families are masked like all texts; LoRA is the
loop's business.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from training.batch import Facts, Needs, TextKind
from training.methods import hard
from training.methods.base import Masking, Method, Positives, Targets, cross_entropy

RULES = (("replace_noun", 1), ("replace_adjective", 1), ("replace_relation", 1))
MODEL = (("llm_replace", 1),)


class Svlc(Method):
    """Contrast with hard negatives of its own image, and analogies.

    Args:
        source: whose negatives: of the "rules", of the language "model", or "both".
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
        wanted = {"rules": RULES, "model": MODEL, "both": RULES + MODEL}
        if source not in wanted:
            raise ValueError(f"source is rules, model or both, not {source!r}")
        self.source = source
        self.needs = Needs(own="original", variants=(*wanted[source], ("paraphrase", 1)))
        self.negative, self.positive, self.likeness = negative, positive, likeness

    def targets(self, facts: Facts) -> Targets:
        """CLIP's, over own texts alone."""
        found = super().targets(facts)
        own = facts.kind == TextKind.OWN
        return Targets(found.relations, found.positive * own, found.negative & own)

    def terms(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets) -> dict[str, Tensor]:
        """The two further terms."""
        right = scale * (images * texts[: len(images)]).sum(1)
        return {
            "negative": self.negative * self._against(images, texts, scale, facts, targets, right),
            "positive": self.positive * self._beside(images, texts, scale, facts, targets, right),
        }

    def _against(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets, right: Tensor) -> Tensor:
        found = hard.negatives(facts, targets, bool(self.masking))
        wrong = scale * (images[found.owner] * texts[found.place]).sum(1)
        among = hard.by_owner(wrong, found, len(images), -torch.inf)
        logits = torch.cat([right[:, None], among], 1)
        asked = (among > -torch.inf).any(1)
        first = torch.zeros(int(asked.sum()), dtype=torch.long, device=logits.device)
        return F.cross_entropy(logits[asked], first) if len(first) else right.sum() * 0

    def _beside(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets, right: Tensor) -> Tensor:
        found = hard.positives(facts, targets, bool(self.masking))
        if not len(found.place):
            return right.sum() * 0
        paraphrases = texts[found.place]
        # A paraphrase stands for its image's own text: what is masked or false for one is so for the other.
        positive = (found.owner[None, :] == torch.arange(len(images), device=images.device)[:, None]).float()
        negative = targets.negative[:, found.owner] if self.masking else positive == 0
        towards = [cross_entropy(scale * one @ paraphrases.T, positive, negative) for one in (images, texts[: len(images)])]
        both = torch.stack([right[found.owner], scale * (images[found.owner] * paraphrases).sum(1)], 1)
        even = torch.full_like(both, 0.5)
        return sum(towards) / 2 + self.likeness * F.kl_div(both.log_softmax(1), even, reduction="batchmean")
