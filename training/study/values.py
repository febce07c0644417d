"""Measurements of embeddings, apart from the study's questions: values with intervals, and the model that embeds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.benchmarks.encode import OpenClip
from training.statistics import mean_interval, ratio_interval

Points = NDArray[np.float32]  # unit vectors [N, D]
Embed = Callable[[Sequence[bytes]], Points]
RUNS, WEIGHTS = "runs", "weights"  # in a regime's data folder: the runs in progress; in RUNS: the last weights of finished runs


class Value(BaseModel):
    """A mean with its 95% interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    low: float
    high: float

    def cell(self, scale: float = 100.0) -> str:
        """The value as a table cell, in percent by default."""
        return f"{scale * self.value:.1f} [{scale * self.low:.1f}, {scale * self.high:.1f}]"


def mean(values: NDArray[Any], inverse: bool = False) -> Value:
    """The mean of values [N], or its inverse, with a bootstrap interval over the values."""
    value, low, high = mean_interval(values)
    return Value(value=1 / value, low=1 / high, high=1 / low) if inverse else Value(value=value, low=low, high=high)


def ratio(above: NDArray[Any], below: NDArray[Any]) -> Value:
    """The mean of ``above`` divided by that of ``below``, [N] each and paired, with a bootstrap interval over the pairs."""
    value, low, high = ratio_interval(above, below)
    return Value(value=value, low=low, high=high)


def load(model: str, checkpoint: str) -> tuple[OpenClip, Embed]:
    """A model, and a function that embeds encoded images with it, cropped as in validation."""
    import torch

    from training.data.decode import Pixels
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
    folders = {int(path.name.rpartition("_seed")[2]): path for path in folder.glob(f"{arm}_seed[0-9]*")}
    if not folders:
        raise FileNotFoundError(f"{folder} has no weights of {arm}")
    return dict(sorted(folders.items()))
