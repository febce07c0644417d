"""CE-CLIP: NegCLIP's contrast, texts held apart from their own negatives, and a ranking with thresholds that grow.

    L     = L_itc + 0.2 L_cmr + 0.3 L_imc
    L_itc = InfoNCE with all hard negative texts, as in ``training.methods.negclip``
    L_imc = mean_i - log 1 / sum_k e^{s(t_i, t_ik)}                         a text t_i and its negatives t_ik
    L_cmr = mean_ik max(0, s(i, t_ik) - s(i, t_i) + Th_k)                   k: the kind of negative
    Th_k  = mean_i (s(i, t_i) - s(i, t_ik)) of the step before, kept within 0 and u, 0 at first; u = 10

Zhang, Awal and Agrawal 2024, "Contrasting Intra-Modal and Ranking Cross-Modal Hard Negatives to Enhance Visio-Linguistic
Compositional Understanding", arXiv 2306.08832, section 3, L_imc as in the paper, without a numerator. The code that was released
differs there: it takes the negatives of the whole batch, and one version makes the first of them the target, another the image's
own similarity. Departures: means for sums; thresholds that go on through epochs, where that code begins each at 0; negatives come
of ``jobs.variants``, by rules, where theirs fill masks with a language model; the contrast's masking. The bound at 0 (a negative
that still wins asks for no less than a win) and the weights are those of the released code and scripts.
"""

import torch
from torch import Tensor

from training.batch import Facts, Needs
from training.methods import hard
from training.methods.base import Masking, Method, Positives, Targets


class CeClip(Method):
    """Contrast, intra-modal contrast and ranking. ``thresholds`` is a buffer: it is saved with the training state.

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
        """The intra-modal contrast and the ranking; in training the thresholds then move to this step's."""
        found = hard.negatives(facts, targets, bool(self.masking))
        wrong = texts[found.place]
        likeness = scale * (texts[found.owner] * wrong).sum(1)
        among = hard.by_owner(likeness, found, len(images), -torch.inf)
        imc = _mean(among[(among > -torch.inf).any(1)].logsumexp(1))
        gaps = scale * (images[found.owner] * (texts[found.owner] - wrong)).sum(1)
        cmr = _mean((self.thresholds[found.variant].to(gaps) - gaps).relu())
        if self.training:
            self._move(gaps.detach().float(), found.variant)
        return {"imc": self.imc * imc, "cmr": self.cmr * cmr}

    def _move(self, gaps: Tensor, kinds: Tensor) -> None:
        """Thresholds become the mean gaps, kind by kind, where the batch has that kind; the batch is that of all processes."""
        count = torch.zeros_like(self.thresholds).index_add(0, kinds, torch.ones_like(gaps))
        mean = torch.zeros_like(self.thresholds).index_add(0, kinds, gaps) / count.clamp(min=1)
        self.thresholds.copy_(torch.where(count > 0, mean.clamp(0, self.bound), self.thresholds))


def _mean(values: Tensor) -> Tensor:
    """The mean, 0 of nothing, with a gradient either way."""
    return values.sum() / max(1, len(values))
