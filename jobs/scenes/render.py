"""Render a scene, with or without some of its labels, and its masks.

    render(scene)                                the picture, uint8 [S, S, 3] RGB
    render(scene, removed=frozenset({"cup"}))    the same scene without any cup: its shadow and reflection are gone too

Painting order: the empty ground, the shadows on the floor, all reflections, then each thing with the contact shadow under it (on
a wall or lying flat: its close shadow), then the camera's noise. Flying things cast no shadow. A thing affects only its own
pixels, shadow, contact shadow and reflection, so when it is removed everything else stays the same, bit for bit.

If a thing is removed, whatever stood on it keeps its place in the picture. It then stands on the floor a little farther back,
where its shadow already was.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from jobs.scenes import backgrounds, shapes, textures
from jobs.scenes.domain import Domain, Ground, load
from jobs.scenes.geometry import Box, Mask, box, inside, outline
from jobs.scenes.scene import Scene, Thing
from jobs.scenes.seeds import generator

Array = npt.NDArray[np.float32]
SHADOW, CONTACT = 0.42, 0.4  # darkness of a cast shadow and of the contact shadow
LIFT = 0.12  # distance of a thing from the wall, or the ground it lies on, as a share of its mean side
SIDELIGHT = 0.2  # extra brightness of the lit side


@dataclass(frozen=True)
class Masks:
    """Masks in the order of ``Scene.things``, bool [n, S, S] each. Visible masks are disjoint and lie inside the whole ones."""

    visible: npt.NDArray[np.bool_]
    whole: npt.NDArray[np.bool_]


def render(scene: Scene, removed: frozenset[str] = frozenset()) -> npt.NDArray[np.uint8]:
    """Paint a scene without the things of the removed labels, uint8 [S, S, 3] RGB. Labels not in the scene have no effect."""
    domain = load(scene.domain)
    ground = domain.grounds[scene.ground]
    rng = generator(scene.domain, scene.split, scene.seed, scene.index, "picture")
    canvas = backgrounds.paint(ground, scene.size, scene.light, rng)
    grain = rng.standard_normal(canvas.shape, np.float32)
    shown = [(thing, box(thing, domain.kinds[thing.label], scene.size)) for thing in scene.things if thing.label not in removed]
    sprites = [_sprite(scene, domain, thing, place) for thing, place in shown]
    standing = [domain.view == "ground" and domain.kinds[thing.label].place == "floor" for thing, _ in shown]
    for (_, place), sprite, stands in zip(shown, sprites, standing, strict=True):
        if stands:
            _cast_shadow(canvas, scene, ground, place, sprite[..., 3])
    for (_, place), sprite, stands in zip(shown, sprites, standing, strict=True):
        if stands and ground.reflective:
            _reflect(canvas, ground, place, sprite)
    for (thing, place), sprite, stands in zip(shown, sprites, standing, strict=True):
        if stands:
            _contact_shadow(canvas, place)
        elif domain.view == "flat" or domain.kinds[thing.label].place == "wall":
            _close_shadow(canvas, scene, place, sprite[..., 3])
        _over(canvas, place, sprite)
    canvas *= 255
    canvas += grain * np.float32(scene.noise_sigma)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def masks(scene: Scene) -> Masks:
    """The whole and the visible mask of each thing."""
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
    """A thing in its colour, material and light, float32 [h, w, 4]: RGB premultiplied with coverage, and coverage."""
    stack = shapes.fitted(scene.domain, thing.label, place.width, place.height)
    faces = 1.0
    if thing.mirrored:
        stack, faces = stack[:, ::-1], -1.0
    texture = domain.materials[thing.material]
    first = shapes.rgb(domain.colours[thing.colour])
    weight = textures.pattern(texture, place.width, place.height)
    colour = first if weight is None else first + (textures.second_colour(texture, first) - first) * weight
    lit = -faces if scene.light[0] > 0 else faces  # light comes from the side opposite to the shadows
    shade = stack[..., shapes.SHADE] + np.float32(SIDELIGHT * lit) * stack[..., shapes.SIDE]
    sprite = np.empty((*stack.shape[:2], 4), np.float32)
    covered = stack[..., shapes.ALPHA]
    light = (stack[..., shapes.BODY, None] * colour + stack[..., shapes.FIXED]) * shade[..., None]
    light += (stack[..., shapes.GLOSS] * covered * np.float32(textures.LOOKS[texture].shine))[..., None] * np.float32(0.8)
    np.minimum(light, covered[..., None], out=sprite[..., :3])
    sprite[..., 3] = covered
    return sprite


def _over(canvas: Array, place: Box, sprite: Array, share: Array | None = None) -> None:
    """Blend a sprite over the canvas; ``share`` weights its rows, float32 [h]."""
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


def _cast_shadow(canvas: Array, scene: Scene, ground: Ground, place: Box, covered: Array) -> None:
    """The floor shadow of a standing thing: its silhouette sheared along the light, starting at its foot."""
    dx, dy = scene.light
    move = np.array([[1, -dx, place.height * dx], [0, -dy, place.height * (1 + dy)]])
    _shadow(canvas, place, covered, move, backgrounds.horizon(ground, scene.size))


def _close_shadow(canvas: Array, scene: Scene, place: Box, covered: Array) -> None:
    """The shadow close behind a thing that hangs on a wall or lies flat."""
    side = LIFT * float(np.sqrt(place.width * place.height))
    _shadow(canvas, place, covered, np.array([[1, 0, scene.light[0] * side], [0, 1, abs(scene.light[1]) * side]]), 0)


def _shadow(canvas: Array, place: Box, covered: Array, move: npt.NDArray[np.float64], first_row: int) -> None:
    """Darken the canvas under a silhouette after ``move``, an affine map [2, 3] in its box; not above ``first_row``."""
    sigma = 0.5 + 0.025 * float(np.sqrt(place.width * place.height))
    margin = 2 + round(2 * sigma)
    corners = move @ np.array([[0, place.width, 0, place.width], [0, 0, place.height, place.height], [1, 1, 1, 1]])
    left, top = (int(n) - margin for n in np.floor(corners.min(axis=1)))
    right, bottom = (int(n) + margin for n in np.ceil(corners.max(axis=1)))
    shift = move - [[0, 0, left], [0, 0, top]]
    eight = np.round(covered * 255).astype(np.uint8)  # eight bits: the blur is exact on any machine
    shadow = cv2.warpAffine(eight, shift, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    shadow = cv2.GaussianBlur(shadow, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    amount = shadow.astype(np.float32) * np.float32(SHADOW / 255)
    area = Box(place.left + left, place.top + top, place.left + right, place.top + bottom)
    amount[: max(0, first_row - area.top)] = 0
    _darken(canvas, area, amount)


def _contact_shadow(canvas: Array, place: Box) -> None:
    """The dark line where a thing meets the surface that it stands on."""
    deep = max(1.5, 0.07 * place.width)
    half = place.width / 2
    below, above = int(np.ceil(deep)), int(np.ceil(deep))
    area = Box(place.left - 1, place.bottom - above, place.right + 1, place.bottom + below)
    x = (np.arange(area.width, dtype=np.float32) - 1 + 0.5 - half) / half
    y = (np.arange(area.height, dtype=np.float32) + 0.5 - above) / deep
    _darken(canvas, area, CONTACT * np.clip(1 - x[None, :] ** 2 - y[:, None] ** 2, 0, 1))


def _reflect(canvas: Array, ground: Ground, place: Box, sprite: Array) -> None:
    """A thing's mirror image below its foot, fading downwards."""
    height = max(1, round(0.8 * place.height))
    fade = np.linspace(ground.reflective, 0, height, dtype=np.float32)
    area = Box(place.left, place.bottom, place.right, place.bottom + height)
    _over(canvas, area, sprite[::-1][:height], fade)
