"""Settings of the inpainter."""

from typing import Literal

from pydantic import Field

from udfs.sections import LATER, NO_ROWS, Section


class InpainterSettings(Section):
    """The model that fills the place of removed components."""

    kind: Literal["opencv", "patchmatch", "diffusers", "torchscript"] = Field("opencv", description="model family")
    weights: str = Field("", description="diffusers: pipeline folder or hub name; torchscript: a file that is called as LaMa is")
    method: Literal["telea", "ns"] = Field("ns", description="opencv: the algorithm")
    radius: float = Field(5.0, gt=0, description="opencv: neighbourhood in pixels")
    detail: float = Field(
        0.0, ge=0, le=1, description="opencv: share of the surroundings' detail that is laid over the smooth fill", **LATER
    )
    dilate: float = Field(0.012, ge=0, description="mask dilation, as a share of the image's longer side")
    feather: float = Field(0.006, ge=0, description="soft border inside the dilated mask, as a share of the longer side")
    context: float = Field(0.5, ge=0, description="crop margin around a group, as a share of its longer side")
    reuse: bool = Field(
        True, description="fill groups that do not touch separately and paste the fills; false: fill every subset"
    )
    prompt: str = Field("empty background, no objects", description="diffusers: the same prompt for every image")
    negative_prompt: str = Field("object, person, animal, text", description="diffusers: what not to paint")
    steps: int = Field(30, ge=1, description="diffusers: denoising steps")
    guidance: float = Field(7.5, ge=0, description="diffusers: guidance scale")
    size: int = Field(
        512,
        ge=8,
        description="pixels; diffusers: the side of the crop given to the model; torchscript: larger crops are scaled down",
    )
    batch_size: int = Field(4, ge=1, description="diffusers: crops in one forward pass", **NO_ROWS)
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="diffusers: precision of the weights")
    seed: int = Field(0, ge=0, description="mixed into the seed of every hole")
