"""The inpainter: an image and its components in, all 2^n dual images out.

Decoding, masks, the lattice, blending and encoding are here; what fills a hole is a backend, chosen by
``inpainter.kind``.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import cv2
import numpy as np

from jobs.settings import Settings
from udfs import clock, images, lattice, masks
from udfs.images import Rgb
from udfs.lattice import Hole, Patch
from udfs.masks import Box, Mask
from udfs.role import Failure, Row, is_fatal

# What a backend may raise for one crop; anything else is a mistake in the program and stops the batch.
_T = TypeVar("_T")
_CALL_ERRORS = (RuntimeError, ValueError, ArithmeticError, MemoryError, cv2.error)


class Backend(Protocol):
    """A model that fills holes. ``name`` and ``version`` are the lineage, ``batch_size`` the holes it takes
    at once.
    """

    name: str
    version: str
    batch_size: int

    def __call__(self, holes: Sequence[Hole]) -> list[Rgb]:
        """Return for each hole its crop, uint8 of the same shape, filled; pixels outside the mask are not
        looked at.
        """
        ...


@dataclass
class _Family:
    """A row on its way: the shrunk original and the dilated mask of each component."""

    record_id: str
    labels: list[str]
    original: Rgb
    dilated: list[Mask]
    grouping: tuple[int, ...]

    def removed(self, subset: int) -> Mask:
        """Union of the dilated masks of a subset."""
        out = np.zeros(self.original.shape[:2], dtype=np.bool_)
        for mask in _chosen(self.dilated, subset):
            out |= mask
        return out


class Inpainter:
    """Removes every non-empty subset of a family's components.

    Row: ``record_id`` str; ``image`` bytes; ``components`` [{"label", "masks": [RLE at the image's own
    size], ...}]. Result: ``duals``, 2^n of them by ascending ``subset``; subset 0 is the original, shrunk
    and encoded like all others.

    An image that cannot be read, or a mask that does not fit it, fails the row. One subset has a status of
    its own: ``empty_mask`` (a removed component has no pixels), ``mask_covers_image`` (nothing to fill
    from), ``model_error``; the subsets that do not need the failed call are ``ok``.

    ``reused`` is true where nothing needed a call of its own, so that calls = the rows with subset > 0 that
    are not reused.

    Outside the dilated masks every dual equals the original (before encoding). Removal is nested: for R1 within
    R2 the images are equal outside the masks of R2 - R1 and of the groups they are in. Without reuse the first
    holds as well; the second only as far as a model's fill of one hole does not depend on the others: nearly
    so for OpenCV (holes far apart, filled at one scale), not at all for diffusion, whose noise differs by call.
    """

    def __init__(self, settings: Settings, device: str, backend: Backend | None = None) -> None:
        """Load the backend on ``device``, or take one that is no kind of the settings, to compare it."""
        self._settings = settings
        self._backend = backend or _load(settings, device)
        self.name = self._backend.name
        self.version = self._backend.version

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Fill all holes of all rows together, in key order, then put each family together."""
        with clock.spend("decode"):
            families = [self._open(row) for row in rows]
        todo: list[tuple[int, int]] = []  # (row, subset)
        for i, family in enumerate(families):
            if isinstance(family, _Family):
                todo += [(i, subset) for subset in lattice.own_calls(len(family.labels), family.grouping)]
        todo.sort(key=lambda call: (str(rows[call[0]]["record_id"]), call[1]))
        with clock.spend("model"):
            done = self._patches([(families[i], subset) for i, subset in todo])  # type: ignore[misc]
        patches = dict(zip(todo, done, strict=True))
        results: list[Row | Failure] = []
        for i, family in enumerate(families):
            if isinstance(family, Failure):
                results.append(family)
            else:
                made = {subset: patch for (row, subset), patch in patches.items() if row == i}
                results.append({"duals": [self._dual(family, s, made) for s in range(1 << len(family.labels))]})
        return results

    def seed(self, record_id: str, subset: int) -> int:
        """63 bits from (record, subset, model, settings), so that a retry paints the same."""
        key = json.dumps([record_id, subset, self.name, self.version, self._settings.inpainter.seed])
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1

    def _open(self, row: Row) -> _Family | Failure:
        settings = self._settings.inpainter
        try:
            full = images.decode(row["image"], self._settings.ingest.max_pixels)
            original = images.shrink(full, self._settings.codec.max_side)
            found = [union(c["masks"], full.shape[:2]) for c in row["components"]]
        except images.ImageError as problem:
            return Failure(problem.status, problem.error)
        except masks.MaskError as problem:
            return Failure("bad_mask", str(problem))
        height, width = original.shape[:2]
        radius = settings.dilate * max(height, width)
        dilated = [masks.dilate(masks.resize(mask, height, width), radius) for mask in found]
        grouping = lattice.groups(dilated) if settings.reuse else ((1 << len(dilated)) - 1,)
        labels = [str(c["label"]) for c in row["components"]]
        return _Family(str(row["record_id"]), labels, original, dilated, grouping)

    def _patches(self, calls: Sequence[tuple[_Family, int]]) -> list[Patch | Failure]:
        """Fill the holes of the calls, in batches over families."""
        results: list[Patch | Failure | None] = []
        holes: list[tuple[int, Box, Hole]] = []
        for i, (family, subset) in enumerate(calls):
            mask = family.removed(subset)
            failure = _unfillable(family, subset, mask)
            results.append(failure)
            if failure is None:
                box = lattice.crop_box(mask, self._settings.inpainter.context)
                crop = lattice.cut(family.original, box)
                seed = self.seed(family.record_id, subset)
                holes.append((i, box, Hole(crop, lattice.cut(mask, box), seed)))
        size = self._backend.batch_size
        for start in range(0, len(holes), size):
            batch = holes[start : start + size]
            for (i, box, hole), filled in zip(batch, self._fill([h for _, _, h in batch]), strict=True):
                if isinstance(filled, Failure):
                    results[i] = filled
                else:
                    alpha = masks.feather(hole.mask, self._soft_border(calls[i][0].original))
                    results[i] = Patch(box, filled, alpha)
        return [result for result in results if result is not None]

    def _fill(self, holes: Sequence[Hole]) -> list[Rgb | Failure]:
        try:
            return list(self._backend(holes))
        except _CALL_ERRORS as problem:
            if is_fatal(problem):  # torch's are RuntimeErrors as well
                raise
            if len(holes) == 1:
                return [Failure("model_error", f"{type(problem).__name__}: {problem}")]
        # One bad crop must not take its neighbours along.
        return [filled for hole in holes for filled in self._fill([hole])]

    def _soft_border(self, rgb: Rgb) -> float:
        """Feather in pixels; narrower than the dilation, or the object would shine through."""
        settings = self._settings.inpainter
        return max(0.0, min(settings.feather, settings.dilate) * max(rgb.shape[:2]) - 1.0)

    def _dual(self, family: _Family, subset: int, patches: dict[int, Patch | Failure]) -> Row:
        needed = lattice.parts(subset, family.grouping)
        failure = next((p for part in needed if isinstance(p := patches[part], Failure)), None)
        mask = family.removed(subset)
        row: Row = {
            "subset": subset,
            "removed": _chosen(family.labels, subset),
            "edited_fraction": float(mask.mean()),
            "seam": None,
            "reused": len(needed) > 1,
            "seed": self.seed(family.record_id, subset),
            "width": family.original.shape[1],
            "height": family.original.shape[0],
            "image": None,
            "status": failure.status if failure else "ok",
            "error": failure.error if failure else None,
        }
        if failure is None:
            with clock.spend("encode"):
                ready = [p for part in needed if isinstance(p := patches[part], Patch)]
                rgb = lattice.paste(family.original, ready)
                row["seam"] = seam(rgb, mask, self._soft_border(rgb))
                row["image"] = images.encode(rgb, self._settings.codec)
        return row


