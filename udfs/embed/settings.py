"""Settings of the embedder."""

from pydantic import Field

from udfs.sections import NO_ROWS, Section


class EmbedderSettings(Section):
    """The CLIP model behind the similarity columns. By default there is none, and the columns are null."""

    model: str = Field("", description="open_clip model name or config file; empty: no CLIP columns")
    checkpoint: str = Field("", description="local checkpoint (safetensors or a state dict), or a pretrained tag")
    batch_size: int = Field(32, ge=1, description="images or texts in one forward pass", **NO_ROWS)
