"""Settings of the image encoder."""

from typing import Literal

from pydantic import Field

from udfs.sections import Section


class CodecSettings(Section):
    """How dual images, originals included, are encoded."""

    format: Literal["png", "jpeg", "webp"] = Field("jpeg", description="png keeps every pixel")
    quality: int = Field(92, ge=1, le=100, description="jpeg and webp quality")
    max_side: int = Field(
        640, ge=16, description="images whose longer side is larger are scaled down to it before anything is removed"
    )