def seam(rgb: Rgb, mask: Mask, soft_border: float) -> float | None:
    """How visible the border of an edit is, in (-1, 1); None if the mask has no border.

    With a = mean slope across the border (along its normal) on the pixels where the blend happens, and b =
    the same on a band of about equal width just outside: (a - b) / (a + b + 1), slopes in levels (0 to 255) a
    pixel of the steepest colour channel, as a tint may leave the luma as it is. Around 0 the border is like
    its surroundings, towards 1 there is a hard edge all along it, below 0 it is smoother than they are.
    """
    if not mask.any() or mask.all():
        return None
    width = soft_border + 2.0
    box = lattice.crop_box(mask, 0.0)
    inside = lattice.cut(mask, box)
    depth, away = masks.depth(inside), masks.depth(~inside)
    signed = cv2.GaussianBlur(depth - away, (0, 0), 1.0)
    colours = np.ascontiguousarray(lattice.cut(rgb, box))
    slopes = [cv2.Sobel(colours, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
    normal = [cv2.Sobel(signed, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
    along = slopes[0] * normal[0][..., None] + slopes[1] * normal[1][..., None]
    across = np.abs(along).max(axis=2) / (np.hypot(*normal) + 1e-6)
    on = (away <= 1.0) & (depth <= width)
    near = (away > 2.0) & (away <= 3.0 + width)
    if not near.any():
        return None
    a, b = float(across[on].mean()), float(across[near].mean())
    return (a - b) / (a + b + 1.0)


def _load(settings: Settings, device: str) -> Backend:
    if settings.inpainter.kind == "diffusers":
        from udfs.inpaint_diffusers import Diffusers

        return Diffusers(settings.inpainter, device)
    if settings.inpainter.kind == "torchscript":
        from udfs.inpaint_torchscript import TorchScript

        return TorchScript(settings.inpainter, device)
    from udfs.inpaint_opencv import OpenCv

    return OpenCv(settings.inpainter)


def union(rles: Sequence[Row], shape: tuple[int, ...]) -> Mask:
    """All that is in one of some RLEs: bool of ``shape``; ``MaskError`` where one is damaged or of another size."""
    out = np.zeros(shape, dtype=np.bool_)
    for rle in rles:
        mask = masks.from_rle(rle)
        if mask.shape != shape:
            raise masks.MaskError(f"a mask of {mask.shape} pixels for an image of {tuple(shape)}")
        out |= mask
    return out


def _unfillable(family: _Family, subset: int, mask: Mask) -> Failure | None:
    if not all(part.any() for part in _chosen(family.dilated, subset)):
        return Failure("empty_mask", "a component to remove has no pixels")
    if mask.all():
        return Failure("mask_covers_image", "nothing is left to fill from")
    return None


def _chosen(items: Sequence[_T], subset: int) -> list[_T]:
    return [item for i, item in enumerate(items) if subset >> i & 1]
