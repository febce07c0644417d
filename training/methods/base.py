"""The base of all methods: a loss over a batch's features and facts, and the method's needs from the reader.

All methods share the contrastive loss between images and texts and its masking: a pair that is true or may be true is not a
negative, so no method has an advantage from the others' false negatives. ``masking=False`` is the published form, in which every
text except an image's own is a negative. ``masking="family"`` is in between: within a family the truth relation decides, and a
text that happens to be true of another family's image is a negative, as in the published form. If short texts are often true by
chance, masking all such pairs leaves nothing that pushes an uninformative text away from images: it ends up near all of them.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from training.data.batch import Facts, Needs
from training.methods.pairs import TRUE, UNSURE, Pair, pairs

Positives = Literal["masked", "multi"]
Masking = bool | Literal["family"]


@dataclass(frozen=True)
class Targets:
    """The role of each pair in the contrastive loss; a pair that is neither positive nor negative is masked."""

    relations: Tensor  # int8 [I, T]: Pair
    positive: Tensor  # float32 [I, T]: weight as a target, 0 for none; each row or column is scaled to sum to 1
    negative: Tensor  # bool [I, T]

    def counts(self) -> dict[str, int]:
        """Numbers of pairs for the log: by their role, and the wrong ones among negatives and positives."""
        true, unsure = _among(self.relations, TRUE), _among(self.relations, UNSURE)
        masks = {
            "pairs": torch.ones_like(true),
            "positive": self.positive > 0,
            "negative": self.negative,
            "true_but_negative": true & self.negative,
            "unsure_but_negative": unsure & self.negative,
            "false_but_positive": (self.positive > 0) & ~true & ~unsure,
            "true_and_masked": true & (self.positive == 0) & ~self.negative,
        }
        sums = torch.stack([mask.sum() for mask in masks.values()]).tolist()
        return dict(zip(masks, sums, strict=True))


@dataclass(frozen=True)
class Loss:
    """A scalar to minimise, its weighted terms for the log, and counts of pairs."""

    total: Tensor
    parts: dict[str, float]
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def true_but_negative(self) -> float:
        """The share of false negatives: pairs that are true among the step's negatives."""
        return self.counts["true_but_negative"] / max(1, self.counts["negative"])


class Method(nn.Module):
    """A training method; subclasses override what differs from CLIP.

    Args:
        masking: True: true and possibly true pairs are not negatives; "family": only those within a family; False: the published
            form, without masking.
        positives: what exact pairs other than an image and its own text are: "masked", or positives as well ("multi").
    """

    name: str = ""
    needs: Needs = Needs(own="original")

    def __init__(self, masking: Masking = "family", positives: Positives = "masked") -> None:
        super().__init__()
        if masking not in (True, False, "family"):
            raise ValueError(f"masking is true, false or family, not {masking!r}")
        if positives not in ("masked", "multi"):
            raise ValueError(f"positives is masked or multi, not {positives!r}")
        if not masking and positives == "multi":
            raise ValueError("without masking an image has a single positive, its own text: positives must be masked")
        self.masking, self.positives = masking, positives

    def forward(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts) -> Loss:
        """The loss of a whole batch; with several processes, gather it first (``training.gather``).

        Args:
            images: float [I, D], of unit length.
            texts: float [T, D], of unit length; text i < I is image i's own.
            scale: logit scale, which cosines are multiplied by (the inverse temperature).
            facts: of these images and texts.
        """
        images, texts = images.float(), texts.float()
        targets = self.targets(facts)
        logits = scale * images @ texts.T
        terms = {"contrast": self.contrast(logits, targets)} | self.terms(images, texts, scale, facts, targets)
        return summed(terms, targets.counts())

    def targets(self, facts: Facts) -> Targets:
        """Which pairs are positives and which are negatives."""
        relations = pairs(facts)
        own = torch.zeros_like(relations, dtype=torch.bool).fill_diagonal_(True)  # own texts come first, in the images' order
        if not self.masking:
            return Targets(relations, own.float(), ~own)
        positive = relations == Pair.POSITIVE
        if self.positives == "masked":
            positive = positive & own
        false = (Pair.CONTRADICTORY, Pair.NEGATIVE) + ((Pair.CHANCE,) if self.masking == "family" else ())
        return Targets(relations, positive.float(), _among(relations, false))

    def contrast(self, logits: Tensor, targets: Targets) -> Tensor:
        """Symmetric InfoNCE over the targets: half the mean over images plus half the mean over texts."""
        towards_texts = cross_entropy(logits, targets.positive, targets.negative)
        return (towards_texts + cross_entropy(logits.T, targets.positive.T, targets.negative.T)) / 2

    def terms(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets) -> dict[str, Tensor]:  # noqa: ARG002 - for subclasses
        """A method's further terms by name, already weighted."""
        return {}


def cross_entropy(logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """The mean over rows of - sum_p q_p log(e^{s_p} / sum of e^s over positives and negatives).

    q are the positives' weights over their sum. With one positive per row this is InfoNCE; with several, the "out" form of
    supervised contrastive learning (Khosla et al. 2020, arXiv 2004.11362). Rows without a positive are not counted in the mean;
    without any row it is 0.

    Args:
        logits: [A, B].
        positive: float [A, B], weights.
        negative: bool [A, B].
    """
    rows = (positive > 0).any(1)
    logits, positive, negative = logits[rows], positive[rows], negative[rows]
    if not len(logits):
        return logits.sum()
    is_positive = positive > 0
    likelihood = logits.masked_fill(~(is_positive | negative), -torch.inf).log_softmax(1)
    weights = positive / positive.sum(1, keepdim=True)
    return -(weights * torch.where(is_positive, likelihood, 0.0)).sum(1).mean()


def summed(terms: dict[str, Tensor], counts: dict[str, int]) -> Loss:
    """The sum of the terms, with each term's value for the log."""
    names, values = list(terms), torch.stack([term.float() for term in terms.values()])
    return Loss(values.sum(), dict(zip(names, values.detach().tolist(), strict=True)), counts)


def _among(relations: Tensor, wanted: tuple[Pair, ...]) -> Tensor:
    mask = torch.zeros_like(relations, dtype=torch.bool)
    for relation in wanted:
        mask |= relations == relation
    return mask
