"""Runs in the workers: a small WebP of an image, and its components' masks as SVG paths, which weigh a few hundred bytes."""

from collections.abc import Sequence
from typing import Any

NAMES = ("picture", "width", "height", "outlines")
TOLERANCE = 0.7  # pixels that an outline may be off


def draw_small(data: bytes | None, side: int, components: Sequence[Any]) -> dict[str, Any]:
    """{"picture": bytes, "width": int, "height": int, "outlines": a path a component}; all None without data.

    Args:
        data: an image as the inpaint stage wrote it.
        side: longer side of the picture in pixels.
        components: {"masks": COCO RLE dicts} each, at any size: they are scaled to the picture.

    Raises:
        udfs.images.ImageError: the bytes are no image.
        udfs.masks.MaskError: a mask is damaged.
    """
    from jobs.settings import Codec
    from udfs import images

    if data is None:
        return dict.fromkeys(NAMES)
    small = images.shrink(images.decode(data), side)
    height, width = small.shape[:2]
    outlines = [svg_path(part["masks"], height, width) for part in components]
    picture = images.encode(small, Codec(format="webp", quality=80))
    return {"picture": picture, "width": width, "height": height, "outlines": outlines}


def svg_path(rles: Sequence[Any], height: int, width: int) -> str:
    """The outline of the masks' union, scaled to height x width, as the ``d`` of an SVG path; "" for an empty mask.

    Made of digits, spaces and the letters M, L, Z only. Holes come out as holes with ``fill-rule: evenodd``.
    """
    import cv2
    import numpy as np

    from udfs import masks

    if len(rles) == 0:
        return ""
    union = np.logical_or.reduce([masks.from_rle(rle) for rle in rles])
    small = masks.resize(union, height, width).astype(np.uint8)
    found, _ = cv2.findContours(small, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    lines = [cv2.approxPolyDP(line, TOLERANCE, True).reshape(-1, 2).tolist() for line in found]
    return "".join("M" + "L".join(f"{x} {y}" for x, y in line) + "Z" for line in lines if len(line) > 2)
