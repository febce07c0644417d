"""A scene painted, with or without some of its labels, and its masks.

    render(scene)                                the picture, uint8 [S, S, 3] RGB
    render(scene, removed=frozenset({"cup"}))    the same had there been no cup: its shadow and reflection are gone too

Order of work: the empty ground, the shadows on the floor, all reflections, then each thing in painting order with the dusk under
it (on a wall or lying flat: its close shadow), then the camera's noise. What flies casts no shadow. Nothing but a thing's own
pixels, shadow, dusk and reflection depends on it, so that all else stays the same, bit for bit, when it goes.

What stood on a thing that goes keeps its place in the picture: there it stands on the floor a little farther back, where its
shadow was all the time.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from scenes import backgrounds, shapes, textures
from scenes.domain import Domain, Ground, load
from scenes.geometry import Box, Mask, box, inside, outline
from scenes.scene import Scene, Thing
from scenes.seeds import generator

Array = npt.NDArray[np.float32]
SHADOW, CONTACT = 0.42, 0.4  # darkness of a cast shadow and of the dusk under a thing
LIFT = 0.12  # how far things on a wall, or lying flat, stand off: a share of their shadows' fall
SIDELIGHT = 0.2  # how much lighter the lit side is


@dataclass(frozen=True)
class Masks:
    """Masks in the order of ``Scene.things``, bool [n, S, S] each; visible ones are disjoint and inside the whole ones."""

    visible: npt.NDArray[np.bool_]
    whole: npt.NDArray[np.bool_]


def render(scene: Scene, removed: frozenset[str] = frozenset()) -> npt.NDArray[np.uint8]:
    """Paint a scene without the things of the removed labels, uint8 [S, S, 3] RGB. Labels that are not there change nothing."""
    domain = load(scene.domain)
    ground = domain.grounds[scene.ground]
    rng = generator(scene.domain, scene.split, scene.seed, scene.index, "picture")
    canvas = backgrounds.paint(ground, scene.size, scene.light, rng)
    grain = rng.standard_normal(canvas.shape, np.float32)
    there = [(thing, box(thing, domain.kinds[thing.label], scene.size)) for thing in scene.things if thing.label not in removed]
    sprites = [_sprite(scene, domain, thing, place) for thing, place in there]
    standing = [domain.view == "ground" and domain.kinds[thing.label].place == "floor" for thing, _ in there]
    for (_, place), sprite, stands in zip(there, sprites, standing, strict=True):
        if stands:
            _cast(canvas, scene, ground, place, sprite[..., 3])
    for (_, place), sprite, stands in zip(there, sprites, standing, strict=True):
        if stands and ground.reflective:
            _reflect(canvas, ground, place, sprite)
    for (thing, place), sprite, stands in zip(there, sprites, standing, strict=True):
        if stands:
            _dusk(canvas, place)
        elif domain.view == "flat" or domain.kinds[thing.label].place == "wall":
            _cast_close(canvas, scene, place, sprite[..., 3])
        _over(canvas, place, sprite)
    canvas *= 255
    canvas += grain * np.float32(scene.noise_sigma)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def masks(scene: Scene) -> Masks:
    """Where each thing is, and where it is seen."""
    kinds = load(scene.domain).kinds
    whole = np.zeros((len(scene.things), scene.size, scene.size), bool)
    owner = np.full((scene.size, scene.size), -1, np.int16)
    for i, thing in enumerate(scene.things):
        place = box(thing, kinds[thing.label], scene.size)
        rows, columns, own_rows, own_columns = inside(place, scene.size)
        shape: Mask = outline(scene.domain, thing, place)[own_rows, own_columns]
        whole[i, rows, columns] = shape
        owner[rows, columns][shape] = i
    return Masks(owner == np.arange(len(scene.things), dtype=np.int16)[:, None, None], whole)


def _sprite(scene: Scene, domain: Domain, thing: Thing, place: Box) -> Array:
    """A thing in its colour, material and light, float32 [h, w, 4]: RGB weighted with coverage, and coverage."""
    stack = shapes.fitted(scene.domain, thing.label, place.width, place.height)
    faces = 1.0
    if thing.mirrored:
        stack, faces = stack[:, ::-1], -1.0
    texture = domain.materials[thing.material]
    first = shapes.rgb(domain.colours[thing.colour])
    weight = textures.pattern(texture, place.width, place.height)
    colour = first if weight is None else first + (textures.second_colour(texture, first) - first) * weight
    lit = -faces if scene.light[0] > 0 else faces  # light comes from where shadows do not fall
    shade = stack[..., shapes.SHADE] + np.float32(SIDELIGHT * lit) * stack[..., shapes.SIDE]
    sprite = np.empty((*stack.shape[:2], 4), np.float32)
    covered = stack[..., shapes.ALPHA]
    light = (stack[..., shapes.BODY, None] * colour + stack[..., shapes.FIXED]) * shade[..., None]
    light += (stack[..., shapes.GLOSS] * covered * np.float32(textures.LOOKS[texture].shine))[..., None] * np.float32(0.8)
    np.minimum(light, covered[..., None], out=sprite[..., :3])
    sprite[..., 3] = covered
    return sprite


def _over(canvas: Array, place: Box, sprite: Array, share: Array | None = None) -> None:
    """Lay a sprite over the canvas, the rows of it weighted with ``share`` if given."""
    rows, columns, own_rows, own_columns = inside(place, len(canvas))
    part = sprite[own_rows, own_columns]
    if share is not None:
        part = part * share[own_rows, None, None]
    under = canvas[rows, columns]
    under *= 1 - part[..., 3:]
    under += part[..., :3]


def _darken(canvas: Array, place: Box, amount: Array) -> None:
    rows, columns, own_rows, own_columns = inside(place, len(canvas))
    canvas[rows, columns] *= 1 - amount[own_rows, own_columns, None]


def _cast(canvas: Array, scene: Scene, ground: Ground, place: Box, covered: Array) -> None:
    """The shadow on the floor of a thing that stands: its silhouette laid down along the light, from the foot on."""
    dx, dy = scene.light
    move = np.array([[1, -dx, place.height * dx], [0, -dy, place.height * (1 + dy)]])
    _shadow(canvas, place, covered, move, backgrounds.horizon(ground, scene.size))


def _cast_close(canvas: Array, scene: Scene, place: Box, covered: Array) -> None:
    """The shadow right behind a thing that hangs on a wall or lies flat, on whatever is there."""
    side = LIFT * float(np.sqrt(place.width * place.height))
    _shadow(canvas, place, covered, np.array([[1, 0, scene.light[0] * side], [0, 1, abs(scene.light[1]) * side]]), 0)


def _shadow(canvas: Array, place: Box, covered: Array, move: npt.NDArray[np.float64], first_row: int) -> None:
    """Darken the canvas under a silhouette moved by an affine map of its own box; not above ``first_row``."""
    sigma = 0.5 + 0.025 * float(np.sqrt(place.width * place.height))
    margin = 2 + round(2 * sigma)
    corners = move @ np.array([[0, place.width, 0, place.width], [0, 0, place.height, place.height], [1, 1, 1, 1]])
    left, top = (int(n) - margin for n in np.floor(corners.min(axis=1)))
    right, bottom = (int(n) + margin for n in np.ceil(corners.max(axis=1)))
    shift = move - [[0, 0, left], [0, 0, top]]
    eight = np.round(covered * 255).astype(np.uint8)  # eight bits: blurred exactly, on any machine
    shadow = cv2.warpAffine(eight, shift, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    shadow = cv2.GaussianBlur(shadow, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    amount = shadow.astype(np.float32) * np.float32(SHADOW / 255)
    where = Box(place.left + left, place.top + top, place.left + right, place.top + bottom)
    amount[: max(0, first_row - where.top)] = 0
    _darken(canvas, where, amount)


def _dusk(canvas: Array, place: Box) -> None:
    """The dark line where a thing meets what it stands on."""
    deep = max(1.5, 0.07 * place.width)
    half = place.width / 2
    below, above = int(np.ceil(deep)), int(np.ceil(deep))
    where = Box(place.left - 1, place.bottom - above, place.right + 1, place.bottom + below)
    x = (np.arange(where.width, dtype=np.float32) - 1 + 0.5 - half) / half
    y = (np.arange(where.height, dtype=np.float32) + 0.5 - above) / deep
    _darken(canvas, where, CONTACT * np.clip(1 - x[None, :] ** 2 - y[:, None] ** 2, 0, 1))


def _reflect(canvas: Array, ground: Ground, place: Box, sprite: Array) -> None:
    """A thing's mirror image below its foot, weaker the farther down."""
    height = max(1, round(0.8 * place.height))
    fade = np.linspace(ground.reflective, 0, height, dtype=np.float32)
    where = Box(place.left, place.bottom, place.right, place.bottom + height)
    _over(canvas, where, sprite[::-1][:height], fade)
