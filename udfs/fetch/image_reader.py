"""The role that reads and checks the image bytes of records. Every later stage can decode what it lets through."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from udfs import clock
from udfs.fetch.locator import FetchError, Locator, read_bytes
from udfs.fetch.parquet_file import why_lost
from udfs.images import ImageError, probe
from udfs.role import Failure

if TYPE_CHECKING:
    from udfs.settings import RoleSettings


class LocatedRow(TypedDict):
    """What ``ImageReader`` reads: where a record's image is.

    ``bytes`` are the image itself for rows of Parquet files, whose bytes come by a join: empty where the row has no image, None
    where the row was not found. For all others it is None, and the locator is opened.
    """

    locator: Locator | None
    bytes: bytes | None


class ImageRow(TypedDict):
    """What ``ImageReader`` returns: bytes that ``udfs.images.decode`` can read, and their SHA-256, size and format."""

    image: bytes
    content_sha256: str
    width: int
    height: int
    format: str


class ImageReader:
    """Role: ``LocatedRow`` -> ``ImageRow``."""

    name = "fetch"
    version = "2"  # 2: limits on scans, tiles and metadata (udfs.image_limits)

    def __init__(self, settings: "RoleSettings", device: str) -> None:
        self.limits = settings.ingest

    def __call__(self, rows: Sequence[LocatedRow]) -> list[ImageRow | Failure]:
        """Read each row; a file that is missing, too large or no image is a failure with that status."""
        return [self._read(row) for row in rows]

    def _read(self, row: LocatedRow) -> ImageRow | Failure:
        try:
            with clock.spend("load"):
                data, locator = row["bytes"], row["locator"]
                if locator and locator.get("offset") is not None and locator.get("length") is None:
                    if data is None:
                        raise why_lost(locator)
                    if not data:
                        raise FetchError("empty_file", f"row {locator['offset']} of {locator['path']} has no image")
                if data is None:
                    data = read_bytes(locator, self.limits.max_bytes)
                elif len(data) > self.limits.max_bytes:
                    raise FetchError("file_too_large", f"{len(data)} bytes, more than {self.limits.max_bytes}")
            with clock.spend("decode"):
                width, height, kind = probe(data, self.limits.max_pixels)
        except (FetchError, ImageError) as problem:
            return Failure(problem.status, problem.error)
        return {
            "image": data,
            "content_sha256": hashlib.sha256(data).hexdigest(),
            "width": width,
            "height": height,
            "format": kind,
        }
