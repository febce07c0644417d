"""The worlds that the study is done in: where scenes come from, what the engine finds and fills with, and who begins.

``objects`` is that of the main regime, whose models come with the project. ``garments`` asks whether what holds there holds
where nothing is the same but the code: other classes, colours, grounds and words, seen from above. No model of the project knows
them: the engine has the source's annotations in place of a segmenter, and OpenCV in place of the trained inpainter; and the CLIP
that all methods begin with is made here, by the recipe of the first one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

MADE = "made:"  # before the name of a file that is made where the data are, as ``embedded:`` is before those of the project


@dataclass(frozen=True)
class World:
    """A scene domain with what it is worked on with. ``arms`` are those that are run in it; empty: all."""

    name: str
    says: str
    domain: str
    profile: str
    overrides: tuple[str, ...] = ()  # of the profile's settings
    model: str = ""  # of the CLIP that all begin with
    checkpoint: str = ""
    arms: tuple[str, ...] = ()
    epochs: int = 5  # of its first CLIP

    @property
    def start(self) -> dict[str, str]:
        """Training's options of the CLIP that all begin with."""
        return {"model": self.model, "checkpoint": self.checkpoint}

    @property
    def identity(self) -> dict[str, Any]:
        """What runs depend on: not how it is called, nor what is run in it."""
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
RECIPE = {"size": 64, "scenes": 16000, "seed": 1}  # of every world's first CLIP: see MODEL_CARD_clip.md


def make_start(world: World, folder: Path) -> None:
    """Train the CLIP that all begin with, where it is not there yet: on one thread, which gives the same again on one machine."""
    import torch

    from scenes import train_clip

    if all((folder / name.removeprefix(MADE)).is_file() for name in world.start.values()):
        return
    threads = torch.get_num_threads()
    train_clip.main(folder, world.domain, **RECIPE, epochs=world.epochs, threads=1)
    torch.set_num_threads(threads)
