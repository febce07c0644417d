"""Small pictures for a person to look at: a contact sheet is made of these, so that no full image leaves a worker."""

from collections.abc import Sequence

import cv2
import numpy as np

from jobs.settings import Codec
from udfs import images, masks
from udfs.role import Row

COLOURS = ((230, 60, 60), (60, 200, 60), (70, 110, 255), (240, 200, 40), (220, 80, 220), (60, 210, 210))
_CODEC = Codec(format="jpeg", quality=85)


def thumbnail(data: bytes, side: int, components: Sequence[Sequence[Row]] = ()) -> bytes:
    """JPEG of at most ``side`` x ``side`` pixels, with each component's masks outlined in its colour.

    Args:
        data: an image in any format that ``udfs.images`` reads.
        side: longer side of the result, in pixels.
        components: for each component its masks, COCO RLE dicts of one size (any: they are scaled to the thumbnail).

    Raises:
        udfs.images.ImageError: the bytes are no image.
        udfs.masks.MaskError: a mask is damaged.
    """
    small = images.shrink(images.decode(data), side).copy()
    height, width = small.shape[:2]
    for place, rles in enumerate(components):
        if len(rles) == 0:
            continue
        union = np.logical_or.reduce([masks.from_rle(rle) for rle in rles])
        outline, _ = cv2.findContours(masks.resize(union, height, width).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, outline, -1, COLOURS[place % len(COLOURS)], 2)
    return images.encode(small, _CODEC)
