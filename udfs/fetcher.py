"""The role that reads and checks the bytes of records; what it passes can be decoded by every later stage."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from udfs import clock
from udfs.fetch import FetchError, fetch
from udfs.images import ImageError, probe
from udfs.role import Failure, Row

if TYPE_CHECKING:
    from jobs.settings import Settings


class Fetcher:
    """Role: row {"locator", "bytes"} -> {"image", "content_sha256", "width", "height", "format"}.

    ``bytes`` are there already for rows of Parquet files, which are joined and not opened; else the locator is opened.
    """

    name = "fetch"
    version = "1"

    def __init__(self, settings: "Settings", device: str) -> None:
        self.limits = settings.ingest

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Read each row; a file that is missing, too large or no image is a failure with that status."""
        return [self._read(row) for row in rows]

    def _read(self, row: Row) -> Row | Failure:
        try:
            with clock.spend("load"):
                data, locator = row["bytes"], row["locator"]
                if data is None and locator and locator.get("offset") is not None and locator.get("length") is None:
                    raise FetchError("missing_file", f"{locator['path']} has no row {locator['offset']} any more")
                if data is None:
                    data = fetch(locator, self.limits.max_bytes)
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
