"""Whether the images of a family are what the inpainter promises: ``dualset check --deep``."""

from collections.abc import Iterator, Sequence
from typing import TypedDict

import numpy as np

from udfs import clock, images, masks
from udfs.images import Rgb
from udfs.inpaint.inpainter import FamilyRow, OpenFamily, open_family
from udfs.masks import Mask
from udfs.role import Failure
from udfs.settings import RoleSettings

# A JPEG's blocks of 16 x 16 pixels depend on nothing else, but for what smoothing the colours takes from the next block.
JPEG_REACH = 32


class DualImage(TypedDict):
    """A dual image as the table has it."""

    subset: int
    image: bytes


class WholeFamilyRow(FamilyRow):
    """What ``FamilyVerifier`` reads: what the inpainter read, and what it made."""

    duals: list[DualImage]


class VerifiedRow(TypedDict):
    """What is wrong with a family's images, a line each, and how many images were looked at."""

    problems: list[str]
    images: int


class FamilyVerifier:
    """Role: ``WholeFamilyRow`` -> ``VerifiedRow``.

    Every image is decoded and has the size of the shrunk original. With PNG and JPEG its pixels outside the dilated masks of what
    was removed are those of subset 0 (of a JPEG only where no block reaches a mask), and with ``inpainter.reuse`` removing one
    more component changes nothing outside the masks of its group.
    """

    name, version = "family verifier", "1"

    def __init__(self, settings: RoleSettings, device: str) -> None:  # noqa: ARG002 - as all roles
        """``settings`` must be those that the images were made with."""
        self._settings = settings

    def __call__(self, rows: Sequence[WholeFamilyRow]) -> list[VerifiedRow | Failure]:
        """Look at each family by itself."""
        with clock.spend("decode"):
            return [self._verify(row) for row in rows]

    def _verify(self, row: WholeFamilyRow) -> VerifiedRow | Failure:
        family = open_family(row, self._settings)
        if isinstance(family, Failure):
            return family
        problems: list[str] = []
        decoded: dict[int, Rgb] = {}
        for dual in row["duals"]:
            try:
                decoded[dual["subset"]] = images.decode(dual["image"])
            except images.ImageError as problem:
                problems.append(f"subset {dual['subset']} cannot be decoded: {problem.error}")
        problems += [
            f"subset {subset} has {rgb.shape[1]} x {rgb.shape[0]} pixels, its original {family.original.shape[1]} x"
            f" {family.original.shape[0]}"
            for subset, rgb in decoded.items()
            if rgb.shape != family.original.shape
        ]
        if not problems and self._settings.codec.format != "webp":
            problems += self._changed(family, decoded)
        return {"problems": problems, "images": len(row["duals"])}

    def _changed(self, family: OpenFamily, decoded: dict[int, Rgb]) -> Iterator[str]:
        if self._settings.codec.format == "png" and 0 in decoded and not np.array_equal(decoded[0], family.original):
            yield "subset 0 is not the original"
        for subset, rgb in sorted(decoded.items()):
            if subset and 0 in decoded and (count := self._differ(rgb, decoded[0], family.removed(subset))):
                yield f"subset {subset}: {count} pixels changed outside the masks of what was removed"
            for bit in (1 << i for i in range(len(family.labels)) if self._settings.inpainter.reuse):
                if subset & bit and subset != bit and subset ^ bit in decoded:
                    (group,) = (group for group in family.grouping if group & bit)
                    if count := self._differ(rgb, decoded[subset ^ bit], family.removed(group & subset)):
                        yield f"subset {subset}: {count} pixels differ from subset {subset ^ bit} outside what differs"

    def _differ(self, first: Rgb, second: Rgb, inside: Mask) -> int:
        if self._settings.codec.format == "jpeg":
            inside = masks.dilate(inside, JPEG_REACH)
        return int(((first != second).any(axis=2) & ~inside).sum())
