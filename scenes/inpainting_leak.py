"""Context leakage: can one tell from a dual image what was removed from it?

A probe names the removed class from a crop of the dual image. What it gets right on crops of the true removal at the same places
is fair: the place and the company tell a little. What it gets right beyond that was left there by the inpainter. Probes differ in
strength, so the gap is a lower bound; crops of the original, where the thing itself is seen, tell how strong this one is.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from skimage.feature import hog
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scenes.inpainting_cases import Removal
from scenes.scores import Score, score
from udfs import lattice
from udfs.images import Rgb
from udfs.inpaint_diffusers import square

SIDE, CONTEXT = 32, 0.25  # of the crop, in pixels; around the hole
Hits = npt.NDArray[np.float64]  # 1 where the class was named right


def features(rgb: Rgb) -> npt.NDArray[np.float64]:
    """What a probe sees of a crop [h, w, 3]: histograms of gradients, and where there is noise.

    A fill has less noise than its surroundings, which draws its outline.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY).astype(np.float32)
    rough = cv2.GaussianBlur(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.0)), (0, 0), 1.0)
    map_of_noise = np.log1p(cv2.resize(rough, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA))
    edges = hog(square(rgb, SIDE), pixels_per_cell=(4, 4), cells_per_block=(2, 2), channel_axis=2)
    return np.concatenate([edges, map_of_noise.ravel()])


def leaks(fit: dict[str, list[Removal]], test: dict[str, list[Removal]]) -> list[Score]:
    """Accuracies of probes, and their gaps over the probe that sees the truth, removal by removal.

    Args:
        fit: the same removals by each inpainter; probes are fitted on those of single labels.
        test: the same inpainters' removals in other scenes.

    Returns:
        For the truth and the original, for each inpainter, and for the last inpainter seen by the probe of each other one.
    """
    first = next(iter(fit))
    labels, answers = ([r.removed[0] for r in _single(group[first])] for group in (fit, test))
    scenes = [r.scene for r in _single(test[first])]
    common = max(sorted(set(labels)), key=labels.count)
    rows = [
        score("leak", "removed class named right", "always the commonest", [float(name == common) for name in answers], scenes)
    ]
    truth = _hits(_probe(fit[first], labels, _truth), test[first], answers, _truth)
    original = _hits(_probe(fit[first], labels, _original), test[first], answers, _original)
    for view, hits in (("true removal", truth), ("original", original)):
        rows.append(score("leak", "removed class named right", view, hits.tolist(), scenes))
    probes = {name: _probe(group, labels, _dual) for name, group in fit.items()}
    for name, probe in probes.items():
        hits = _hits(probe, test[name], answers, _dual)
        rows.append(score("leak", "removed class named right", name, hits.tolist(), scenes))
        rows.append(score("leak", "  more than from the true removal", name, (hits - truth).tolist(), scenes))
    *others, unknown = probes
    for name in others:
        hits = _hits(probes[name], test[unknown], answers, _dual)
        rows.append(score("leak", f"  by the probe of {name}", unknown, hits.tolist(), scenes))
    return rows


def _probe(group: Sequence[Removal], labels: list[str], picture: Callable[[Removal], Rgb]) -> Any:
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough: what it is worth is seen on the originals
        return probe.fit(_seen(group, picture), labels)


def _hits(probe: Any, group: Sequence[Removal], answers: list[str], picture: Callable[[Removal], Rgb]) -> Hits:
    return np.asarray(probe.predict(_seen(group, picture)) == np.array(answers), np.float64)


def _seen(group: Sequence[Removal], picture: Callable[[Removal], Rgb]) -> npt.NDArray[np.float64]:
    return np.stack([features(lattice.cut(picture(r), lattice.crop_box(r.hole, CONTEXT))) for r in _single(group)])


def _single(group: Sequence[Removal]) -> list[Removal]:
    return [removal for removal in group if len(removal.removed) == 1]


def _truth(removal: Removal) -> Rgb:
    return removal.truth


def _original(removal: Removal) -> Rgb:
    return removal.original


def _dual(removal: Removal) -> Rgb:
    return removal.dual
