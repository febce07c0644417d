"""Bytes to pixels and back: the one place where foreign image bytes are decoded.

Nothing about the bytes is believed: not the file name, not the declared format, not that the data is whole.
Limits are checked on the header, before a pixel is decoded, and whatever goes wrong is one ``ImageError``
with a short status.
"""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from jobs.settings import Codec

MIN_SIDE = 8  # below this there is nothing to see, and models pad or fail

Rgb = NDArray[np.uint8]
_Opener = Callable[[BytesIO], ImageFile.ImageFile]

# First bytes, and the parser they lead to. Not Image.open: other libraries replace it (one then installs
# packages over the network when it meets bytes that are no image), and it would try every parser it knows on
# foreign data.
_OPENERS: dict[str, tuple[tuple[bytes, ...], _Opener]] = {
    "JPEG": ((b"\xff\xd8\xff",), JpegImagePlugin.jpeg_factory),
    "PNG": ((b"\x89PNG\r\n\x1a\n",), PngImagePlugin.PngImageFile),
    "WEBP": ((b"RIFF",), WebPImagePlugin.WebPImageFile),
    "GIF": ((b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile),
    "BMP": ((b"BM",), BmpImagePlugin.BmpImageFile),
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile),
}
FORMATS = tuple(_OPENERS)

# What Pillow's parsers raise on broken data; its own fuzzers expect the same wide range.
_BROKEN = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError),
    *(struct.error, zlib.error, RuntimeError, MemoryError),
)
_ORIENTATION_TAG = 0x0112
_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTERS = {turn for orientation, turn in _ORIENTATION.items() if orientation >= 5}  # these swap width and height


class ImageError(ValueError):
    """An image that cannot be used."""

    def __init__(self, status: str, error: str) -> None:
        """``status`` is the short reason code, ``error`` says more."""
        super().__init__(f"{status}: {error}")
        self.status = status
        self.error = error


def decode(data: bytes, max_pixels: int = 50_000_000) -> Rgb:
    """Decode JPEG, PNG, WebP, GIF or TIFF (first frame), or BMP to uint8 [H, W, 3] RGB, EXIF rotation
    applied.

    Transparency is composited on white, as a browser's page would show it (the colours under transparent
    pixels are arbitrary). 16-bit greyscale is scaled by its full range, 16-bit RGB keeps the high byte,
    floats up to 1 are scaled by 255. Colour profiles are ignored, as in the loaders that CLIP and detectors
    were trained with.

    Raises:
        ImageError: ``empty_file``; ``image_too_large`` (more than ``max_pixels``, known from the header,
        nothing decoded);
            ``image_too_small`` (a side under 8 pixels); ``undecodable_image`` (truncated, damaged, or no
            image at all).
    """
    return _load(data, max_pixels)[0]


def probe(data: bytes, max_pixels: int = 50_000_000) -> tuple[int, int, str]:
    """Return (width, height, format) after EXIF rotation; all of the image was decoded, so that ``decode``
    will not fail.

    ``format`` is one of ``FORMATS``, as found in the bytes. Raises ``ImageError`` as ``decode`` does.
    """
    rgb, kind = _load(data, max_pixels)
    return rgb.shape[1], rgb.shape[0], kind


def is_secretly_turned(data: bytes) -> bool:
    """Whether ``decode`` turns or mirrors the stored pixels, as EXIF orientations 2 to 8 ask, and the size does not tell.

    A quarter turn of unequal sides does tell: what was drawn before it has the other size. Of bytes that it can decode.
    """
    image = _open(data)[0]
    turn = _turn(image)
    return turn is not None and not (turn in _QUARTERS and image.width != image.height)


def shrink(rgb: Rgb, max_side: int) -> Rgb:
    """Scale down so that the longer side is at most ``max_side`` pixels; never up, and no side under
    ``MIN_SIDE``.
    """
    height, width = shrunk_size(rgb.shape[0], rgb.shape[1], max_side)
    if (height, width) == rgb.shape[:2]:
        return rgb
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def shrunk_size(height: int, width: int, max_side: int) -> tuple[int, int]:
    """Return the (height, width) that ``shrink`` gives; a strip keeps ``MIN_SIDE``, or its dual could not be
    decoded again.
    """
    scale = min(1.0, max_side / max(height, width))
    return max(min(height, MIN_SIDE), round(height * scale)), max(min(width, MIN_SIDE), round(width * scale))


def encode(rgb: Rgb, codec: Codec) -> bytes:
    """Encode uint8 [H, W, 3] RGB as PNG, JPEG or WebP. The same pixels give the same bytes (no times, no
    metadata).
    """
    out = BytesIO()
    image = Image.fromarray(np.ascontiguousarray(rgb))
    if codec.format == "png":
        image.save(out, "PNG", compress_level=3)  # a third of the default's time for a few per cent more bytes
    else:
        image.save(out, codec.format.upper(), quality=codec.quality)
    return out.getvalue()


def _load(data: bytes, max_pixels: int) -> tuple[Rgb, str]:
    if not data:
        raise ImageError("empty_file", "the file has no bytes")
    try:
        image, kind = _open(data)
        _check_size(image.size, max_pixels)
        ImageFile.LOAD_TRUNCATED_IMAGES = False  # a global that other libraries switch on
        image.load()
        _check_size(image.size, max_pixels)
        turn = _turn(image)
        rgb = _to_rgb(image if turn is None else image.transpose(turn))
    except ImageError:
        raise
    except Image.DecompressionBombError as problem:
        raise ImageError("image_too_large", str(problem)) from problem
    except _BROKEN as problem:
        raise ImageError("undecodable_image", f"{type(problem).__name__}: {problem}") from problem
    return rgb, kind


def _open(data: bytes) -> tuple[Image.Image, str]:
    """The image with its header read, and its format."""
    kind = next((name for name, (magic, _) in _OPENERS.items() if data.startswith(magic)), None)
    if kind is None:
        raise ImageError("undecodable_image", f"the bytes are none of {', '.join(FORMATS)}")
    return _OPENERS[kind][1](BytesIO(data)), kind


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if min(width, height) < MIN_SIDE:
        raise ImageError("image_too_small", f"{width} x {height} pixels; sides must have {MIN_SIDE}")
    if width * height > max_pixels:
        raise ImageError("image_too_large", f"{width} x {height} pixels; the limit is {max_pixels}")


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What brings the image upright; None where it is, or says nothing of use."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except _BROKEN:
        return None  # damaged metadata does not spoil the pixels
    return _ORIENTATION.get(orientation) if isinstance(orientation, int) else None


def _to_rgb(image: Image.Image) -> Rgb:
    if image.mode == "F" or image.mode.startswith("I"):
        return _deep_grey(np.asarray(image))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        rgba = image.convert("RGBA")
        page = Image.new("RGBA", rgba.size, "white")
        return np.array(Image.alpha_composite(page, rgba).convert("RGB"))
    return np.array(image.convert("RGB"))


def _deep_grey(values: NDArray[np.generic]) -> Rgb:
    """Greyscale of more than 8 bits: Pillow's own conversion would clip it to white."""
    grey = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    top = grey.max(initial=0.0)
    if values.dtype.kind == "f":
        scale = 255.0 if top <= 1.0 else 1.0
    elif values.dtype.itemsize == 2 or top > 255.0:
        scale = 255.0 / max(65535.0, top)
    else:
        scale = 1.0
    return np.repeat(np.clip(np.rint(grey * scale), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
