"""Small pictures for people to look at. Contact sheets are made of them, so that no full image leaves a worker."""

from collections.abc import Sequence

import cv2
import numpy as np

from udfs import images, masks
from udfs.codec import CodecSettings
from udfs.masks import Rle

COLOURS = ((230, 60, 60), (60, 200, 60), (70, 110, 255), (240, 200, 40), (220, 80, 220), (60, 210, 210))
_CODEC = CodecSettings(format="jpeg", quality=85)


def thumbnail(data: bytes, side: int, components: Sequence[Sequence[Rle]] = ()) -> bytes:
    """JPEG of at most ``side`` x ``side`` pixels, with the masks of each component outlined in the component's colour.

    Args:
        data: an image in any format that ``udfs.images`` reads.
        side: longer side of the result, in pixels.
        components: the masks of each component, all of one size, which need not be the image's: they are scaled to the thumbnail.

    Raises:
        udfs.images.ImageError: the bytes are no image.
        udfs.masks.MaskError: a mask is damaged.
    """
    small = images.shrink(images.decode(data), side).copy()
    height, width = small.shape[:2]
    for number, rles in enumerate(components):
        if len(rles) == 0:
            continue
        union = np.logical_or.reduce([masks.from_rle(rle) for rle in rles])
        outlines, _ = cv2.findContours(masks.resize(union, height, width).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, outlines, -1, COLOURS[number % len(COLOURS)], 2)
    return images.encode(small, _CODEC)
