"""What is in a scene: labels, colours, grounds, light; where it goes is for ``placement``.

How many labels and things there are is the domain's habit (``domain.Habits``).

In ``train`` classes keep company (60% of the time the next label is a companion of the first) and have a typical colour (40%); in
``test`` labels and colours are drawn uniformly and independently, so that what was learned from company alone is of no use there.
"""

import numpy as np

from scenes.domain import Domain, load
from scenes.placement import Wish, place
from scenes.scene import Scene, Size, Split
from scenes.seeds import generator

UNKNOWN_TOO = 0.12  # how often a scene of known labels has an unknown one as well
MOST = 7  # things in a scene
COMPANY, TYPICAL = 0.6, 0.4  # in train
SAME = 0.5  # how often things of one label are all of one colour and material
NOISE = (1.0, 4.0)  # grey levels


def sample(domain: str, split: Split, seed: int, index: int, size: int) -> Scene:
    """Draw a scene; the same arguments give the same one.

    Args:
        domain: a built-in name or a YAML file.
        split: whether classes and colours keep company (``train``) or not (``test``).
        seed: of the whole data set.
        index: of the scene in it.
        size: side in pixels, 64 to 256. It changes nothing about what is drawn.

    Raises:
        DomainError: no such domain.
        ValueError: a size, seed or index out of range.
    """
    if not 64 <= size <= 256:
        raise ValueError(f"a scene's side is 64 to 256 pixels, not {size}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index are 0 or more, not {seed} and {index}")
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
    """The different labels of a scene, at least one."""
    weights = np.array(world.habits.labels[: len(world.known) + 1], float)
    if not world.unknown:
        weights[0] = 0
    number = int(rng.choice(len(weights), p=weights / weights.sum()))
    if number == 0:
        both = len(world.unknown) > 1 and rng.random() < 0.25
        return [str(label) for label in rng.permutation(world.unknown)[: 2 if both else 1]]
    chosen = [_pick(rng, world.known)]
    while len(chosen) < number:
        left = [label for label in world.known if label not in chosen]
        company = [label for label in world.kinds[chosen[0]].companions if label in left]
        keep = split == "train" and rng.random() < COMPANY
        chosen.append(_pick(rng, company if keep and company else left))
    if world.unknown and number < len(world.habits.labels) - 1 and rng.random() < UNKNOWN_TOO:
        chosen.append(_pick(rng, world.unknown))
    return chosen


def draw_colour(world: Domain, split: Split, label: str, rng: np.random.Generator) -> str:
    """A colour of a class."""
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
    """Grounds that have all places the labels need."""
    hung = world.view == "ground" and any(world.kinds[label].place == "wall" for label in labels)
    return [name for name, ground in world.grounds.items() if ground.walls or not hung]


def _light(rng: np.random.Generator) -> tuple[float, float]:
    """Shadows fall to the left or right, and away (up in the picture) or less often towards us."""
    across = float(rng.uniform(0.35, 0.9)) * (1 if rng.random() < 0.5 else -1)
    away = -float(rng.uniform(0.15, 0.4)) if rng.random() < 0.6 else float(rng.uniform(0.12, 0.3))
    return round(across, 3), round(away, 3)


def _pick(rng: np.random.Generator, names: tuple[str, ...] | list[str]) -> str:
    return names[int(rng.integers(len(names)))]
