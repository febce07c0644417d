"""Random numbers of a scene: a pure function of what the scene is, in every process and on every machine."""

import hashlib
from pathlib import Path

import numpy as np

from scenes.scene import Split

# Scenes of different seeds are different scenes. Models trained here learn from the first range; what is tried and compared while
# they are made is scored on the second; reported numbers come from the third, which nothing was learned from or chosen on.
RANGES = {"training": range(1, 100), "choosing": range(100, 200), "evaluation": range(900, 1000)}


def generator(domain: str, split: Split, seed: int, index: int, what: str) -> np.random.Generator:
    """A stream of its own for each scene and each use of it. A domain counts by its name, wherever its file lies."""
    name = f"{Path(domain).stem}/{split}/{what}"
    words = hashlib.sha256(name.encode()).digest()
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([int.from_bytes(words[:16], "big"), seed, index])))


def check(seed: int, use: str) -> None:
    """Raise ValueError if a seed is not of the range for ``use``, a key of ``RANGES``."""
    if seed not in RANGES[use]:
        raise ValueError(f"seeds for {use} are {RANGES[use].start} to {RANGES[use].stop - 1}, not {seed}")
