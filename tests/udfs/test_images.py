"""Foreign bytes become pixels, or one clear reason why not."""

import io
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from udfs import images
from udfs.codec import CodecSettings


def picture(height: int = 24, width: int = 32) -> np.ndarray:
    """Red rises to the right, green downwards, blue is 40."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([red, green, np.full_like(red, 40)], axis=-1).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header claims a size and whose data is missing: decoding it would fail in another way."""
    body = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + body + zlib.crc32(body).to_bytes(4, "big") + b"\0\0\0\0IDAT\x35\xaf\x06\x1e"


JPEG = saved(Image.fromarray(picture()), "JPEG", quality=95)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", "empty_file"),
        (b"This is a text, whatever its name says.", "undecodable_image"),
        (JPEG[: len(JPEG) // 2], "undecodable_image"),
        (JPEG[:3], "undecodable_image"),
        (b"RIFF\0\0\0\0WAVEfmt ", "undecodable_image"),
        (saved(Image.new("RGB", (64, 64)), "ICO"), "undecodable_image"),
        (png_header(100_000, 100_000), "image_too_large"),
        (png_header(0, 10), "undecodable_image"),
        (saved(Image.new("RGB", (1, 1)), "PNG"), "image_too_small"),
        (saved(Image.new("RGB", (4000, 2)), "JPEG"), "image_too_small"),
    ],
)
def test_bad_bytes_have_a_status(data: bytes, status: str) -> None:
    for read in (images.decode, images.probe):
        with pytest.raises(images.ImageError) as caught:
            read(data)
        assert caught.value.status == status
        assert caught.value.error


def test_too_large_is_known_before_decoding() -> None:
    data = saved(Image.fromarray(picture(24, 32)), "PNG")
    assert images.decode(data, max_pixels=24 * 32).shape == (24, 32, 3)
    with pytest.raises(images.ImageError, match="image_too_large"):
        images.decode(data, max_pixels=24 * 32 - 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_formats_keep_the_colours(kind: str) -> None:
    data = saved(Image.fromarray(picture()), kind, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))
    assert images.probe(data) == (32, 24, kind)
    error = np.abs(images.decode(data).astype(int) - picture())
    assert error.mean() < 4


def test_animated_gif_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (16, 12), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert images.probe(data) == (16, 12, "GIF")
    assert (images.decode(data) == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_converted_to_rgb(kind: str) -> None:
    data = saved(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), kind)
    assert np.abs(images.decode(data)[8, 8].astype(int) - (0, 255, 255)).max() < 12


def test_greyscale_of_8_and_16_bits_look_the_same() -> None:
    grey = picture()[..., 0]
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    for data in (saved(Image.fromarray(grey), "PNG"), saved(deep, "PNG"), saved(deep, "TIFF")):
        assert (images.decode(data) == grey[..., None]).all()
    floats = saved(Image.fromarray(grey.astype(np.float32) / 255), "TIFF")
    assert (images.decode(floats) == grey[..., None]).all()


def test_transparency_is_composited_on_white() -> None:
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([0, 0, 0, 0, 0, 255])
    palette.paste(1, (8, 0, 16, 16))
    data = saved(palette, "PNG", transparency=0)
    rgb = images.decode(data)
    assert (rgb[:, :8] == 255).all()
    assert (rgb[:, 8:] == (0, 0, 255)).all()
    half = saved(Image.new("RGBA", (16, 16), (0, 0, 0, 128)), "WEBP", lossless=True)
    assert np.abs(images.decode(half).astype(int) - 127).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(kind: str, orientation: int) -> None:
    upright = Image.fromarray(picture())
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    undo |= {o: images._ORIENTATION[o] for o in (2, 3, 4, 5, 7)}
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(stored, kind, exif=exif)
    assert images.probe(data) == (32, 24, kind)
    assert np.abs(images.decode(data).astype(int) - picture()).mean() < 8
    assert images.is_turned_at_same_size(data) == (orientation in (2, 3, 4)), "a quarter turn of 32 x 24 pixels can be seen"


def test_a_damaged_exif_block_does_not_spoil_the_pixels() -> None:
    data = saved(Image.fromarray(picture()), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert images.decode(data).shape == (24, 32, 3)
    assert not images.is_turned_at_same_size(data)


def test_the_open_of_another_library_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """One detector library replaces Image.open by a version that installs packages when it cannot read a
    file.
    """

    def fail(*_: object, **__: object) -> None:
        pytest.fail("Image.open was called")

    monkeypatch.setattr(Image, "open", fail)
    assert images.decode(JPEG).shape == (24, 32, 3)
    with pytest.raises(images.ImageError):
        images.decode(b"not an image")
    assert "pi_heif" not in sys.modules


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(images.FORMATS),
    st.lists(st.tuples(st.floats(0, 0.999), st.binary(min_size=1, max_size=4)), max_size=5),
    st.floats(0, 1),
)
def test_damaged_files_are_pixels_or_an_image_error(kind: str, edits: list[tuple[float, bytes]], keep: float) -> None:
    data = bytearray(saved(Image.fromarray(picture()), kind))
    for place, junk in edits:
        start = int(place * len(data))
        data[start : start + len(junk)] = junk
    try:
        rgb = images.decode(bytes(data[: int(keep * len(data)) + 1]), max_pixels=100_000)
    except images.ImageError as problem:
        assert problem.status in {"undecodable_image", "image_too_large", "image_too_small"}
    else:
        assert rgb.dtype == np.uint8
        assert rgb.ndim == 3


@given(st.integers(8, 300), st.integers(8, 300), st.integers(16, 200))
def test_shrink_bounds_the_longer_side_and_never_enlarges(height: int, width: int, side: int) -> None:
    small = images.shrink(np.zeros((height, width, 3), np.uint8), side)
    assert max(small.shape[:2]) == min(side, max(height, width))
    assert images.MIN_SIDE <= min(small.shape[:2]) <= min(height, width)
    assert small.shape[:2] == images.shrunk_size(height, width, side)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_encode_is_repeatable_and_png_keeps_every_pixel(kind: str) -> None:
    codec = CodecSettings.model_validate({"format": kind})
    data = images.encode(picture(), codec)
    assert data == images.encode(picture(), codec)
    assert images.probe(data) == (32, 24, kind.upper())
    assert kind != "png" or (images.decode(data) == picture()).all()
