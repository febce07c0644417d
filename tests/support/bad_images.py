"""Bad images, made from good ones of every format by a seeded generator: cut, flipped, spliced, and headers that promise much."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from PIL import Image

SIZE = (60, 44)  # pixels: width, height
PROMISED = (7000, 7000)  # within the limit of pixels, with bytes for next to none of them
_COUNTS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\xff\xff")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of an image file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@cache
def good_images() -> dict[str, bytes]:
    """A file of each format and of most of their variants, by a name with the usual extension."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    more = {"save_all": True, "append_images": [picture.rotate(90)]}
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    grey, palette = picture.convert("L"), picture.quantize(16)
    made = {
        "plain.jpg": saved(picture, "JPEG", exif=exif),
        "progressive.jpg": saved(picture, "JPEG", progressive=True),
        "cmyk.jpg": saved(picture.convert("CMYK"), "JPEG"),
        "several.mpo": saved(picture, "MPO", **more),
        "plain.png": saved(picture, "PNG", exif=exif),
        "palette.png": saved(palette, "PNG", transparency=0),
        "sixteen.png": saved(grey.convert("I;16"), "PNG"),
        "animated.png": saved(picture, "PNG", **more),
        "animated.gif": saved(picture, "GIF", **more),
        "lossy.webp": saved(picture, "WEBP", exif=exif),
        "lossless.webp": saved(picture.convert("RGBA"), "WEBP", lossless=True),
        "animated.webp": saved(picture, "WEBP", **more),
        "plain.bmp": saved(picture, "BMP"),
        "palette.bmp": saved(palette, "BMP"),
        "fax.tif": saved(picture.convert("1"), "TIFF", compression="group4"),
        "float.tif": saved(grey.convert("F"), "TIFF"),
        "deep.tif": saved(grey.convert("I"), "TIFF", compression="tiff_lzw"),
    }
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        made[f"{compression}.tif"] = saved(picture, "TIFF", compression=compression, exif=exif)
    return made


def bad_images(seed: int, count: int) -> dict[str, bytes]:
    """``count`` mutations of the good images, in turn, by name. Some may be good still: a flipped bit can be a colour."""
    chance, good = random.Random(seed), good_images()
    names = list(good)
    made = {}
    for number in range(count):
        name = names[number % len(names)]
        made[f"{number:03d}-{name}"] = mutated(good[name], chance, list(good.values()))
    return made


def mutated(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """``data`` with one to sixteen mutations, half of them near its beginning, where the headers are."""
    result = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        place = chance.randrange(len(result) if chance.random() < 0.5 else min(len(result), 160))
        _MUTATIONS[chance.randrange(len(_MUTATIONS))](result, place, chance, others)
        result = result or bytearray(b"\0")
    return bytes(result)


def _cut(data: bytearray, place: int, chance: random.Random, others: list[bytes]) -> None:
    del data[max(1, place) :]


def _flip(data: bytearray, place: int, chance: random.Random, others: list[bytes]) -> None:
    data[place] ^= 1 << chance.randrange(8)


def _set(data: bytearray, place: int, chance: random.Random, others: list[bytes]) -> None:
    data[place] = chance.choice((0, 1, 127, 128, 255))


def _repeat(data: bytearray, place: int, chance: random.Random, others: list[bytes]) -> None:
    start = chance.randrange(len(data))
    data[place:place] = data[start : start + chance.randrange(64)]


def _drop(data: bytearray, place: int, chance: random.Random, others: list[bytes]) -> None:
    del data[place : place + chance.randrange(32)]


def _count(data: bytearray, place: int, chance: random.Random, others: list[bytes]) -> None:
    data[place : place + 4] = chance.choice(_COUNTS)


def _splice(data: bytearray, place: int, chance: random.Random, others: list[bytes]) -> None:
    other = chance.choice(others)
    data[place:] = other[chance.randrange(len(other)) :]


_MUTATIONS: list[Callable[[bytearray, int, random.Random, list[bytes]], None]] = [
    *(_cut, _flip, _set, _repeat, _drop, _count, _splice),
]


def promising(size: tuple[int, int] = PROMISED) -> dict[str, bytes]:
    """Files of each format whose headers promise ``size`` (width, height) and that hold the pixels of ``SIZE``, by name."""
    good = good_images()
    return {name: data for name in good if (data := _promise(name, good[name], *size)) != good[name]}


def _promise(name: str, data: bytes, width: int, height: int) -> bytes:
    kind = name.rpartition(".")[2]
    if kind in ("jpg", "mpo"):
        place = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        return data[: place + 5] + struct.pack(">HH", height, width) + data[place + 9 :]
    if kind == "png":
        header = struct.pack(">II", width, height) + data[24:29]
        return data[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + data[33:]
    if kind == "bmp":
        return data[:18] + struct.pack("<ii", width, height) + data[26:]
    if kind == "gif":  # the screen, and its first frame
        frame = data.index(b",\0\0\0\0" + struct.pack("<HH", *SIZE))
        return (
            data[:6]
            + struct.pack("<HH", width, height)
            + data[10 : frame + 5]
            + struct.pack("<HH", width, height)
            + data[frame + 9 :]
        )
    if kind == "webp":
        return _promise_webp(data, width, height)
    changed = bytearray(data)
    start = struct.unpack("<L", data[4:8])[0]
    for place in range(start + 2, start + 2 + 12 * struct.unpack("<H", data[start : start + 2])[0], 12):
        tag = struct.unpack("<H", data[place : place + 2])[0]
        if tag in (256, 257, 278):  # width, height, rows of a strip
            changed[place + 2 : place + 12] = struct.pack("<HLL", 4, 1, width if tag == 256 else height)
    return bytes(changed)


def _promise_webp(data: bytes, width: int, height: int) -> bytes:
    if data[12:16] == b"VP8X":
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        return data[:24] + sides + data[30:]
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little") & ~0xFFFFFFF | (width - 1) | (height - 1) << 14
        return data[:21] + bits.to_bytes(4, "little") + data[25:]
    return data[:26] + struct.pack("<HH", width, height) + data[30:]


def inflated(data: bytes) -> Iterator[bytes]:
    """A good image with much that is none behind it or in front of it: an archive of pictures, or a page before one."""
    yield data + bytes(1 << 20)
    yield b"<!DOCTYPE html>" + data
    yield data[:16] * 1000
