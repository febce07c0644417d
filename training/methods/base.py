"""What every method is: a loss of a batch's features and facts, and what it asks of the reader.

All methods share the contrast of images and texts, and its masking: a pair that is true, or may be true, is no negative of any
method, so that no method gains by the others' false negatives. ``masking=False`` gives the published form back, in which all but
an image's own text is a negative. ``masking="family"`` lies between: inside a family the truth relation holds, and what is true
by chance of another family's image is a negative, as it is everywhere else. Where short texts are often true by chance, masking
all of them leaves nothing that keeps a text that says little away from an image: it comes to be near all of them.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from training.batch import Facts, Needs
from training.pairs import TRUE, UNSURE, Pair, pairs

Positives = Literal["masked", "multi"]
Masking = bool | Literal["family"]


@dataclass(frozen=True)
class Targets:
    """What a contrast makes of each pair; one that is neither positive nor negative is masked."""

    relations: Tensor  # int8 [I, T]: Pair
    positive: Tensor  # float32 [I, T]: weight as a target, 0 for none; a row's or column's are scaled to sum to 1
    negative: Tensor  # bool [I, T]

    def counts(self) -> dict[str, int]:
        """How many pairs there are of what a person wants to know: those of each use, and the wrongs among the negatives."""
        true, unsure = _among(self.relations, TRUE), _among(self.relations, UNSURE)
        used = {
            "pairs": torch.ones_like(true),
            "positive": self.positive > 0,
            "negative": self.negative,
            "true_but_negative": true & self.negative,
            "unsure_but_negative": unsure & self.negative,
            "false_but_positive": (self.positive > 0) & ~true & ~unsure,
            "true_and_masked": true & (self.positive == 0) & ~self.negative,
        }
        sums = torch.stack([one.sum() for one in used.values()]).tolist()
        return dict(zip(used, sums, strict=True))


@dataclass(frozen=True)
class Loss:
    """A scalar to minimise, its weighted parts for the log, and counts of pairs."""

    total: Tensor
    parts: dict[str, float]
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def true_but_negative(self) -> float:
        """The share of this step's negatives that are true."""
        return self.counts["true_but_negative"] / max(1, self.counts["negative"])


class Method(nn.Module):
    """A method of the study; subclasses say what differs from CLIP.

    Args:
        masking: keep true and perhaps true pairs out of the negatives; "family": those of one family; False: the published form.
        positives: exact pairs besides an image's own text are "masked", or positives as well ("multi").
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
            raise ValueError("without masking an image has one positive: its own text")
        self.masking, self.positives = masking, positives

    def forward(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts) -> Loss:
        """The loss of a whole batch (``training.gather`` first, with several processes).

        Args:
            images: float [I, D], of unit length.
            texts: float [T, D], of unit length; text i < I is image i's own.
            scale: what cosines are multiplied with, the inverse temperature.
            facts: of these.
        """
        images, texts = images.float(), texts.float()
        targets = self.targets(facts)
        logits = scale * images @ texts.T
        terms = {"contrast": self.contrast(logits, targets)} | self.terms(images, texts, scale, facts, targets)
        return summed(terms, targets.counts())

    def targets(self, facts: Facts) -> Targets:
        """Which pairs are drawn together, and which apart."""
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
        """The symmetric InfoNCE over the targets: a mean over images, a mean over texts, halved."""
        towards_texts = cross_entropy(logits, targets.positive, targets.negative)
        return (towards_texts + cross_entropy(logits.T, targets.positive.T, targets.negative.T)) / 2

    def terms(self, images: Tensor, texts: Tensor, scale: Tensor, facts: Facts, targets: Targets) -> dict[str, Tensor]:  # noqa: ARG002 - for subclasses
        """A method's further terms by name, each with its weight in it."""
        return {}


def cross_entropy(logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Of each row, - sum_p q_p log(e^{s_p} / sum of e^s over positives and negatives); q: the positives' weights over their sum.

    With one positive a row it is InfoNCE; with several, the "out" form of supervised contrastive learning (Khosla et al. 2020,
    arXiv 2004.11362). Rows without a positive ask nothing and are not counted in the mean; no row at all gives 0.

    Args:
        logits: [A, B]; positive: float [A, B], weights; negative: bool [A, B].
    """
    rows = (positive > 0).any(1)
    logits, positive, negative = logits[rows], positive[rows], negative[rows]
    if not len(logits):
        return logits.sum()
    chosen = positive > 0
    likelihood = logits.masked_fill(~(chosen | negative), -torch.inf).log_softmax(1)
    weights = positive / positive.sum(1, keepdim=True)
    return -(weights * torch.where(chosen, likelihood, 0.0)).sum(1).mean()


def summed(terms: dict[str, Tensor], counts: dict[str, int]) -> Loss:
    """The terms' sum, with what a log wants of each."""
    names, values = list(terms), torch.stack([term.float() for term in terms.values()])
    return Loss(values.sum(), dict(zip(names, values.detach().tolist(), strict=True)), counts)


def _among(relations: Tensor, wanted: tuple[Pair, ...]) -> Tensor:
    found = torch.zeros_like(relations, dtype=torch.bool)
    for one in wanted:
        found |= relations == one
    return found
