"""Filling holes with patches of their surroundings: PatchMatch (Barnes et al. 2009) by patchmatch-cython, on the CPU.

It copies what is there, sharp as it is, and so may copy an object: a hole beside a dog becomes a second dog. What it was measured
at, beside OpenCV's fills, is in udfs/README.md.
"""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from udfs.images import Rgb
from udfs.inpaint.lattice import Hole

PATCH, LOOPS = 7, 3  # side of a patch in pixels, and rounds of matching at each coarse size


class PatchMatch:
    """``patchmatch_cython.inpaint_pyramid``."""

    batch_size = 1

    def __init__(self) -> None:
        """Load the library.

        Raises:
            ImportError: it is not installed.
        """
        try:
            from patchmatch_cython import CythonSolver, inpaint_pyramid
        except ImportError as problem:
            raise ImportError("inpainter.kind=patchmatch needs patchmatch-cython: pip install 'dualset[patchmatch]'") from problem
        self._fill, self._solver = inpaint_pyramid, CythonSolver  # named, as the library falls back to a loop in Python
        self.name = "patchmatch"
        self.version = f"{version('patchmatch-cython')} {PATCH} {LOOPS}"

    def __call__(self, holes: Sequence[Hole]) -> list[Rgb]:
        """Fill each hole; the same seed gives the same fill."""
        return [
            np.asarray(
                self._fill(
                    np.ascontiguousarray(hole.rgb),
                    hole.mask,
                    patch_size=PATCH,
                    em_loops=LOOPS,
                    solver_class=self._solver,
                    seed=hole.seed % (1 << 32),
                ),
                dtype=np.uint8,
            )
            for hole in holes
        ]
