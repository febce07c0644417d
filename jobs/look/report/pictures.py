"""Drawn in the workers: a small WebP of an image, and its components' masks as SVG paths of a few hundred bytes each."""

from collections.abc import Sequence
from typing import Any, TypedDict

import cv2
import numpy as np
import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F

from udfs import images, masks
from udfs.codec import CodecSettings

TOLERANCE = 0.7  # pixels that an outline may be off


class SmallPicture(TypedDict):
    """A WebP, its size in pixels, and an SVG path a component; all None where there was no image."""

    picture: bytes | None
    width: int | None
    height: int | None
    outlines: list[str] | None


PICTURE = "picture BINARY, width INT, height INT, outlines ARRAY<STRING>"  # the same in SQL


def draw_small(data: bytes | None, side: int, components: Sequence[Any]) -> SmallPicture:
    """The picture of an image and its components' outlines.

    Args:
        data: an image as the inpaint stage wrote it.
        side: longer side of the picture in pixels.
        components: {"masks": COCO RLE dicts} each, of any size: they are scaled to the picture.

    Raises:
        udfs.images.ImageError: the bytes are no image.
        udfs.masks.MaskError: a mask is damaged.
    """
    if data is None:
        return {"picture": None, "width": None, "height": None, "outlines": None}
    small = images.shrink(images.decode(data), side)
    height, width = small.shape[:2]
    outlines = [svg_path(part["masks"], height, width) for part in components]
    picture = images.encode(small, CodecSettings(format="webp", quality=80))
    return {"picture": picture, "width": width, "height": height, "outlines": outlines}


def columns_of(pictures: Sequence[SmallPicture]) -> pd.DataFrame:
    """Pictures as the columns of ``PICTURE``. As objects: pandas would turn a missing width into NaN, which is no INT."""
    return pd.DataFrame(list(pictures), columns=list(SmallPicture.__annotations__), dtype=object)


def on_original() -> Column:
    """``outlined`` of an original; of a dual image no component, as outlines are shown on the original."""
    return F.expr("CASE WHEN subset = 0 THEN outlined ELSE filter(outlined, c -> false) END").alias("outlined")


def svg_path(rles: Sequence[Any], height: int, width: int) -> str:
    """The outline of the masks' union, scaled to height x width, as the ``d`` of an SVG path; "" for an empty mask.

    It has only digits, spaces and the letters M, L, Z. With ``fill-rule: evenodd`` holes stay holes.
    """
    if len(rles) == 0:
        return ""
    union = np.logical_or.reduce([masks.from_rle(rle) for rle in rles])
    small = masks.resize(union, height, width).astype(np.uint8)
    contours, _ = cv2.findContours(small, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    lines = [cv2.approxPolyDP(contour, TOLERANCE, True).reshape(-1, 2).tolist() for contour in contours]
    return "".join("M" + "L".join(f"{x} {y}" for x, y in line) + "Z" for line in lines if len(line) > 2)
