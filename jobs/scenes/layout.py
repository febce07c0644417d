"""What is in a scene: labels, colours, ground, light. ``placement`` decides where it goes.

The domain sets the numbers of labels and things (``domain.Habits``).

In ``train`` classes are correlated: 60% of the time the next label is a companion of the first, and 40% of the time a class has
its typical colour. In ``test`` labels and colours are drawn uniformly and independently, so correlations learned in training do
not help.
"""

import numpy as np

from jobs.scenes.domain import Domain, load
from jobs.scenes.placement import Wish, place
from jobs.scenes.scene import Scene, Size, Split
from jobs.scenes.seeds import generator

UNKNOWN_TOO = 0.12  # how often a scene of known labels also has an unknown one
MOST = 7  # largest number of things in a scene
COMPANY, TYPICAL = 0.6, 0.4  # how often, in train
SAME = 0.5  # how often all things of a label share colour and material
NOISE = (1.0, 4.0)  # range of the camera noise's standard deviation, in grey levels


def sample(domain: str, split: Split, seed: int, index: int, size: int) -> Scene:
    """Draw a scene; the same arguments give the same scene.

    Args:
        domain: a built-in name or a YAML file.
        split: whether classes and colours are correlated (``train``) or independent (``test``).
        seed: of the whole data set.
        index: of the scene in the data set.
        size: side in pixels, 64 to 256. The scene's content does not depend on it.

    Raises:
        DomainError: the domain does not exist or is invalid.
        ValueError: size, seed or index is out of range.
    """
    if not 64 <= size <= 256:
        raise ValueError(f"a scene's side must be 64 to 256 pixels, not {size}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must be 0 or more, not {seed} and {index}")
    world = load(domain)
    rng = generator(domain, split, seed, index, "layout")
    chosen = draw_labels(world, split, rng)
    counts = _counts(world, len(chosen), rng)
    wishes = [wish for label, count in zip(chosen, counts, strict=True) for wish in _wishes(world, split, label, count, rng)]
    ground = _pick(rng, _grounds(world, chosen))
    light = _light(rng)
    sigma = round(float(rng.uniform(*NOISE)), 2)
    things, relations = place(domain, ground, wishes, rng)
    return Scene(domain, split, seed, index, size, ground, light, sigma, things, relations)


def draw_labels(world: Domain, split: Split, rng: np.random.Generator) -> list[str]:
    """Draw the distinct labels of a scene, at least one."""
    weights = np.array(world.habits.labels[: len(world.known) + 1], float)
    if not world.unknown:
        weights[0] = 0
    number = int(rng.choice(len(weights), p=weights / weights.sum()))
    if number == 0:
        two = len(world.unknown) > 1 and rng.random() < 0.25
        return [str(label) for label in rng.permutation(world.unknown)[: 2 if two else 1]]
    chosen = [_pick(rng, world.known)]
    while len(chosen) < number:
        left = [label for label in world.known if label not in chosen]
        companions = [label for label in world.kinds[chosen[0]].companions if label in left]
        correlated = split == "train" and rng.random() < COMPANY
        chosen.append(_pick(rng, companions if correlated and companions else left))
    if world.unknown and number < len(world.habits.labels) - 1 and rng.random() < UNKNOWN_TOO:
        chosen.append(_pick(rng, world.unknown))
    return chosen


def draw_colour(world: Domain, split: Split, label: str, rng: np.random.Generator) -> str:
    """Draw a colour for a thing of a class."""
    typical = split == "train" and rng.random() < TYPICAL
    return world.kinds[label].typical if typical else _pick(rng, world.colours_of(label))


def _counts(world: Domain, labels: int, rng: np.random.Generator) -> list[int]:
    weights = np.array(world.habits.counts)
    counts = [int(n) for n in 1 + rng.choice(len(weights), labels, p=weights / weights.sum())]
    while sum(counts) > MOST:
        counts[counts.index(max(counts))] -= 1
    return counts


def _wishes(world: Domain, split: Split, label: str, count: int, rng: np.random.Generator) -> list[Wish]:
    same = rng.random() < SAME
    wishes: list[Wish] = []
    for _ in range(count):
        colour, material = draw_colour(world, split, label, rng), _pick(rng, world.materials_of(label))
        if same and wishes:
            colour, material = wishes[0].colour, wishes[0].material
        sizes: tuple[Size, ...] = world.kinds[label].sizes
        size = sizes[int(rng.integers(len(sizes)))]
        mirrored = bool(rng.random() < 0.5) and world.kinds[label].mirror
        wishes.append(Wish(label, colour, material, size, mirrored))
    return wishes


def _grounds(world: Domain, labels: list[str]) -> list[str]:
    """Grounds on which all the labels can be placed: things on a wall need one with walls."""
    hung = world.view == "ground" and any(world.kinds[label].place == "wall" for label in labels)
    return [name for name, ground in world.grounds.items() if ground.walls or not hung]


def _light(rng: np.random.Generator) -> tuple[float, float]:
    """Where shadows fall: left or right, and away from the viewer (up in the picture) or, less often, towards the viewer."""
    across = float(rng.uniform(0.35, 0.9)) * (1 if rng.random() < 0.5 else -1)
    away = -float(rng.uniform(0.15, 0.4)) if rng.random() < 0.6 else float(rng.uniform(0.12, 0.3))
    return round(across, 3), round(away, 3)


def _pick(rng: np.random.Generator, names: tuple[str, ...] | list[str]) -> str:
    return names[int(rng.integers(len(names)))]
