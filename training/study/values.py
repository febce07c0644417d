"""What the study measures of embeddings, apart from its questions: values with intervals, and the model that embeds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.benchmarks.encode import OpenClip

Points = NDArray[np.float32]  # unit vectors [N, D]
Embed = Callable[[Sequence[bytes]], Points]
DRAWS = 1000
RUNS, WEIGHTS = "runs", "weights"  # folders in that of a regime's data: runs under way, and in it the last weights of those done


class Value(BaseModel):
    """A mean with its 95% interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    low: float
    high: float

    def cell(self, scale: float = 100.0) -> str:
        """As a table shows it, in percent."""
        return f"{scale * self.value:.1f} [{scale * self.low:.1f}, {scale * self.high:.1f}]"


def drawn(count: int) -> NDArray[np.int64]:
    """Which of ``count`` things are in each draw of a bootstrap, [draws, count]: always the same."""
    return np.random.default_rng(0).integers(count, size=(DRAWS, count))


def mean(values: NDArray[Any], inverse: bool = False) -> Value:
    """The mean of values [N], or its inverse, with an interval by bootstrap over them."""
    means = np.array([values[some].mean() for some in drawn(len(values))])
    low, high = np.quantile(means, [0.025, 0.975])
    if inverse:
        return Value(value=float(1 / values.mean()), low=float(1 / high), high=float(1 / low))
    return Value(value=float(values.mean()), low=float(low), high=float(high))


def ratio(above: NDArray[Any], below: NDArray[Any]) -> Value:
    """The mean of ``above`` over that of ``below``, [N] each of the same N, with an interval by bootstrap over these."""
    ratios = np.array([above[some].mean() / below[some].mean() for some in drawn(len(above))])
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Value(value=float(above.mean() / below.mean()), low=float(low), high=float(high))


def load(model: str, checkpoint: str) -> tuple[OpenClip, Embed]:
    """A model, and what embeds encoded images with it, cut as in validation."""
    import torch

    from training.decode import Pixels
    from training.study.questions import features_of

    clip = OpenClip.load(model, checkpoint)
    pixels = Pixels.of(clip.model.visual, augment=False)

    def embed(images: Sequence[bytes]) -> Points:
        with torch.inference_mode():
            return features_of(clip.model.encode_image, pixels, images)

    return clip, embed


def weights_of(folder: Path, arm: str) -> dict[int, Path]:
    """The folders of an arm's last weights by seed, in order.

    Raises:
        FileNotFoundError: there are none.
    """
    found = {int(one.name.rpartition("_seed")[2]): one for one in folder.glob(f"{arm}_seed[0-9]*")}
    if not found:
        raise FileNotFoundError(f"{folder} has no weights of {arm}")
    return dict(sorted(found.items()))
