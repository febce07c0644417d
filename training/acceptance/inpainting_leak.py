"""Context leakage: does a dual image reveal what was removed from it?

A small network predicts the removed class from a crop around the hole. Its input has the hole's box but not its outline, which
would be the thing's own silhouette. Its accuracy on crops of the true removal at the same places is legitimate: place, size and
surroundings tell a little. Any accuracy beyond that comes from traces left by the inpainter. For each inpainter networks are
fitted anew, on the same removals from other scenes. There are several with different seeds, and a removal counts by the share of
them that name its class. The gap is a lower bound. The accuracy on the originals shows that the network could have found a gap.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scenes import layout
from jobs.scenes.render import render
from training.acceptance.inpainting_cases import Case, Removal
from training.acceptance.scores import Score, score
from training.embedded.inpainting_data import SPLITS, components
from udfs.images import Rgb
from udfs.inpaint import lattice
from udfs.inpaint.diffusers import square
from udfs.masks import bounds

SIDE, CONTEXT = 32, 0.25  # side of the crop in pixels; context around the hole
WIDTHS = (32, 64, 128)
EPOCHS, BATCH, RATE = 20, 64, 3e-3
SHIFT = 2  # largest shift of a crop in training, in pixels
NETWORKS = 3
WHAT, MORE = "removed class named right", "  more than from the true removal"
Hits = npt.NDArray[np.float64]  # for each removal, the share of networks that name its class
Views = npt.NDArray[np.uint8]  # [n, SIDE, SIDE, 4]: RGB and the box of the hole


def singles(domain: str, seed: int, size: int, count: int, most_noise: float) -> list[Case]:
    """``count`` scenes with one class to remove; a scene with several classes is repeated for each of them."""
    cases: list[Case] = []
    for index in range(100 * count):
        scene = layout.sample(domain, SPLITS[index % 2], seed, index // 2, size)
        visible = components(scene) if scene.noise_sigma <= most_noise else {}
        for label, mask in visible.items():
            cases.append(Case(index, scene, render(scene), {label: mask}, [render(scene, frozenset({label}))]))
        if len(cases) >= count:
            return cases[:count]
    raise ValueError(f"domain {domain}: too few removals at a noise of {most_noise}")


def leaks(
    fit: dict[str, list[Removal]], test: dict[str, list[Removal]], log: Callable[[str], None] = lambda text: None
) -> list[Score]:
    """Accuracies of networks, and their gaps to networks that see the true removal, paired by removal.

    Args:
        fit: the same removals by each inpainter; networks are fitted on those of single labels.
        test: the same inpainters' removals in other scenes.
        log: called with lines of progress.

    Returns:
        For the commonest class, the truth, the original, and each inpainter with its gap.
    """
    first = next(iter(fit))
    labels, answers = ([r.removed[0] for r in _single(group[first])] for group in (fit, test))
    scenes = [r.scene for r in _single(test[first])]
    common = max(sorted(set(labels)), key=labels.count)
    rows = [score("leak", WHAT, "always the commonest", [float(name == common) for name in answers], scenes)]

    def hits(name: str, group: str, picture: Callable[[Removal], Rgb]) -> Hits:
        known, asked = (views(_single(removals[group]), picture) for removals in (fit, test))
        shares = np.mean([_named(known, labels, asked, seed) == np.array(answers) for seed in range(NETWORKS)], axis=0)
        log(f"leak, {name}: {100 * shares.mean():.1f}%")
        return np.asarray(shares, np.float64)

    truth = hits("true removal", first, lambda r: r.truth)
    original = hits("original", first, lambda r: r.original)
    rows += [
        score("leak", WHAT, view, shares.tolist(), scenes) for view, shares in (("true removal", truth), ("original", original))
    ]
    for name in fit:
        shares = hits(name, name, lambda r: r.dual)
        rows += [score("leak", WHAT, name, shares.tolist(), scenes), score("leak", MORE, name, (shares - truth).tolist(), scenes)]
    return rows


def views(group: Sequence[Removal], picture: Callable[[Removal], Rgb]) -> Views:
    """The inputs of a network: crops of removals, with the box of each hole."""
    return np.stack([_view(picture(removal), removal) for removal in group])


def network(classes: int) -> Any:
    """An untrained network from views, float32 [n, 4, SIDE, SIDE] in 0 to 1, to a logit for each class."""
    from torch import nn

    layers: list[Any] = []
    for before, width in zip((4, *WIDTHS), WIDTHS, strict=False):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(WIDTHS[-1], classes))


def _named(known: Views, labels: Sequence[str], asked: Views, seed: int) -> npt.NDArray[np.str_]:
    """The classes predicted for ``asked`` by a network fitted on ``known`` with its labels."""
    import torch

    names = sorted(set(labels))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        net = network(len(names))
        targets = torch.tensor([names.index(label) for label in labels])
        optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.05)
        size = min(BATCH, len(known))
        steps = EPOCHS * (len(known) // size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
        for _ in range(EPOCHS):
            order = rng.permutation(len(known))
            for start in range(0, len(order) - size + 1, size):
                batch = order[start : start + size]
                lost = torch.nn.functional.cross_entropy(
                    net(_tensor(_moved(known[batch], rng))), targets[batch], label_smoothing=0.1
                )
                optimizer.zero_grad()
                lost.backward()
                optimizer.step()
                schedule.step()
        net.eval()
        with torch.inference_mode():
            best = [int(i) for part in np.array_split(asked, 1 + len(asked) // 256) for i in net(_tensor(part)).argmax(1)]
    return np.array([names[i] for i in best])


def _moved(crops: Views, rng: np.random.Generator) -> Views:
    """Augment crops: mirror with probability 1/2, and shift by up to ``SHIFT`` pixels."""
    x, y = rng.integers(-SHIFT, SHIFT + 1, 2)
    flipped = np.where(rng.random(len(crops))[:, None, None, None] < 0.5, crops[:, :, ::-1], crops)
    padded = np.pad(flipped, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    return padded[:, SHIFT + y : SHIFT + y + SIDE, SHIFT + x : SHIFT + x + SIDE]


def _tensor(crops: Views) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32) / np.float32(255))


def _view(rgb: Rgb, removal: Removal) -> Views:
    box = lattice.crop_box(removal.hole, CONTEXT)
    top, left, bottom, right = bounds(removal.hole)
    box_mask = np.zeros_like(removal.original)
    box_mask[top:bottom, left:right] = 255
    return np.dstack([square(lattice.cut(rgb, box), SIDE), square(lattice.cut(box_mask, box), SIDE)[..., :1]])


def _single(group: Sequence[Removal]) -> list[Removal]:
    return [removal for removal in group if len(removal.removed) == 1]
