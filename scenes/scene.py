"""What a scene is: which things stand where, in what light. Everything else is made from it.

``layout.sample`` draws a scene, ``render`` paints it (without any subset of its labels, if asked), ``captions`` tells of it. All
three are pure functions of a scene, and a scene is a pure function of (domain, split, seed, index, size): the same numbers give
the same bytes on any machine of the same library versions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "test"]  # train: classes and colours keep company; test: uniform, independent draws
Size = Literal["small", "medium", "large"]


@dataclass(frozen=True)
class Thing:
    """One object. Lengths are shares of the image's side; x runs right, y runs down."""

    label: str  # the class, by the name that lexicon and detector use
    colour: str  # a colour name of the domain
    material: str  # "plain", "striped", ...: a material name of the domain
    size: Size
    x: float  # centre
    y: float  # foot: where it touches the ground, or what it stands on
    height: float
    mirrored: bool


@dataclass(frozen=True)
class Relation:
    """A fact about two things, by their places in ``Scene.things``; true of the picture's geometry."""

    subject: int
    name: Literal["left of", "right of", "on", "behind", "in front of", "touching", "above", "below"]
    object: int


@dataclass(frozen=True)
class Scene:
    """A scene. ``things`` are in painting order, the farthest first; things of one label are one component."""

    domain: str  # a built-in name, or a YAML file; keys and random numbers know it by its name alone
    split: Split
    seed: int
    index: int
    size: int  # side of the square image in pixels, 64 to 256
    ground: str  # a background name of the domain
    light: tuple[float, float]  # shadows fall to (dx, dy), in object heights
    noise_sigma: float  # of the camera, in grey levels of 255
    things: tuple[Thing, ...]
    relations: tuple[Relation, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that are there, each once, in painting order."""
        return tuple(dict.fromkeys(thing.label for thing in self.things))

    @property
    def key(self) -> str:
        """The file name's stem: unique over domains, splits, seeds and sizes."""
        return f"{Path(self.domain).stem}_{self.split}_s{self.seed}_p{self.size}_{self.index:08d}"
