"""What is true of things in a picture, told from their boxes and silhouettes; every fact in both directions where it has two.

    left of, right of     boxes do not meet from left to right, by a clear margin
    above, below          one hangs or flies, or all is seen from above; boxes are clear of one another but share a width
    on                    as placed
    behind, in front of   the nearer hides a part of the farther
    touching              side by side at one depth, outlines meet, next to nothing is hidden

What is nearly true is not said.
"""

from itertools import combinations
from typing import Literal

import numpy as np

from scenes.domain import load
from scenes.geometry import Box, Mask, box, inside, outline
from scenes.scene import Relation, Thing

GRID = 96  # pixels
CLEAR = 0.03  # share of the side between left and right, and between above and below
HIDDEN = 0.08  # least share of the farther that the nearer hides
LEVEL = 0.03  # depths that count as one
Name = Literal["left of", "right of", "on", "behind", "in front of", "touching", "above", "below"]


def relations(domain: str, things: tuple[Thing, ...], on: list[tuple[int, int]]) -> tuple[Relation, ...]:
    """All relations of things in painting order; ``on`` are pairs of (what stands, what it stands on)."""
    world = load(domain)
    kinds = [world.kinds[thing.label] for thing in things]
    boxes = [box(thing, kind, GRID) for thing, kind in zip(things, kinds, strict=True)]
    facts = [Relation(subject, "on", bearer) for subject, bearer in on]
    margin = round(CLEAR * GRID)
    for far, near in combinations(range(len(things)), 2):
        a, b = boxes[far], boxes[near]
        if a.right + margin <= b.left:
            facts += _both(far, "left of", "right of", near)
        elif b.right + margin <= a.left:
            facts += _both(near, "left of", "right of", far)
        if (world.view == "flat" or kinds[far].place != "floor") and _over_one_another(a, b):
            if a.bottom + margin <= b.top:
                facts += _both(far, "above", "below", near)
            elif b.bottom + margin <= a.top:
                facts += _both(near, "above", "below", far)
        if {(far, near), (near, far)} & set(on) or not overlap(a, b, 1):
            continue
        hidden, meet = _meeting(domain, things[far], a, things[near], b)
        if hidden >= HIDDEN and world.view == "ground":
            facts += _both(far, "behind", "in front of", near)
        elif (
            meet
            and hidden < HIDDEN / 2
            and _level(things[far], things[near], world.view == "flat")
            and kinds[far].place == "floor"
        ):
            facts += _both(far, "touching", "touching", near)
    return tuple(facts)


def overlap(a: Box, b: Box, margin: int = 0) -> bool:
    """Whether two boxes have a pixel in common, one of them larger by ``margin`` all round."""
    return a.left - margin < b.right and b.left < a.right + margin and a.top - margin < b.bottom and b.top < a.bottom + margin


def _both(subject: int, name: Name, reverse: Name, other: int) -> list[Relation]:
    return [Relation(subject, name, other), Relation(other, reverse, subject)]


def _over_one_another(a: Box, b: Box) -> bool:
    """Whether they share half of the narrower one's width."""
    return min(a.right, b.right) - max(a.left, b.left) >= 0.5 * min(a.width, b.width)


def _level(a: Thing, b: Thing, flat: bool) -> bool:
    return flat or abs(a.y - b.y) <= LEVEL


def _meeting(domain: str, far: Thing, far_box: Box, near: Thing, near_box: Box) -> tuple[float, bool]:
    """Share of the farther that the nearer hides, and whether their outlines come within a pixel."""
    a, b = _drawn(domain, far, far_box), _drawn(domain, near, near_box)
    wide = b.copy()
    wide[1:] |= b[:-1]
    wide[:-1] |= b[1:]
    wide[:, 1:] |= b[:, :-1]
    wide[:, :-1] |= b[:, 1:]
    return float((a & b).sum() / max(1, a.sum())), bool((a & wide).any())


def _drawn(domain: str, thing: Thing, place: Box) -> Mask:
    picture = np.zeros((GRID, GRID), bool)
    rows, columns, own_rows, own_columns = inside(place, GRID)
    picture[rows, columns] = outline(domain, thing, place)[own_rows, own_columns]
    return picture
