"""What a scene is: which things are where, in what light. Pictures, masks and captions all derive from it.

``layout.sample`` draws a scene, ``render`` paints it (with any subset of its labels removed), ``captions`` describes it. A scene
is a pure function of (domain, split, seed, index, size), and pictures and captions are pure functions of the scene: the same
numbers give the same bytes on any machine with the same library versions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "test"]  # train: classes and colours are correlated; test: uniform, independent draws
Size = Literal["small", "medium", "large"]


@dataclass(frozen=True)
class Thing:
    """One object. Lengths are shares of the image's side; x points right, y points down."""

    label: str  # the class, by its name in the lexicon and the detector
    colour: str  # a colour name of the domain
    material: str  # "plain", "striped", ...: a material name of the domain
    size: Size
    x: float  # centre
    y: float  # foot: where it touches the ground, or what it stands on
    height: float
    mirrored: bool


@dataclass(frozen=True)
class Relation:
    """A fact about two things, by their indices in ``Scene.things``; true of the picture's geometry."""

    subject: int
    name: Literal["left of", "right of", "on", "behind", "in front of", "touching", "above", "below"]
    object: int


@dataclass(frozen=True)
class Scene:
    """A scene. ``things`` are in painting order, the farthest first; all things of a label are one component."""

    domain: str  # a built-in name, or a YAML file; keys and random numbers depend on its name only
    split: Split
    seed: int
    index: int
    size: int  # side of the square image in pixels, 64 to 256
    ground: str  # a background name of the domain
    light: tuple[float, float]  # direction and length of shadows, (dx, dy) in object heights
    noise_sigma: float  # of the camera, in grey levels of 0 to 255
    things: tuple[Thing, ...]
    relations: tuple[Relation, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in the scene, each once, in painting order."""
        return tuple(dict.fromkeys(thing.label for thing in self.things))

    @property
    def key(self) -> str:
        """A file stem that is unique over domains, splits, seeds, sizes and indices."""
        return f"{Path(self.domain).stem}_{self.split}_s{self.seed}_p{self.size}_{self.index:08d}"
