"""The worlds of the study: the domain of the scenes, the engine's segmenter and inpainter, and the CLIP that methods start from.

``objects`` is the world of the main regime; its models come with the project. ``garments`` asks whether the results hold where
only the code is the same: other classes, colours, grounds and words, seen from above. No model of the project knows them, so the
engine uses the source's annotations instead of a segmenter and OpenCV instead of the trained inpainter. The CLIP that all methods
start from is trained here, by the recipe of the first one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

MADE = "made:"  # prefix of a file that is made in the data folder, like ``embedded:`` for files of the project


@dataclass(frozen=True)
class World:
    """A scene domain with its settings profile and start model. ``arms`` are the arms run in it; empty: all."""

    name: str
    says: str
    domain: str
    profile: str
    overrides: tuple[str, ...] = ()  # of the profile's settings
    model: str = ""  # of the CLIP that all methods start from
    checkpoint: str = ""
    arms: tuple[str, ...] = ()
    epochs: int = 5  # of training its start CLIP

    @property
    def start(self) -> dict[str, str]:
        """The training options that select the start CLIP."""
        return {"model": self.model, "checkpoint": self.checkpoint}

    @property
    def identity(self) -> dict[str, Any]:
        """All that runs depend on; the world's name and its list of arms are left out."""
        return {"domain": self.domain, "profile": self.profile, "overrides": self.overrides, "epochs": self.epochs, **self.start}


OBJECTS = World(
    name="objects",
    says="things on grounds, found and filled by the project's models",
    domain="study",
    profile="embedded",
    model="embedded:clip_study.json",
    checkpoint="embedded:clip_study.safetensors",
)
GARMENTS = World(
    name="garments",
    says="garments seen from above, found by the source's annotations, filled by OpenCV, and by no look at the result rejected",
    domain="study_garments",
    profile="annotations",
    overrides=("lexicon=garments",),
    model=f"{MADE}clip_study_garments.json",
    checkpoint=f"{MADE}clip_study_garments.safetensors",
    arms=("start", "clip", "negclip", "powerset", "powerset+negclip", "shuffled", "shuffled+negclip", "grey_box", "seven_times"),
    epochs=10,
)
WORLDS = {world.name: world for world in (OBJECTS, GARMENTS)}
RECIPE = {"size": 64, "scenes": 16000, "seed": 1}  # of every world's start CLIP: see MODEL_CARD_clip.md


def make_start(world: World, folder: Path) -> None:
    """Train a world's start CLIP if it does not exist yet. One thread makes the result reproducible on one machine."""
    import torch

    from training.embedded import train_clip

    if all((folder / name.removeprefix(MADE)).is_file() for name in world.start.values()):
        return
    threads = torch.get_num_threads()
    train_clip.main(folder, world.domain, **RECIPE, epochs=world.epochs, threads=1)
    torch.set_num_threads(threads)
