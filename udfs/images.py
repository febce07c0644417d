"""Bytes to pixels and back: the one place where foreign image bytes are decoded.

Nothing about the bytes is taken on trust: not the file name, not the declared format, not that the data is whole. Limits are
checked on the headers, before a pixel is decoded: on the size of the picture, and on all else that decoding may cost
(``udfs.image_limits``). Whatever goes wrong becomes an ``ImageError`` with a short status.
"""

import contextlib
import ctypes
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
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

from udfs import clock
from udfs.codec import CodecSettings
from udfs.image_limits import ImageError, check_exif, check_headers, check_tiles
from udfs.role import Failure

MIN_SIDE = 8  # pixels; below that there is nothing to see, and models pad or fail
_BOX = 1024  # pixels; the side of what is converted at a time

Rgb = NDArray[np.uint8]
# libtiff would print a line for each damaged row of pixels; what matters is in the exception.
with contextlib.suppress(AttributeError):  # a build of Pillow without libtiff, or with one that it hides
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)

_Opener = Callable[[BytesIO], ImageFile.ImageFile]

# The first bytes of each format, and its parser. Not Image.open: it would try every parser it knows on foreign data, and other
# libraries replace it (with one of them, bytes that are no image make it install packages over the network).
_OPENERS: dict[str, tuple[tuple[bytes, ...], _Opener]] = {
    "JPEG": ((b"\xff\xd8\xff",), JpegImagePlugin.jpeg_factory),
    "PNG": ((b"\x89PNG\r\n\x1a\n",), PngImagePlugin.PngImageFile),
    "WEBP": ((b"RIFF",), WebPImagePlugin.WebPImageFile),
    "GIF": ((b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile),
    "BMP": ((b"BM",), BmpImagePlugin.BmpImageFile),
    # Not MM\0+, which Pillow reads as another file than libtiff does.
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0"), TiffImagePlugin.TiffImageFile),
}
FORMATS = tuple(_OPENERS)

# What Pillow's parsers raise on broken data; Pillow's own fuzzers expect the same wide range.
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
_SWAPS_SIDES = {turn for orientation, turn in _ORIENTATION.items() if orientation >= 5}  # quarter turns: width becomes height


def decode(data: bytes, max_pixels: int = 50_000_000) -> Rgb:
    """Decode a JPEG, PNG, WebP, BMP, GIF or TIFF (of the last two the first frame) to uint8 [H, W, 3] RGB, EXIF rotation applied.

    Transparency is composited on white, as a browser shows it (the colours under transparent pixels are arbitrary). 16-bit
    greyscale is scaled by its full range, 16-bit RGB keeps the high byte, floats up to 1 are scaled by 255. Colour profiles are
    ignored, as in the loaders that CLIP and detectors were trained with.

    Memory, with the result and without the file: up to 8 bytes a pixel; 12 where a format needs all of a picture beside that
    (progressive JPEG, deep colours in one tile of a TIFF); 16 for WebP; and 64 MB for the conversion, whatever the size.

    Raises:
        ImageError: ``empty_file``; ``image_too_large`` (by the headers, before anything is decoded: more than ``max_pixels`` in
            the picture or a tile of a TIFF, or twice that in all its tiles; too many scans of a JPEG, or strips or tiles of a
            TIFF: see ``udfs.image_limits``); ``image_too_small`` (a side under 8 pixels); ``undecodable_image`` (truncated,
            damaged, no image at all, or metadata that would take more memory than the file).
    """
    return _load(data, max_pixels)[0]


def decode_each(encoded: Iterable[bytes], max_pixels: int) -> list[Rgb | Failure]:
    """Decode the images of a batch; one that cannot be decoded is a failure with ``decode``'s status."""
    decoded: list[Rgb | Failure] = []
    with clock.spend("decode"):
        for data in encoded:
            try:
                decoded.append(decode(data, max_pixels))
            except ImageError as problem:
                decoded.append(Failure(problem.status, problem.error))
    return decoded


def probe(data: bytes, max_pixels: int = 50_000_000) -> tuple[int, int, str]:
    """Return (width, height, format) after EXIF rotation. The whole image is decoded for it, so ``decode`` will not fail later.

    ``format`` is one of ``FORMATS``, recognised by the first bytes. Raises ``ImageError`` as ``decode`` does.
    """
    rgb, kind = _load(data, max_pixels)
    return rgb.shape[1], rgb.shape[0], kind


def is_turned(data: bytes) -> bool:
    """Whether ``decode`` turns or mirrors the stored pixels. ``data`` must be bytes that ``decode`` can read."""
    return _turn(_open(data)[0]) is not None


def is_turned_at_same_size(data: bytes) -> bool:
    """Whether ``decode`` turns or mirrors the stored pixels (EXIF orientations 2 to 8) and the size of the image stays the same.

    A quarter turn of an image that is not square swaps its sides, so that a mask drawn before the turn is known by its size.
    Otherwise nothing tells such a mask from one drawn after the turn. ``data`` must be bytes that ``decode`` can read.
    """
    image = _open(data)[0]
    turn = _turn(image)
    return turn is not None and not (turn in _SWAPS_SIDES and image.width != image.height)


def shrink(rgb: Rgb, max_side: int) -> Rgb:
    """Scale down so that the longer side has at most ``max_side`` pixels; never up, and no side under ``MIN_SIDE``."""
    height, width = shrunk_size(rgb.shape[0], rgb.shape[1], max_side)
    if (height, width) == rgb.shape[:2]:
        return rgb
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def shrunk_size(height: int, width: int, max_side: int) -> tuple[int, int]:
    """The (height, width) that ``shrink`` gives. A narrow strip keeps ``MIN_SIDE``, or its dual image could not be decoded."""
    scale = min(1.0, max_side / max(height, width))
    return max(min(height, MIN_SIDE), round(height * scale)), max(min(width, MIN_SIDE), round(width * scale))


def encode(rgb: Rgb, codec: CodecSettings) -> bytes:
    """Encode uint8 [H, W, 3] RGB as PNG, JPEG or WebP. The same pixels give the same bytes: no times, no metadata."""
    out = BytesIO()
    image = Image.fromarray(np.ascontiguousarray(rgb))
    if codec.format == "png":
        image.save(out, "PNG", compress_level=3)  # a third of the default level's time, for a few per cent more bytes
    else:
        image.save(out, codec.format.upper(), quality=codec.quality)
    return out.getvalue()


def _load(data: bytes, max_pixels: int) -> tuple[Rgb, str]:
    if not data:
        raise ImageError("empty_file", "the file has no bytes")
    try:
        image, kind = _open(data)
        _check_size(image.size, max_pixels)
        if kind == "TIFF":
            check_tiles(data, max_pixels)
        ImageFile.LOAD_TRUNCATED_IMAGES = False  # a global switch, and other libraries turn it on
        image.load()
        _check_size(image.size, max_pixels)
        turn = _turn(image)
        # Without its file: a reader keeps buffers of its own, that of WebP three copies of the picture.
        image = image._new(image.im) if turn is None else image.transpose(turn)
        rgb = _to_rgb(image)
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
    check_headers(data, kind)
    image = _OPENERS[kind][1](BytesIO(data))
    if kind in ("PNG", "WEBP"):
        check_exif(image.info)
    return image, kind


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if min(width, height) < MIN_SIDE:
        raise ImageError("image_too_small", f"{width} x {height} pixels; sides must have {MIN_SIDE}")
    if width * height > max_pixels:
        raise ImageError("image_too_large", f"{width} x {height} pixels; the limit is {max_pixels}")


def _turn(image: Image.Image) -> Image.Transpose | None:
    """The operation that brings the image upright; None where it is upright, or its metadata is missing or damaged."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except _BROKEN:
        return None  # damaged metadata does not spoil the pixels
    return _ORIENTATION.get(orientation) if isinstance(orientation, int) else None


def _to_rgb(image: Image.Image) -> Rgb:
    """The pixels box by box, so that no second copy of the picture is made on the way."""
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    deep = image.mode == "F" or image.mode.startswith("I")
    scale = _deep_scale(image) if deep else 1.0
    for left, top, right, bottom in _boxes(image):
        part = image.crop((left, top, right, bottom))
        rgb[top:bottom, left:right] = _deep_grey(part, scale) if deep else _on_white(part)
    return rgb


def _boxes(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    for top in range(0, image.height, _BOX):
        for left in range(0, image.width, _BOX):
            yield left, top, min(left + _BOX, image.width), min(top + _BOX, image.height)


def _on_white(image: Image.Image) -> Rgb:
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        rgba = image.convert("RGBA")
        page = Image.new("RGBA", rgba.size, "white")
        return np.asarray(Image.alpha_composite(page, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _deep_grey(image: Image.Image, scale: float) -> NDArray[np.uint8]:
    """Greyscale of more than 8 bits as 8 bits [H, W, 1]. Pillow's own conversion would clip it to white."""
    return np.clip(np.rint(_finite(image) * scale), 0, 255).astype(np.uint8)[..., None]


def _deep_scale(image: Image.Image) -> float:
    """The factor from an image's values to 0 to 255: by the greatest of them, as few files say what white is."""
    top = max(_finite(image.crop(box)).max(initial=0.0) for box in _boxes(image))
    values = np.asarray(image.crop((0, 0, 1, 1)))
    if values.dtype.kind == "f":
        return 255.0 if top <= 1.0 else 1.0
    if values.dtype.itemsize == 2 or top > 255.0:
        return 255.0 / max(65535.0, float(top))
    return 1.0


def _finite(image: Image.Image) -> NDArray[np.float64]:
    return np.nan_to_num(np.asarray(image).astype(np.float64), copy=False, nan=0.0, posinf=0.0, neginf=0.0)
