"""Where things go: on the floor in perspective, on one another, partly hidden, touching or apart; all of them seen well enough.

What counts as seen is decided on the silhouettes themselves, at ``GRID`` pixels whatever the picture's size: every thing keeps
``SEEN`` of its pixels and ``LEAST`` pixels in both directions. What does not fit is tried elsewhere, then smaller, then fewer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from scenes.domain import Domain, Kind, load
from scenes.geometry import FARTHEST, Box, box, inside, outline
from scenes.relations import overlap, relations
from scenes.scene import Relation, Size, Thing

GRID = 96  # pixels
SEEN = 0.5  # share of a thing's pixels
LEAST = 6  # pixels of the box of what is seen of it, in both directions
GAP = 0.02  # between things that stand apart
EDGE = 0.012  # to the picture's edge
TRIES, ROUNDS = 12, 60
STANDS, HIDES, TOUCHES = 0.6, 0.2, 0.12  # how often, where it can be


@dataclass(frozen=True)
class Wish:
    """A thing that wants a place."""

    label: str
    colour: str
    material: str
    size: Size
    mirrored: bool


@dataclass(frozen=True)
class _Placed:
    thing: Thing
    kind: Kind
    box: Box
    on: int | None  # what it stands on, by its place in the list
    depth: float  # painting order


def place(
    domain: str, ground: str, wishes: list[Wish], rng: np.random.Generator
) -> tuple[tuple[Thing, ...], tuple[Relation, ...]]:
    """Give each wish a place; things in painting order and what is true of them.

    In a crowd sizes shrink and then numbers, never labels.

    Raises:
        ValueError: not even one small thing of each label fits (shapes that are far too large or too thin).
    """
    for _ in range(ROUNDS):
        placed = _attempt(domain, ground, wishes, rng)
        if placed is not None:
            order = sorted(range(len(placed)), key=lambda i: placed[i].depth)
            on = [(order.index(i), order.index(p.on)) for i, p in enumerate(placed) if p.on is not None]
            things = tuple(placed[i].thing for i in order)
            return things, relations(domain, things, on)
        wishes = _fewer(load(domain), wishes)
    raise ValueError(f"{domain}: no room for {sorted({wish.label for wish in wishes})}")


def _fewer(world: Domain, wishes: list[Wish]) -> list[Wish]:
    """A little less of all: the largest one smaller, or one less of the most frequent."""
    order: tuple[Size, ...] = ("small", "medium", "large")
    smaller = {i: [s for s in world.kinds[w.label].sizes if order.index(s) < order.index(w.size)] for i, w in enumerate(wishes)}
    able = [i for i, sizes in smaller.items() if sizes]
    if able:
        largest = max(able, key=lambda i: order.index(wishes[i].size))
        return [replace(w, size=smaller[i][-1]) if i == largest else w for i, w in enumerate(wishes)]
    labels = [w.label for w in wishes]
    twice = next((i for i, label in enumerate(labels) if labels.count(label) > 1), None)
    return [w for i, w in enumerate(wishes) if i != twice]


def _attempt(domain: str, ground: str, wishes: list[Wish], rng: np.random.Generator) -> list[_Placed] | None:
    world = load(domain)
    holders = {w.label for w in wishes if world.kinds[w.label].top}
    placed: list[_Placed] = []
    for wish in sorted(wishes, key=lambda w: w.label not in holders):  # what carries others comes first
        for turn in range(TRIES):
            new = _try(world, ground, wish, placed, rng, crowded=turn > 2 * TRIES // 3)
            if new is not None and _fits(domain, placed, new):
                placed.append(new)
                break
        else:
            return None
    return placed


def _try(
    world: Domain, ground: str, wish: Wish, placed: list[_Placed], rng: np.random.Generator, crowded: bool
) -> _Placed | None:
    kind = world.kinds[wish.label]
    others = [i for i, p in enumerate(placed) if p.kind.place == "floor"]
    bearers = [i for i in others if _bears(placed, i, wish.label)] if kind.place == "floor" else []
    luck = rng.random()
    if bearers and luck < STANDS:  # few pairs can: about every tenth scene has one that does
        return _stand(world, ground, wish, placed, bearers[int(rng.integers(len(bearers)))], rng)
    if kind.place == "floor" and others and luck > 1 - TOUCHES:
        return _beside(world, ground, wish, placed, others[int(rng.integers(len(others)))], rng)
    new = _somewhere(world, ground, wish, rng)
    loose = world.view == "ground" and kind.place == "floor" and (crowded or rng.random() < HIDES)
    return new if new is None or loose or _apart(placed, new) else None


def _bears(placed: list[_Placed], i: int, label: str) -> bool:
    top = placed[i].kind.top
    return top is not None and label in top.holds and all(p.on != i for p in placed) and placed[i].on is None


def _height(world: Domain, wish: Wish, near: float) -> float:
    """Height as a share of the side, for a thing ``near`` (1 right in front, 0 at the horizon)."""
    kind = world.kinds[wish.label]
    side: float = getattr(world.sizes, wish.size) * kind.scale * (FARTHEST + (1 - FARTHEST) * near)
    return side / float(np.sqrt(kind.aspect))


def _make(wish: Wish, kind: Kind, x: float, y: float, height: float, on: int | None, depth: float) -> _Placed | None:
    x, y, height = round(x, 4), round(y, 4), round(height, 4)
    half = height * kind.aspect / 2
    if x - half < EDGE or x + half > 1 - EDGE or y - height < EDGE or y > 1 - EDGE:
        return None
    thing = Thing(wish.label, wish.colour, wish.material, wish.size, x, y, height, wish.mirrored)
    return _Placed(thing, kind, box(thing, kind, GRID), on, depth)


def _somewhere(world: Domain, ground: str, wish: Wish, rng: np.random.Generator, y: float | None = None) -> _Placed | None:
    """Any place of its sort: on the floor, on the wall or in the air. The floor's order is by y, walls are behind it."""
    kind, far = world.kinds[wish.label], world.grounds[ground].horizon
    if world.view == "flat":
        height = _height(world, wish, 1)
        y = float(rng.uniform(height + EDGE, 1 - EDGE)) if y is None else y
        depth = y
    elif kind.place == "floor":
        near = float(np.sqrt(rng.uniform(0.02, 1))) if y is None else (y - far) / (1 - far)
        y = far + near * (1 - EDGE - far)
        height, depth = _height(world, wish, near), 1 + y
    else:
        height = _height(world, wish, 0.5)
        low = max(height + 2 * EDGE, far * 0.5)
        y, depth = float(rng.uniform(low, max(low, far - 0.03 if kind.place == "wall" else far + 0.1))), 0.0
    half = height * kind.aspect / 2
    if half + EDGE >= 0.5:
        return None
    return _make(wish, kind, float(rng.uniform(half + EDGE, 1 - half - EDGE)), y, height, None, depth)


