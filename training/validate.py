"""Validation during training: retrieval among held-out originals and among whole held-out families, and CLIP's loss.

It is the same for every method, so that all methods select their best step alike. A text counts as a hit if it is true of the
image; a text that may be true by chance is not a candidate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from training.data.batch import Batch, Facts, Needs
from training.engine import Engine
from training.methods import make

ORIGINALS = Needs()
FAMILIES = Needs(members=64, duals=True)
CHUNK = 64  # images or texts embedded at once


class Validator(Protocol):
    """How a run selects its best step: by ``score`` (higher is better); further measures are logged."""

    def measure(self, engine: Engine) -> dict[str, float]:
        """Measure the current model; called in every process."""
        ...


@dataclass(frozen=True)
class Validation:
    """Two batches in memory, with the images' own texts only."""

    originals: Batch
    families: Batch

    def measure(self, engine: Engine) -> dict[str, float]:
        """Recall at 1 in both directions, its mean over both batches as ``score``, and the loss; the same in every process.

        All processes embed everything: ZeRO 3 needs them in lockstep, and the batches are small.
        """
        engine.deepspeed.eval()
        originals, families = _scores(engine, self.originals), _scores(engine, self.families)
        engine.deepspeed.train()
        return {
            "r1_texts": originals[0],
            "r1_images": originals[1],
            "family_r1_texts": families[0],
            "family_r1_images": families[1],
            "score": sum(originals[:2] + families[:2]) / 4,
            "loss": families[2],
        }


def recall_at_1(scores: Tensor, positive: Tensor, negative: Tensor) -> float:
    """Share of rows whose best positive scores above the best negative. A tie counts one half; NaN without any positive.

    Args:
        scores: [A, B].
        positive: bool [A, B]; rows without a positive are not counted.
        negative: bool [A, B]; a pair that is neither is not a candidate.
    """
    rows = positive.any(1)
    if not rows.any():
        return float("nan")
    best = scores.masked_fill(~positive, -torch.inf)[rows].amax(1)
    best_negative = scores.masked_fill(~negative, -torch.inf)[rows].amax(1)
    return float(((best > best_negative).float() + 0.5 * (best == best_negative).float()).mean())


def _scores(engine: Engine, batch: Batch) -> tuple[float, float, float]:
    features = [_embedded(engine, *part) for part in _chunks(batch)]
    images, texts = (torch.cat(side) for side in zip(*features, strict=True))
    facts: Facts = batch.facts.to(engine.device)
    clip = make("clip", masking=True, positives="multi")
    targets = clip.targets(facts)
    with torch.no_grad():
        loss = float(clip(images, texts, engine.scale, facts).total)
    cosines, positive = images @ texts.T, targets.positive > 0
    return (
        recall_at_1(cosines, positive, targets.negative),
        recall_at_1(cosines.T, positive.T, targets.negative.T),
        loss,
    )


@torch.no_grad()
def _embedded(engine: Engine, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    images, texts, _ = engine.deepspeed(pixels.to(engine.device), tokens.to(engine.device))
    return images, texts


def _chunks(batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(batch.pixels.split(CHUNK), batch.tokens.split(CHUNK), strict=True)
