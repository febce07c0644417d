"""What an image costs to decode is bounded by its headers and its size, whatever a small file claims."""

import io
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.originals import SHARED
from udfs import images
from udfs.image_limits import MAX_SCANS, tiff_layout

SHORT, LONG = 3, 4  # types of TIFF tags


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def tiff(tags: dict[int, tuple[int, list[int]]], pixels: bytes = b"", order: str = "<") -> bytes:
    """A TIFF of one directory; ``pixels`` come first, at byte 8. A tag is (type, values)."""
    letters = {SHORT: "H", LONG: "L"}
    start = 8 + len(pixels)
    directory, values = b"", b""
    for tag, (kind, numbers) in sorted(tags.items()):
        value = struct.pack(f"{order}{len(numbers)}{letters[kind]}", *numbers)
        if len(value) > 4:
            place = start + 6 + 12 * len(tags) + len(values)
            values, value = values + value, struct.pack(f"{order}L", place)
        directory += struct.pack(f"{order}HHL", tag, kind, len(numbers)) + value.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", start)
    return head + pixels + struct.pack(f"{order}H", len(tags)) + directory + bytes(4) + values


def tiled(width: int, height: int, tile_width: int, tile_height: int, order: str = "<") -> bytes:
    """A grey TIFF whose tiles are all the same white one, deflated."""
    count = -(-width // tile_width) * -(-height // tile_height)
    tile = zlib.compress(b"\xff" * (tile_width * tile_height))
    sides = {256: width, 257: height, 322: tile_width, 323: tile_height}
    tags = {tag: (LONG, [side]) for tag, side in sides.items()}
    tags |= {258: (SHORT, [8]), 259: (SHORT, [8]), 262: (SHORT, [1]), 277: (SHORT, [1])}
    return tiff(tags | {324: (LONG, [8] * count), 325: (LONG, [len(tile)] * count)}, tile, order)


def scans(count: int, picture: Image.Image | None = None) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    data = saved(picture or Image.new("L", (64, 64), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    body = data[last:-2]
    return data[:last] + body * (count - data.count(b"\xff\xda") + 1) + b"\xff\xd9"


def claims(tags: int, size: int) -> bytes:
    """A block of EXIF of ``size`` bytes, almost all of which every one of its tags claims."""
    entries = b"".join(struct.pack("<HHLL", 0x9000 + number, 7, size - 16, 8) for number in range(tags))
    return (b"II*\0" + struct.pack("<LH", 8, tags) + entries + bytes(4)).ljust(size, b"\0")


def with_exif(segments: list[bytes]) -> bytes:
    """A JPEG with these segments of EXIF."""
    data = saved(Image.new("RGB", (64, 64)), "JPEG")
    exif = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in segments)
    return data[:20] + exif + data[20:]


def status_of(data: bytes, max_pixels: int = 50_000_000) -> str:
    started = time.monotonic()
    with pytest.raises(images.ImageError) as caught:
        images.decode(data, max_pixels)
    assert time.monotonic() - started < 2, "known before decoding"
    return caught.value.status


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_a_small_picture_in_a_huge_tile_is_too_large() -> None:
    assert status_of(tiled(64, 64, 1 << 16, 1 << 10)) == "image_too_large"
    assert status_of(tiled(64, 64, 512, 512), max_pixels=512 * 512 - 1) == "image_too_large"
    assert images.decode(tiled(64, 64, 512, 512)).shape == (64, 64, 3)


def test_the_padding_of_all_tiles_counts() -> None:
    many = tiled(4000, 16, 16, 1 << 15)  # 250 tiles of half a million pixels each
    assert tiff_layout(many).padded_pixels == 250 << 19
    assert status_of(many) == "image_too_large"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("hidden", ["repeated", "of eight bytes"])
def test_a_tag_that_only_libtiff_reads_counts_too(order: str, hidden: str) -> None:
    data = bytearray(tiled(64, 64, 1 << 13, 1 << 13, order))
    directory = struct.unpack(f"{order}L", data[4:8])[0] + 2
    entry = next(place for place in range(directory, len(data), 12) if data[place : place + 2] == struct.pack(f"{order}H", 322))
    if hidden == "repeated":  # in place of 277, which has a default: libtiff takes the first, Pillow the last
        other = next(at for at in range(directory, len(data), 12) if data[at : at + 2] == struct.pack(f"{order}H", 277))
        data[other : other + 12] = struct.pack(f"{order}HHLL", 322, LONG, 1, 64)
    else:  # type 17, which Pillow does not know
        data[entry : entry + 12] = struct.pack(f"{order}HHLL", 322, 17, 1, len(data))
        data += struct.pack(f"{order}q", 1 << 13)
    assert status_of(bytes(data)) == "image_too_large"


def test_tiles_as_other_programs_write_them_are_read() -> None:
    for width, height, tile in ((100, 60, 256), (1030, 515, 512), (48, 48, 16)):
        data = tiled(width, height, tile, tile)
        assert images.probe(data) == (width, height, "TIFF")
        assert (images.decode(data) == 255).all()


def test_a_tiff_of_more_strips_than_any_picture_needs_is_too_large() -> None:
    count = 250_000
    tags = {256: (LONG, [8]), 257: (LONG, [count]), 258: (SHORT, [8]), 262: (SHORT, [1]), 278: (SHORT, [1])}
    assert status_of(tiff(tags | {273: (LONG, [8] * count), 279: (SHORT, [8] * count)}, bytes(8))) == "image_too_large"


def test_scans_are_bounded() -> None:
    assert images.decode(scans(MAX_SCANS)).shape == (64, 64, 3)
    assert status_of(scans(MAX_SCANS + 1)) == "image_too_large"
    assert status_of(scans(20_000)) == "image_too_large"


def test_what_only_looks_like_scans_is_not_counted() -> None:
    picture = saved(Image.new("RGB", (64, 64)), "JPEG")
    comment = b"\xff\xfe" + struct.pack(">H", 1002) + b"\xff\xda" * 500
    assert images.decode(picture[:20] + comment + picture[20:] + b"\xff\xda" * 500).shape == (64, 64, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_whose_tags_share_their_bytes_is_refused(kind: str) -> None:
    block = claims(400, 300_000)  # 120 MB for 300 kB
    black = Image.new("RGB", (64, 64))
    data = with_exif(cut(block, 60_000)) if kind == "JPEG" else saved(black, kind, exif=block)
    assert status_of(data) == "undecodable_image"
    few = claims(2, 20_000)  # two tags that share a value: some programs write that
    data = with_exif([few]) if kind == "JPEG" else saved(black, kind, exif=few)
    assert images.decode(data).shape == (64, 64, 3)


def test_a_tiff_whose_tags_share_their_bytes_is_refused() -> None:
    assert status_of(claims(400, 300_000)) == "undecodable_image"


def test_endless_metadata_is_refused() -> None:
    assert status_of(with_exif([bytes(60_000)] * 80)) == "undecodable_image"
    assert status_of(with_exif([b"xx"] * 5000)) == "undecodable_image"
    assert status_of(with_exif(cut(b"Exif\0\0" * 50_000, 60_000))) == "undecodable_image"


SIDE = 3000  # pixels
MEASURE = """
import re, sys
from pathlib import Path
from udfs import images

def peak():  # of this process: getrusage would count the one that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

images.decode(Path(sys.argv[1]).read_bytes())
before = peak()
images.decode(Path(sys.argv[2]).read_bytes())
print(peak() - before)
"""


def slope() -> np.ndarray:
    """uint16 [SIDE, SIDE], rising to the right."""
    return np.tile(np.arange(SIDE, dtype=np.uint16), (SIDE, 1))


def colours(mode: str) -> Image.Image:
    return Image.fromarray((slope() // 16).astype(np.uint8)).convert(mode)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


PICTURES: dict[str, tuple[int, Callable[[], bytes]]] = {  # the bytes a pixel that ``decode`` documents
    "float TIFF": (8, lambda: saved(Image.fromarray((slope() / SIDE).astype(np.float32)), "TIFF", compression="tiff_lzw")),
    "grey PNG of 16 bits": (8, lambda: saved(Image.fromarray(slope()), "PNG", compress_level=1)),
    "TIFF of 32 bits": (8, lambda: saved(Image.fromarray(slope().astype(np.int32) * 99), "TIFF", compression="tiff_lzw")),
    "transparent PNG": (8, lambda: saved(colours("RGBA"), "PNG", compress_level=1)),
    "turned JPEG": (8, lambda: saved(colours("RGB"), "JPEG", exif=turned())),
    "progressive CMYK": (12, lambda: saved(colours("CMYK"), "JPEG", progressive=True, subsampling=0)),
    "WebP": (16, lambda: saved(colours("RGB"), "WEBP", quality=50, method=0)),
}


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("name", PICTURES)
def test_memory_is_bounded_as_documented(name: str, tmp_path: Path) -> None:
    bytes_a_pixel, make = PICTURES[name]
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(saved(Image.new("RGB", (16, 16)), "PNG"))
    large.write_bytes(make())
    run = subprocess.run([sys.executable, "-c", MEASURE, small, large], capture_output=True, text=True, check=True)
    took = int(run.stdout) - large.stat().st_size
    assert took < bytes_a_pixel * SIDE * SIDE + (32 << 20), f"{took / SIDE / SIDE:.1f} bytes a pixel"


@pytest.mark.shared("cases/images")
@pytest.mark.parametrize("name", ["small-picture-huge-tile.tif", "progressive-400-scans.jpg"])
def test_shared_cases_are_refused(name: str) -> None:
    assert status_of((SHARED / "cases/images" / name).read_bytes()) == "image_too_large"
