"""Limits on what an image costs to open and decode, by its headers: scans of a JPEG, tags, strips and tiles of a TIFF, EXIF.

The size of a picture does not bound these. A picture of 64 x 64 pixels can lie in a tile of gigabytes; a small file can hold
thousands of scans, each of which goes over all pixels; the tags of a small file, EXIF included, can each claim the same megabyte.
Nothing is decoded here, and damaged headers end a count: whether they can be read is for the decoder to say.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from udfs.errors import DualsetError

MAX_SCANS = 100  # of a JPEG; encoders write about ten, and libtiff has the same limit for JPEG in TIFF
MAX_PARTS = 200_000  # strips or tiles of a TIFF: as many as 50 megapixels have tiles of 16 x 16
MAX_METADATA = 4 << 20  # bytes of EXIF; cameras write under 64 kB
_MAX_SEGMENTS = 4096  # of a JPEG, before its pixels
_MAX_TAGS = 4096  # as in libtiff
_SHARED_BYTES = 1 << 16  # by which the values of tags may overlap: some programs write equal ones once

_Order = Literal["little", "big"]

# Numbers of the TIFF tags that say how the pixels lie in the file, and of those that point to further directories.
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323
_OFFSETS = (273, 324)  # of strips, of tiles: one for each
_DIRECTORIES = (34665, 34853, 40965)  # EXIF, GPS, interoperability
# Bytes of a value, and whether it is a whole number, by a tag's type; libtiff reads some types that Pillow passes over.
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WHOLE = (1, 3, 4, 6, 8, 9, 13, 16, 17, 18)

# A JPEG marker, padding before it included. Inside a scan 0xFF is followed by 0, or by one of the restart markers D0 to D7.
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.DOTALL)
_TEMPORARY, _START, _END, _SCAN, _APP1, _APP2 = 0x01, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2


class ImageError(DualsetError, ValueError):
    """An image that cannot be used. ``status`` is the short reason code, ``error`` says more."""

    def __init__(self, status: str, error: str) -> None:
        super().__init__(f"{status}: {error}")
        self.status = status
        self.error = error


def check_headers(data: bytes, kind: str) -> None:
    """Refuse, before Pillow opens it, a file that would take much time or memory for its size.

    Raises:
        ImageError: ``image_too_large`` (too many scans, strips or tiles), ``undecodable_image`` (metadata without end).
    """
    if kind == "JPEG":
        _check_jpeg(data)
    if kind == "TIFF":
        _check_tags(data)
        if (parts := tiff_layout(data).parts) > MAX_PARTS:
            raise ImageError("image_too_large", f"{parts} strips or tiles; the limit is {MAX_PARTS}")


def check_exif(info: Mapping[Any, Any]) -> None:
    """Refuse the EXIF of an opened PNG or WebP, as ``check_headers`` does that of a JPEG."""
    block = info.get("exif") or b""
    with contextlib.suppress(ValueError):  # what is not hexadecimal is no EXIF
        block = block or bytes.fromhex("".join(info.get("Raw profile type exif", "").split("\n")[3:]))  # ImageMagick's way
    _check_metadata(block)


def check_tiles(data: bytes, max_pixels: int) -> None:
    """Refuse a TIFF whose tiles are larger than the picture may be: each is decoded as a whole, whatever it shows of it.

    Raises:
        ImageError: ``image_too_large`` (a tile of more than ``max_pixels``, or all together of more than twice that).
    """
    layout = tiff_layout(data)
    if layout.tile_pixels > max_pixels or layout.padded_pixels > 2 * max_pixels:
        tile = f"tiles of {layout.tile_width} x {layout.tile_height} pixels, {layout.padded_pixels} together"
        raise ImageError("image_too_large", f"{tile}; the limit is {max_pixels} and twice that")


@dataclass(frozen=True)
class TiffLayout:
    """What the directories of a TIFF claim; a tag that is there twice counts with its larger value."""

    width: int = 0  # pixels
    height: int = 0
    tile_width: int = 0  # pixels; 0: strips
    tile_height: int = 0
    parts: int = 0  # strips, or tiles
    tags: int = 0
    tag_bytes: int = 0  # of values outside the directories

    @property
    def tile_pixels(self) -> int:
        """Pixels of one tile, which is decoded as a whole; 0 for strips, which end with the picture."""
        return self.tile_width * self.tile_height

    @property
    def padded_pixels(self) -> int:
        """Pixels of all tiles, with what lies outside the picture; 0 for strips."""
        if not self.tile_pixels:
            return 0
        return -(-self.width // self.tile_width) * -(-self.height // self.tile_height) * self.tile_pixels


def tiff_layout(data: bytes) -> TiffLayout:
    """The layout of a TIFF (or of the block of EXIF in another file), by its first directory and those that it points to."""
    order: _Order = "little" if data.startswith(b"II") else "big"
    big = data[2:3] == b"+"
    sides: dict[int, int] = {}
    parts = tags = tag_bytes = 0
    ahead, seen = [_number(data, 8 if big else 4, 8 if big else 4, order)], set()
    while ahead:
        place = ahead.pop()
        if place in seen:
            continue
        seen.add(place)
        for tag, kind, count, start in _entries(data, place, order, big):
            tags += 1
            size = count * _BYTES.get(kind, 0)
            if size > (8 if big else 4):
                start = _number(data, start, 8 if big else 4, order)
                if start + size > len(data):
                    break  # readers stop there, too
                tag_bytes += size
            if tag in _OFFSETS:
                parts = max(parts, count)
            elif tag in (_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT) and kind in _WHOLE:
                sides[tag] = max(sides.get(tag, 0), _number(data, start, _BYTES[kind], order))
            elif tag in _DIRECTORIES and kind in _WHOLE:
                ahead.append(_number(data, start, _BYTES[kind], order))
    width, height, tile_width, tile_height = (sides.get(tag, 0) for tag in (_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT))
    return TiffLayout(width, height, tile_width, tile_height, parts, tags, tag_bytes)


def has_more_scans(data: bytes, most: int) -> bool:
    """Whether the (first) image of a JPEG has more than ``most`` scans; what follows it, such as a video, is not counted."""
    if data.count(bytes((0xFF, _SCAN))) <= most:
        return False
    return sum(1 for code, _ in _segments(data) if code == _SCAN) > most


def jpeg_metadata(data: bytes) -> tuple[int, list[bytes]]:
    """How many segments stand before a JPEG's first scan, and the blocks in them that are laid out as a TIFF: the EXIF, of which
    Pillow joins all segments, and the index of an MPO.
    """
    count, exif, others = 0, [], []
    for code, content in _segments(data):
        if code == _SCAN:
            break
        count += 1
        if code == _APP1 and content.startswith(b"Exif\0\0"):
            exif.append(content[6:])
        elif code == _APP2 and content.startswith(b"MPF\0"):
            others.append(content[4:])
    return count, [block for block in (b"".join(exif), *others) if block]


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The marker segments of a JPEG, as libjpeg finds them: (code, content), until the end of the first image."""
    place, scanned = 2, False
    while match := _MARKER.search(data, place):
        code, place = match[1][0], match.end()
        if code == _END and scanned:
            return
        if code in (_TEMPORARY, _START, _END):  # they have no content
            continue
        length = int.from_bytes(data[place : place + 2])
        if length < 2:
            return
        yield code, data[place + 2 : place + length]
        place += length
        scanned |= code == _SCAN


