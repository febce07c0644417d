"""Settings of the segmenter."""

from typing import Literal

from pydantic import Field

from udfs.sections import LATER, NO_ROWS, Section


class SegmenterSettings(Section):
    """The model that finds and outlines objects; ``recheck`` looks at the dual images with it too."""

    kind: Literal["yolo", "maskrcnn", "sam", "open_vocabulary", "grounded", "annotations"] = Field(
        "yolo", description="model family; grounded: the captions' own phrases are looked for"
    )
    weights: str = Field("", description="file or hub name; maskrcnn: a state dict; sam, open_vocabulary, grounded: a folder")
    box_weights: str = Field(
        "", description="sam: the box detector's weights (yolo); open_vocabulary, grounded: the SAM folder for masks"
    )
    box_masks: Literal["grabcut", "box", "none"] = Field(
        "grabcut", description="annotations: the mask of a box without an outline; none: such an image is `no_mask`", **LATER
    )
    confidence: float = Field(0.15, gt=0, lt=1, description="detections below this score are dropped")
    image_size: int = Field(640, ge=32, description="longer side that the model gets images in, in pixels")
    batch_size: int = Field(8, ge=1, description="images in one forward pass", **NO_ROWS)
    max_instances: int = Field(100, ge=1, description="most detections kept for an image, best first")
