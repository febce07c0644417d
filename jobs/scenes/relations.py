"""The relations of things in a picture, from their boxes and silhouettes; each is listed in both directions if it has two.

    left of, right of     boxes are apart horizontally, by a clear margin
    above, below          one hangs or flies, or the view is from above; boxes are apart vertically and overlap horizontally
    on                    as placed
    behind, in front of   the nearer hides a part of the farther
    touching              side by side at the same depth, outlines meet, almost nothing is hidden

Borderline cases give no relation.
"""

from itertools import combinations
from typing import Literal

import numpy as np

from jobs.scenes.domain import load
from jobs.scenes.geometry import Box, Mask, box, inside, outline
from jobs.scenes.scene import Relation, Thing

GRID = 96  # pixels a side
CLEAR = 0.03  # least gap for left/right and above/below, as a share of the side
HIDDEN = 0.08  # least hidden share of the farther thing
LEVEL = 0.03  # largest difference of y at which two things have the same depth
Name = Literal["left of", "right of", "on", "behind", "in front of", "touching", "above", "below"]


def relations(domain: str, things: tuple[Thing, ...], on: list[tuple[int, int]]) -> tuple[Relation, ...]:
    """All relations of things in painting order; ``on`` holds pairs of indices (what stands, what it stands on)."""
    world = load(domain)
    kinds = [world.kinds[thing.label] for thing in things]
    boxes = [box(thing, kind, GRID) for thing, kind in zip(things, kinds, strict=True)]
    facts = [Relation(subject, "on", bearer) for subject, bearer in on]
    margin = round(CLEAR * GRID)
    for far, near in combinations(range(len(things)), 2):
        a, b = boxes[far], boxes[near]
        if a.right + margin <= b.left:
            facts += _two_way(far, "left of", "right of", near)
        elif b.right + margin <= a.left:
            facts += _two_way(near, "left of", "right of", far)
        if (world.view == "flat" or kinds[far].place != "floor") and _share_columns(a, b):
            if a.bottom + margin <= b.top:
                facts += _two_way(far, "above", "below", near)
            elif b.bottom + margin <= a.top:
                facts += _two_way(near, "above", "below", far)
        if {(far, near), (near, far)} & set(on) or not overlap(a, b, 1):
            continue
        hidden, meet = _meeting(domain, things[far], a, things[near], b)
        if hidden >= HIDDEN and world.view == "ground":
            facts += _two_way(far, "behind", "in front of", near)
        elif (
            meet
            and hidden < HIDDEN / 2
            and _level(things[far], things[near], world.view == "flat")
            and kinds[far].place == "floor"
        ):
            facts += _two_way(far, "touching", "touching", near)
    return tuple(facts)


def overlap(a: Box, b: Box, margin: int = 0) -> bool:
    """Whether two boxes share a pixel, after one of them grows by ``margin`` pixels on all sides."""
    return a.left - margin < b.right and b.left < a.right + margin and a.top - margin < b.bottom and b.top < a.bottom + margin


def _two_way(subject: int, name: Name, reverse: Name, other: int) -> list[Relation]:
    return [Relation(subject, name, other), Relation(other, reverse, subject)]


def _share_columns(a: Box, b: Box) -> bool:
    """Whether they overlap horizontally by half of the narrower one's width."""
    return min(a.right, b.right) - max(a.left, b.left) >= 0.5 * min(a.width, b.width)


def _level(a: Thing, b: Thing, flat: bool) -> bool:
    return flat or abs(a.y - b.y) <= LEVEL


def _meeting(domain: str, far: Thing, far_box: Box, near: Thing, near_box: Box) -> tuple[float, bool]:
    """Hidden share of the farther thing, and whether the outlines come within a pixel of each other."""
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