def _entries(data: bytes, place: int, order: _Order, big: bool) -> Iterator[tuple[int, int, int, int]]:
    """The entries of a directory: (tag, type, count, place of the value or of its offset)."""
    head, step = (8, 20) if big else (2, 12)
    first = place + head
    for start in range(first, min(first + _number(data, place, head, order) * step, len(data) - step + 1), step):
        yield (
            _number(data, start, 2, order),
            _number(data, start + 2, 2, order),
            _number(data, start + 4, 8 if big else 4, order),
            start + (12 if big else 8),
        )


def _number(data: bytes, place: int, size: int, order: _Order) -> int:
    return int.from_bytes(data[place : place + size], order)


def _check_jpeg(data: bytes) -> None:
    if has_more_scans(data, MAX_SCANS):
        raise ImageError("image_too_large", f"more than {MAX_SCANS} scans, each of which goes over all pixels")
    segments, blocks = jpeg_metadata(data)
    if segments > _MAX_SEGMENTS:
        raise ImageError("undecodable_image", f"{segments} segments before the pixels; the limit is {_MAX_SEGMENTS}")
    for block in blocks:
        _check_metadata(block)


def _check_metadata(block: bytes) -> None:
    if len(block) > MAX_METADATA:
        raise ImageError("undecodable_image", f"{len(block)} bytes of EXIF; the limit is {MAX_METADATA}")
    prefix = b"Exif\0\0"
    if block.startswith(prefix * 3):  # Pillow takes them off one by one
        raise ImageError("undecodable_image", "its EXIF begins again and again")
    _check_tags(block.removeprefix(prefix).removeprefix(prefix))


def _check_tags(block: bytes) -> None:
    """Refuse a TIFF directory whose tags claim the same bytes many times, as Pillow copies them for each."""
    layout = tiff_layout(block)
    if layout.tags > _MAX_TAGS or layout.tag_bytes > len(block) + _SHARED_BYTES:
        raise ImageError("undecodable_image", f"{layout.tags} tags claim {layout.tag_bytes} bytes of {len(block)}")
