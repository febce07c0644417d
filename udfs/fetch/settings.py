"""Settings of ingest: the limits on what is read from sources."""

from pydantic import Field

from udfs.sections import Section


class IngestSettings(Section):
    """Reading of sources."""

    batch_records: int = Field(1000, ge=1, description="records in an ingest batch, the unit of all later work")
    # Only in the hash of ingest, though later stages decode under this limit too: a larger image never gets past ingest, and a
    # lower limit in a later stage only makes rows fail, with a reason.
    max_pixels: int = Field(50_000_000, ge=1, description="larger images are refused before decoding")
    max_bytes: int = Field(64_000_000, ge=1, description="larger files are refused before reading")
    max_caption_chars: int = Field(2000, ge=1, description="longer captions get the status too_long")
