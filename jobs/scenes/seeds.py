"""Random numbers of a scene: a pure function of its identity, the same in every process and on every machine."""

import hashlib
from pathlib import Path

import numpy as np

from jobs.scenes.scene import Split

# Different seeds give different scenes. Models are trained on the first range, and choices during development are made on the
# second. Reported numbers come from the third, on which nothing was trained or chosen.
RANGES = {"training": range(1, 100), "choosing": range(100, 200), "evaluation": range(900, 1000)}


def generator(domain: str, split: Split, seed: int, index: int, what: str) -> np.random.Generator:
    """A separate stream for each scene and each use of it, ``what``. Of a domain file only the name counts, not its folder."""
    name = f"{Path(domain).stem}/{split}/{what}"
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([int.from_bytes(digest[:16], "big"), seed, index])))


def check(seed: int, use: str) -> None:
    """Raise ValueError if a seed is outside the range for ``use``, a key of ``RANGES``."""
    if seed not in RANGES[use]:
        raise ValueError(f"seeds for {use} must be {RANGES[use].start} to {RANGES[use].stop - 1}, not {seed}")
