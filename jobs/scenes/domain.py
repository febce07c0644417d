"""A domain: the classes, colours, materials and grounds of a scene world, read from one YAML file.

A new class is a new entry, and a new world is a new file: these definitions drive all drawing and layout. Shapes are lists of
primitives in a unit box, x to the right and y down, painted in order (``shapes`` draws them).
"""

import difflib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs.scenes.domain_subset import subset
from udfs.captions.vocabulary import DOMAINS
from udfs.errors import DualsetError

Texture = Literal["plain", "stripes", "dots", "checks", "gloss", "grain", "metal", "knit"]  # of materials; drawn by textures.py
Surface = Literal[
    "planks", "tiles", "grass", "sand", "asphalt", "cloth", "water", "stone", "stripes"
]  # of floors; drawn by backgrounds.py
Backdrop = Literal["wall", "bricks", "sky", "hills", "paper", "sea"]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Point = tuple[float, float]


class DomainError(DualsetError, ValueError):
    """A domain file is missing or invalid; the message names the place and what to write instead."""


class _Node(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Primitive(_Node):
    """One shape in the unit box: exactly one of the first seven fields. Widths are shares of the box's mean side sqrt(w h)."""

    ellipse: tuple[float, float, float, float] | None = Field(None, description="centre x, y and radii")
    box: tuple[float, float, float, float] | None = Field(None, description="left, top, right, bottom")
    polygon: tuple[Point, ...] | None = Field(None, description="corners")
    curve: tuple[Point, ...] | None = Field(None, description="a smooth closed outline through these points")
    line: tuple[Point, ...] | None = Field(None, description="a stroke through these points")
    arc: tuple[float, float, float, float, float, float] | None = Field(
        None,
        description="part of an ellipse's outline: centre x, y, radii, begin and end in degrees clockwise from the right",
    )
    ring: tuple[float, float, float, float] | None = Field(None, description="an ellipse's outline: centre x, y and radii")
    role: Literal["body", "dark", "light", "hole"] = Field(
        "body", description="how it is coloured: body, dark and light take the thing's colour, a hole is cut out"
    )
    colour: Colour | None = Field(None, description="a fixed colour, whatever the thing's colour is")
    width: float = Field(0.06, gt=0, le=1, description="width of a stroke")
    round: float = Field(0.0, ge=0, le=0.5, description="radius of a box's corners")
    turn: float = Field(0.0, description="rotation of an ellipse or box about its middle, in degrees clockwise")

    @model_validator(mode="after")
    def _one_shape(self) -> "Primitive":
        forms = [
            name for name in ("ellipse", "box", "polygon", "curve", "line", "arc", "ring") if getattr(self, name) is not None
        ]
        if len(forms) != 1:
            raise ValueError(
                f"a primitive is exactly one of ellipse, box, polygon, curve, line, arc, ring; not {forms or 'none of them'}"
            )
        return self


class Top(_Node):
    """The surface of a thing on which other things can stand, in its unit box."""

    y: Share = Field(description="height of the surface")
    x: tuple[Share, Share] = Field((0.1, 0.9), description="left and right end of the surface")
    holds: tuple[str, ...] = Field(min_length=1, description="labels of the classes that may stand on it")


class Kind(_Node):
    """A class."""

    shapes: tuple[Primitive, ...] = Field(min_length=1, description="primitives, painted in order")
    aspect: float = Field(1.0, ge=0.25, le=4, description="width / height")
    scale: float = Field(1.0, ge=0.5, le=2, description="its size relative to other classes")
    place: Literal["floor", "wall", "air"] = Field("floor", description="where it can be; air: in front of the sky or a wall")
    colours: tuple[str, ...] = Field((), description="possible colours; empty: all")
    typical: str = Field(description="the colour that it has most often in the train split")
    materials: tuple[str, ...] = Field((), description="possible materials; empty: all")
    sizes: tuple[Literal["small", "medium", "large"], ...] = ("small", "medium", "large")
    companions: tuple[str, ...] = Field((), description="labels that it often appears with in the train split")
    top: Top | None = Field(None, description="where other things can stand on it")
    mirror: bool = Field(True, description="whether it may be mirrored; false for things with writing on them")
    unknown: bool = Field(False, description="true if no detector is trained on it")


class Back(_Node):
    """What is visible above the horizon."""

    texture: Backdrop
    colours: tuple[Colour, Colour]


class Ground(_Node):
    """A background."""

    texture: Surface
    colours: tuple[Colour, Colour] = Field(description="of planks and gaps, tiles and joints, light and dark blades, ...")
    reflective: Share = Field(0.0, description="share of a thing's light that the floor reflects")
    horizon: float = Field(0.42, ge=0, le=0.7, description="where floor and backdrop meet, as a share of the side from the top")
    back: Back | None = Field(None, description="backdrop; none: seen from above, all floor")
    walls: bool = Field(False, description="whether things can hang on the backdrop")


class Sizes(_Node):
    """Mean sides sqrt(w h) of things at the front edge, as shares of the image's side."""

    small: float = Field(gt=0.05, lt=0.8)
    medium: float = Field(gt=0.05, lt=0.8)
    large: float = Field(gt=0.05, lt=0.8)


def _not_empty(table: dict[str, Any]) -> dict[str, Any]:
    if not table:
        raise ValueError("at least one entry is needed")
    return table


class Habits(_Node):
    """How full scenes are, and how much their captions say.

    The default ``labels`` are counts from 101 COCO photographs: 11, 34, 41 and 15 of them had 0, 1, 2 and 3 components. Four are
    rare.
    """

    labels: tuple[Weight, Weight, Weight, Weight, Weight] = Field(
        (11, 34, 41, 15, 3), description="weights of scenes with 0 to 4 labels that a detector knows"
    )
    counts: tuple[Weight, Weight, Weight] = Field((72, 20, 8), description="weights of 1, 2, 3 things of a label")
    names_all: Share = Field(0.55, description="share of captions that name every class")
    names_colour: Share = Field(0.45, description="share of phrases that name the colour, if all their things have the same")

    @model_validator(mode="after")
    def _some_weight(self) -> "Habits":
        for name in ("labels", "counts"):
            if not sum(getattr(self, name)):
                raise ValueError(f"{name}: at least one weight must be above 0")
        return self


class Domain(_Node):
    """A scene world."""

    view: Literal["ground", "flat"] = Field("ground", description="ground: things stand on a floor; flat: they lie on it")
    colours: Annotated[dict[str, Colour], AfterValidator(_not_empty)]
    materials: Annotated[dict[str, Texture], AfterValidator(_not_empty)]
    sizes: Sizes
    grounds: Annotated[dict[str, Ground], AfterValidator(_not_empty)]
    kinds: Annotated[dict[str, Kind], AfterValidator(_not_empty)]
    habits: Habits = Field(default_factory=Habits)
    words: dict[str, Any] = Field(default_factory=dict, description="how captions name all this; read by vocabulary.py")

    @model_validator(mode="after")
    def _names_exist(self) -> "Domain":
        for label, kind in self.kinds.items():
            where = f"kinds.{label}"
            _check(f"{where}.colours", (*kind.colours, kind.typical), self.colours)
            _check(f"{where}.materials", kind.materials, self.materials)
            _check(f"{where}.companions", kind.companions, self.kinds)
            _check(f"{where}.top.holds", kind.top.holds if kind.top else (), self.kinds)
            if kind.colours and kind.typical not in kind.colours:
                raise ValueError(f"{where}.typical: {kind.typical!r} is not among its colours")
            if kind.place == "wall" and self.view == "ground" and not any(g.walls for g in self.grounds.values()):
                raise ValueError(f"{where}.place: a wall is needed, and no ground has walls")
        if not self.known:
            raise ValueError("kinds: at least one must not be unknown")
        if not any(self.habits.labels[0 if self.unknown else 1 : len(self.known) + 1]):
            raise ValueError(
                f"habits.labels: no weight above 0 applies to {len(self.known)} known and {len(self.unknown)} unknown kinds"
            )
        if self.view == "ground" and any(ground.back is None for ground in self.grounds.values()):
            raise ValueError("grounds: each needs a back, unless view is flat")
        return self

    @property
    def known(self) -> tuple[str, ...]:
        """Labels that detectors are trained on."""
        return tuple(label for label, kind in self.kinds.items() if not kind.unknown)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Labels that no detector is trained on."""
        return tuple(label for label, kind in self.kinds.items() if kind.unknown)

    def colours_of(self, label: str) -> tuple[str, ...]:
        """Names of the colours that a class can have."""
        return self.kinds[label].colours or tuple(self.colours)

    def materials_of(self, label: str) -> tuple[str, ...]:
        """Names of the materials that a class can have."""
        return self.kinds[label].materials or tuple(self.materials)


@cache
def load(name_or_path: str) -> Domain:
    """Read a domain: a built-in name (``objects``) or a YAML file. Cached for the process.

    Raises:
        DomainError: there is no such file, it is not YAML, or it has invalid keys or values.
    """
    path = DOMAINS / f"{name_or_path}.yaml"
    if not path.is_file():
        path = Path(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in DOMAINS.glob("*.yaml")))
        raise DomainError(f"no domain {name_or_path!r}: name a built-in one ({known}) or a YAML file")
    tree = _tree(path)
    if "base" in tree:
        base = _tree(DOMAINS / f"{tree.pop('base')}.yaml")
        if "base" in base:
            raise DomainError(f"{path}: its base is itself a subset; name that one's base, {base['base']!r}")
        try:
            tree = subset(base, tree.pop("keep", {}), tree)
        except ValueError as problem:
            raise DomainError(f"{path}: {problem}") from None
    try:
        return Domain.model_validate(tree)
    except ValidationError as problem:
        raise DomainError(f"{path}: " + "; ".join(_explain(error) for error in problem.errors())) from None


def _tree(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeEncodeError):  # the latter: no name that a file can have
        raise DomainError(f"base: no built-in domain {path.stem!r}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise DomainError(f"{path} is not YAML in UTF-8: {problem}") from problem
    if not isinstance(tree, dict):
        raise DomainError(f"{path} must hold a mapping")
    return tree


def _check(where: str, names: tuple[str, ...], known: dict[str, Any]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ValueError(f"{where}: there is no {name!r}; the nearest is {near!r}")


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']}" if where else str(error["msg"])
    near = difflib.get_close_matches(str(error["loc"][-1]), _known(error["loc"][:-1]), n=1, cutoff=0.0)
    return f"unknown key {where}; the nearest known one is {''.join(near)}"


def _known(path: tuple[str | int, ...]) -> list[str]:
    """Keys of the model at a place in the tree; names of table entries and list indices in ``path`` are skipped."""
    node: type[BaseModel] = Domain
    for part in path:
        if part in node.model_fields:
            node = next(iter(_models(node.model_fields[str(part)].annotation)), node)
    return list(node.model_fields)


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