def _stand(world: Domain, ground: str, wish: Wish, placed: list[_Placed], i: int, rng: np.random.Generator) -> _Placed | None:
    """On top of another thing, painted right after it; below the horizon, so that without that thing it stands on the floor."""
    under, kind = placed[i], world.kinds[wish.label]
    assert under.kind.top is not None, "only what has a top bears things"
    wide = under.thing.height * under.kind.aspect
    left, right = under.kind.top.x
    if under.thing.mirrored:
        left, right = 1 - right, 1 - left
    near = (under.depth - 1) if world.view == "ground" else 1.0
    half = _height(world, wish, near) * kind.aspect / 2
    low, high = under.thing.x + (left - 0.5) * wide + half, under.thing.x + (right - 0.5) * wide - half
    if low > high:
        return None
    y = under.thing.y - under.thing.height * (1 - under.kind.top.y)
    if world.view == "ground" and y < world.grounds[ground].horizon + EDGE:
        return None
    return _make(wish, kind, float(rng.uniform(low, high)), y, _height(world, wish, near), i, under.depth + 1e-6)


def _beside(world: Domain, ground: str, wish: Wish, placed: list[_Placed], i: int, rng: np.random.Generator) -> _Placed | None:
    """So near another thing that their silhouettes touch; at the same depth."""
    other = placed[i]
    if other.on is not None:
        return None
    first = _somewhere(world, ground, wish, rng, y=other.thing.y)
    if first is None:
        return None
    side = 1 if rng.random() < 0.5 else -1
    reach = (first.thing.height * first.kind.aspect + other.thing.height * other.kind.aspect) / 2
    x = other.thing.x + side * (reach - 0.004)
    new = _make(wish, first.kind, x, first.thing.y, first.thing.height, None, first.depth + 1e-6 * len(placed))
    return new if new is not None and _apart([*placed[:i], *placed[i + 1 :]], new) else None


def _apart(placed: list[_Placed], new: _Placed) -> bool:
    gap = round(GAP * GRID)
    return all(
        new.box.left >= p.box.right + gap
        or p.box.left >= new.box.right + gap
        or new.box.top >= p.box.bottom + gap
        or p.box.top >= new.box.bottom + gap
        for p in placed
    )


def _fits(domain: str, placed: list[_Placed], new: _Placed) -> bool:
    """Whether all are seen well enough with a new one among them, and it overlaps no more than it may."""
    meets: Callable[[_Placed], bool] = lambda p: overlap(p.box, new.box)  # noqa: E731
    if not any(meets(p) for p in placed):
        return _wide_enough(new.box.width, new.box.height)
    everyone = sorted([*placed, new], key=lambda p: p.depth)
    owner = np.full((GRID, GRID), -1, np.int16)
    areas = []
    for i, p in enumerate(everyone):
        rows, columns, own_rows, own_columns = inside(p.box, GRID)
        shape = outline(domain, p.thing, p.box)[own_rows, own_columns]
        owner[rows, columns][shape] = i
        areas.append(int(shape.sum()))
    for i, p in enumerate(everyone):
        rows, columns, _, _ = inside(p.box, GRID)
        seen = owner[rows, columns] == i
        if seen.sum() < SEEN * areas[i] or not _wide_enough(int(seen.any(axis=0).sum()), int(seen.any(axis=1).sum())):
            return False
    return True


def _wide_enough(width: int, height: int) -> bool:
    return min(width, height) >= LEAST
