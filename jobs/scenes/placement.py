"""Where things go: on the floor in perspective, on top of each other, partly hidden, touching or apart; all clearly visible.

Visibility is computed on the silhouettes, at ``GRID`` pixels whatever the picture's size: of every thing a share of ``SEEN``
remains visible, and ``LEAST`` pixels in both directions. What does not fit is tried elsewhere, then smaller, then fewer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from jobs.scenes.domain import Domain, Kind, load
from jobs.scenes.geometry import FARTHEST, Box, box, inside, outline
from jobs.scenes.relations import overlap, relations
from jobs.scenes.scene import Relation, Size, Thing

GRID = 96  # pixels a side
SEEN = 0.5  # least visible share of a thing's pixels
LEAST = 6  # least width and height of what is visible of a thing, in pixels
GAP = 0.02  # least distance between things that stand apart, as a share of the side
EDGE = 0.012  # least distance to the picture's edge, as a share of the side
TRIES, ROUNDS = 12, 60  # places tried for a thing; attempts at a whole layout
STANDS, HIDES, TOUCHES = 0.6, 0.2, 0.12  # how often a thing stands on another, may hide one, touches one; where possible


@dataclass(frozen=True)
class Wish:
    """A thing that is to be placed."""

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
    on: int | None  # index of the thing that it stands on
    depth: float  # painting order


def place(
    domain: str, ground: str, wishes: list[Wish], rng: np.random.Generator
) -> tuple[tuple[Thing, ...], tuple[Relation, ...]]:
    """Place every wish; returns the things in painting order, and their relations.

    If they do not fit, things become smaller, then fewer; no label is dropped.

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
    raise ValueError(f"{domain}: no room for {sorted({wish.label for wish in wishes})}; make their sizes smaller")


def _fewer(world: Domain, wishes: list[Wish]) -> list[Wish]:
    """The wishes reduced by one step: the largest thing made smaller, or one thing fewer of a label that has several."""
    order: tuple[Size, ...] = ("small", "medium", "large")
    smaller = {i: [s for s in world.kinds[w.label].sizes if order.index(s) < order.index(w.size)] for i, w in enumerate(wishes)}
    reducible = [i for i, sizes in smaller.items() if sizes]
    if reducible:
        largest = max(reducible, key=lambda i: order.index(wishes[i].size))
        return [replace(w, size=smaller[i][-1]) if i == largest else w for i, w in enumerate(wishes)]
    labels = [w.label for w in wishes]
    repeated = next((i for i, label in enumerate(labels) if labels.count(label) > 1), None)
    return [w for i, w in enumerate(wishes) if i != repeated]


def _attempt(domain: str, ground: str, wishes: list[Wish], rng: np.random.Generator) -> list[_Placed] | None:
    world = load(domain)
    holders = {w.label for w in wishes if world.kinds[w.label].top}
    placed: list[_Placed] = []
    for wish in sorted(wishes, key=lambda w: w.label not in holders):  # things that others can stand on come first
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
    if bearers and luck < STANDS:  # few pairs of classes allow it: about one scene in ten has such a pair
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
    """Height as a share of the side, for a thing at depth ``near`` (1 at the front edge, 0 at the horizon)."""
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
    """A random place on the floor, on the wall or in the air. Things on the floor are painted by y, after those on walls."""
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
    """On top of another thing, painted right after it. Below the horizon, so that without that thing it stands on the floor."""
    under, kind = placed[i], world.kinds[wish.label]
    assert under.kind.top is not None, "only a kind with a top can bear things"
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
    """Next to another thing at the same depth, so close that their silhouettes touch."""
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
    """Whether every thing is still visible enough (``SEEN``, ``LEAST``) with the new one among them."""
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
