"""The inpainter: an image and its components in, all 2^n dual images out.

Decoding, masks, the lattice, blending and encoding are here. Holes are filled by a backend, chosen by ``inpainter.kind``.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict, TypeVar

import cv2
import numpy as np

from udfs import clock, images, masks
from udfs.images import Rgb
from udfs.inpaint import lattice
from udfs.inpaint.lattice import Hole, Patch
from udfs.inpaint.visible import slopes, smear
from udfs.masks import Box, Mask, Rle
from udfs.role import Failure, is_fatal
from udfs.settings import RoleSettings

_T = TypeVar("_T")

# What a backend may raise for one crop; anything else is a mistake in the program and fails the batch.
_CALL_ERRORS = (RuntimeError, ValueError, ArithmeticError, MemoryError, cv2.error)


class MaskedComponent(TypedDict):
    """A component to remove: its label, and the masks of all its instances, at the image's own size."""

    label: str
    masks: list[Rle]


class FamilyRow(TypedDict):
    """What ``Inpainter`` reads: an image and the components of its family."""

    record_id: str
    image: bytes
    components: list[MaskedComponent]


class DualRow(TypedDict):
    """One dual image. ``removed`` are labels, ``edited_fraction`` the share of pixels in the dilated masks, ``seam`` as ``seam``,
    ``smear`` as ``udfs.inpaint.visible.smear``.

    ``reused`` is true where nothing needed a call of its own: the calls are the rows with subset > 0 that are not reused. Where
    ``status`` is not ok, ``image``, ``seam`` and ``smear`` are None.
    """

    subset: int
    removed: list[str]
    edited_fraction: float
    seam: float | None
    smear: float | None
    reused: bool
    seed: int
    width: int
    height: int
    image: bytes | None
    status: str
    error: str | None


class InpaintedRow(TypedDict):
    """What ``Inpainter`` returns of a family: 2^n dual images by ascending subset."""

    duals: list[DualRow]


class Backend(Protocol):
    """A model that fills holes. ``name`` and ``version`` go into lineage; ``batch_size`` is how many holes it takes at once."""

    name: str
    version: str
    batch_size: int

    def __call__(self, holes: Sequence[Hole]) -> list[Rgb]:
        """Return for each hole its crop, filled: uint8 of the same shape. Pixels outside the mask are ignored."""
        ...


@dataclass
class OpenFamily:
    """A row while it is worked on: the shrunk original, and the dilated mask of each component."""

    record_id: str
    labels: list[str]
    original: Rgb
    dilated: list[Mask]
    grouping: tuple[int, ...]

    def removed(self, subset: int) -> Mask:
        """Union of the dilated masks of a subset: bool [H, W] of the shrunk original."""
        union = np.zeros(self.original.shape[:2], dtype=np.bool_)
        for mask in _chosen(self.dilated, subset):
            union |= mask
        return union


