"""Random numbers of a scene: a pure function of what the scene is, in every process and on every machine."""

import hashlib
from pathlib import Path

import numpy as np

from scenes.scene import Split


def generator(domain: str, split: Split, seed: int, index: int, what: str) -> np.random.Generator:
    """A stream of its own for each scene and each use of it. A domain counts by its name, wherever its file lies."""
    name = f"{Path(domain).stem}/{split}/{what}"
    words = hashlib.sha256(name.encode()).digest()
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([int.from_bytes(words[:16], "big"), seed, index])))
