"""CE-CLIP: NegCLIP's contrastive loss, an intra-modal contrast to hard negatives, and a ranking with adaptive thresholds.

    L     = L_itc + 0.2 L_cmr + 0.3 L_imc
    L_itc = InfoNCE with all hard negative texts, as in ``training.methods.negclip``
    L_imc = mean_i - log 1 / sum_k e^{s(t_i, t_ik)}                         a text t_i and its negatives t_ik
    L_cmr = mean_ik max(0, s(i, t_ik) - s(i, t_i) + Th_k)                   k: the kind of negative
    Th_k  = mean_i (s(i, t_i) - s(i, t_ik)) of the step before, kept within 0 and u, 0 at first; u = 10

Zhang, Awal and Agrawal 2024, "Contrasting Intra-Modal and Ranking Cross-Modal Hard Negatives to Enhance Visio-Linguistic
Compositional Understanding", arXiv 2306.08832, section 3; L_imc is as in the paper, without a numerator. The released code
differs there: it uses the negatives of the whole batch, and the target is the first of them in one version, the image's own
similarity in another. Departures: means instead of sums; thresholds continue over epochs, where the released code resets them to
0; negatives come from the rules of ``jobs.variants`` instead of a masked language model; the masking of the contrastive loss. The
lower bound of 0 (if a negative still wins, the text must at least reach it) and the weights are those of the released code.
"""

import torch
from torch import Tensor

from training.data.batch import Facts, Needs
from training.methods import hard
from training.methods.base import Masking, Method, Positives, Targets


class CeClip(Method):
    """Contrastive loss, intra-modal contrast and ranking. ``thresholds`` is a buffer, saved in checkpoints.

    Args:
        imc: weight of the intra-modal contrast.
        cmr: weight of the ranking.
        bound: u, the highest threshold, in units of the scaled cosine.
    """

    name = "ce_clip"
    needs = Needs(
        own="original",
        variants=(("swap", 1), ("replace_noun", 1), ("replace_adjective", 1), ("replace_relation", 1)),
    )
    thresholds: Tensor

    def __init__(
        self,
        masking: Masking = "family",
        positives: Positives = "masked",
        imc: float = 0.3,
        cmr: float = 0.2,
        bound: float = 10.0,
    ) -> None:
        super().__init__(masking, positives)
        self.imc, self.cmr, self.bound = imc, cmr, bound
        self.register_buffer("thresholds", torch.zeros(len(self.needs.variants)))

    def terms(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets) -> dict[str, Tensor]:
        """The intra-modal contrast and the ranking; in training mode, then update the thresholds."""
        negatives = hard.negatives(facts, targets, bool(self.masking))
        wrong = texts[negatives.place]
        similarity = scale * (texts[negatives.owner] * wrong).sum(1)
        by_owner = hard.by_owner(similarity, negatives, len(images), -torch.inf)
        imc = _mean(by_owner[(by_owner > -torch.inf).any(1)].logsumexp(1))
        gaps = scale * (images[negatives.owner] * (texts[negatives.owner] - wrong)).sum(1)
        cmr = _mean((self.thresholds[negatives.variant].to(gaps) - gaps).relu())
        if self.training:
            self._update(gaps.detach().float(), negatives.variant)
        return {"imc": self.imc * imc, "cmr": self.cmr * cmr}

    def _update(self, gaps: Tensor, kinds: Tensor) -> None:
        """Set the threshold of each kind in the batch (of all processes) to its mean gap."""
        count = torch.zeros_like(self.thresholds).index_add(0, kinds, torch.ones_like(gaps))
        mean = torch.zeros_like(self.thresholds).index_add(0, kinds, gaps) / count.clamp(min=1)
        self.thresholds.copy_(torch.where(count > 0, mean.clamp(0, self.bound), self.thresholds))


def _mean(values: Tensor) -> Tensor:
    """The mean, or 0 without values; it has a gradient either way."""
    return values.sum() / max(1, len(values))