class Inpainter:
    """Role: ``FamilyRow`` -> ``InpaintedRow``. Removes every non-empty subset of a family's components.

    Subset 0 is the original, shrunk and encoded like all others.

    An image that cannot be read, or a mask that does not fit it, fails the row. A subset may fail on its own: ``empty_mask`` (a
    removed component has no pixels), ``mask_covers_image`` (nothing is left to fill from), ``model_error``. The subsets that do
    not need the failed call are ``ok``.

    Before encoding, every dual equals the original outside the dilated masks. Removal is nested: for R1 within R2 the two images
    are equal outside the masks of R2 - R1 and of their groups. Without reuse every dual still equals the original outside the
    masks, but removal is nested only as far as the fill of one hole does not depend on the other holes. That is nearly so for
    OpenCV without detail (holes far apart, filled at one scale), and not at all for diffusion, whose noise differs from call to
    call.
    """

    def __init__(self, settings: RoleSettings, device: str, backend: Backend | None = None) -> None:
        """Load the configured backend on ``device``; or use ``backend``, for comparisons with one that no setting names."""
        self._settings = settings
        self._backend = backend or _load(settings, device)
        self.name = self._backend.name
        self.version = self._backend.version

    def __call__(self, rows: Sequence[FamilyRow]) -> list[InpaintedRow | Failure]:
        """Fill the holes of all rows together, in the order of their keys, then compose the images of each family."""
        with clock.spend("decode"):
            families = [open_family(row, self._settings) for row in rows]
        calls: list[tuple[int, int]] = []  # (number of the row, subset)
        for i, family in enumerate(families):
            if isinstance(family, OpenFamily):
                calls += [(i, subset) for subset in lattice.own_calls(len(family.labels), family.grouping)]
        calls.sort(key=lambda call: (str(rows[call[0]]["record_id"]), call[1]))
        with clock.spend("model"):
            fills = self._patches([(families[i], subset) for i, subset in calls])  # type: ignore[misc]
        patches = dict(zip(calls, fills, strict=True))
        results: list[InpaintedRow | Failure] = []
        for i, family in enumerate(families):
            if isinstance(family, Failure):
                results.append(family)
            else:
                own = {subset: patch for (row, subset), patch in patches.items() if row == i}
                results.append({"duals": [self._dual(family, s, own) for s in range(1 << len(family.labels))]})
        return results

    def seed(self, record_id: str, subset: int) -> int:
        """63 bits that depend on record, subset, model and settings only, so that a retry paints the same."""
        key = json.dumps([record_id, subset, self.name, self.version, self._settings.inpainter.seed])
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1

    def _patches(self, calls: Sequence[tuple[OpenFamily, int]]) -> list[Patch | Failure]:
        """Fill the hole of each call, in batches that may span families; the result has the order of the calls."""
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
            for (i, box, hole), filled in zip(batch, self._fill([hole for _, _, hole in batch]), strict=True):
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
            if is_fatal(problem):  # torch's fatal errors are RuntimeErrors too
                raise
            if len(holes) == 1:
                return [Failure("model_error", f"{type(problem).__name__}: {problem}")]
        # One by one, so that a bad crop does not fail its neighbours.
        return [filled for hole in holes for filled in self._fill([hole])]

    def _soft_border(self, rgb: Rgb) -> float:
        """Width of the soft border in pixels; less than the dilation, or the object would shine through."""
        settings = self._settings.inpainter
        return max(0.0, min(settings.feather, settings.dilate) * max(rgb.shape[:2]) - 1.0)

    def _dual(self, family: OpenFamily, subset: int, patches: dict[int, Patch | Failure]) -> DualRow:
        needed = lattice.parts(subset, family.grouping)
        failure = next((patch for part in needed if isinstance(patch := patches[part], Failure)), None)
        mask = family.removed(subset)
        row: DualRow = {
            "subset": subset,
            "removed": _chosen(family.labels, subset),
            "edited_fraction": float(mask.mean()),
            "seam": None,
            "smear": None,
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
                pasted = [patch for part in needed if isinstance(patch := patches[part], Patch)]
                rgb = lattice.paste(family.original, pasted)
                row["seam"], row["smear"] = seam(rgb, mask, self._soft_border(rgb)), smear(rgb, mask)
                row["image"] = images.encode(rgb, self._settings.codec)
        return row


def seam(rgb: Rgb, mask: Mask, soft_border: float) -> float | None:
    """How visible the border of an edit is, in (-1, 1); None if the mask has no border.

    It is (a - b) / (a + b + 1). Here a is the mean slope across the border (along its normal) over the pixels where the blend
    happens, and b the same over a band of about equal width just outside. Slopes are in levels (0 to 255) per pixel, of the
    steepest colour channel, because a tint may leave the luma as it is. Around 0 the border is like its surroundings; towards 1
    there is a hard edge all along it; below 0 it is smoother than its surroundings.
    """
    if not mask.any() or mask.all():
        return None
    width = soft_border + 2.0
    box = lattice.crop_box(mask, 0.0)
    inside = lattice.cut(mask, box)
    depth, away = masks.depth(inside), masks.depth(~inside)
    signed = cv2.GaussianBlur(depth - away, (0, 0), 1.0)
    colours = np.ascontiguousarray(lattice.cut(rgb, box))
    steps, normal = slopes(colours), slopes(signed)
    along = steps[0] * normal[0][..., None] + steps[1] * normal[1][..., None]
    across = np.abs(along).max(axis=2) / (np.hypot(*normal) + 1e-6)
    on = (away <= 1.0) & (depth <= width)
    near = (away > 2.0) & (away <= 3.0 + width)
    if not near.any():
        return None
    a, b = float(across[on].mean()), float(across[near].mean())
    return (a - b) / (a + b + 1.0)


def open_family(row: FamilyRow, settings: RoleSettings) -> OpenFamily | Failure:
    """Decode and shrink a family's original, and dilate the masks of its components at that size."""
    rule = settings.inpainter
    try:
        full = images.decode(row["image"], settings.ingest.max_pixels)
        original = images.shrink(full, settings.codec.max_side)
        unions = [union(component["masks"], full.shape[:2]) for component in row["components"]]
    except images.ImageError as problem:
        return Failure(problem.status, problem.error)
    except masks.MaskError as problem:
        return Failure("bad_mask", str(problem))
    height, width = original.shape[:2]
    radius = rule.dilate * max(height, width)
    dilated = [masks.dilate(masks.resize(mask, height, width), radius) for mask in unions]
    grouping = lattice.groups(dilated) if rule.reuse else ((1 << len(dilated)) - 1,)
    labels = [str(component["label"]) for component in row["components"]]
    return OpenFamily(str(row["record_id"]), labels, original, dilated, grouping)


def _load(settings: RoleSettings, device: str) -> Backend:
    if settings.inpainter.kind == "diffusers":
        from udfs.inpaint.diffusers import Diffusers

        return Diffusers(settings.inpainter, device)
    if settings.inpainter.kind == "torchscript":
        from udfs.inpaint.torchscript import TorchScript

        return TorchScript(settings.inpainter, device)
    if settings.inpainter.kind == "patchmatch":
        from udfs.inpaint.patchmatch import PatchMatch

        return PatchMatch()
    from udfs.inpaint.opencv import OpenCv

    return OpenCv(settings.inpainter)


def union(rles: Sequence[Rle], shape: tuple[int, ...]) -> Mask:
    """The union of some masks: bool of ``shape``.

    Raises:
        udfs.masks.MaskError: a mask is damaged or has another size.
    """
    covered = np.zeros(shape, dtype=np.bool_)
    for rle in rles:
        mask = masks.from_rle(rle)
        if mask.shape != shape:
            raise masks.MaskError(f"a mask of {mask.shape} pixels for an image of {tuple(shape)}")
        covered |= mask
    return covered


def _unfillable(family: OpenFamily, subset: int, mask: Mask) -> Failure | None:
    if not all(part.any() for part in _chosen(family.dilated, subset)):
        return Failure("empty_mask", "a component to remove has no pixels")
    if mask.all():
        return Failure("mask_covers_image", "nothing is left to fill from")
    return None


def _chosen(items: Sequence[_T], subset: int) -> list[_T]:
    return [item for i, item in enumerate(items) if subset >> i & 1]
