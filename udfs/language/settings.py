"""Settings of a language model, in whichever role."""

import re
from typing import Literal

from pydantic import Field, field_validator

from udfs.sections import NO_ROWS, Section


class LanguageModel(Section):
    """A language model in one of its roles; ``rules`` needs nothing else."""

    kind: Literal["rules", "transformers", "openai"] = Field("rules", description="where the model runs")
    model: str = Field("", description="local folder, GGUF file or hub name; for openai the served model's name")
    base_url: str = Field("", description="openai: the endpoint, such as http://localhost:8000/v1", **NO_ROWS)
    api_key_env: str = Field("OPENAI_API_KEY", description="openai: environment variable that holds the key", **NO_ROWS)
    timeout_s: float = Field(
        60.0, gt=0, description="openai: seconds that a whole call may take, before it is tried again", **NO_ROWS
    )
    max_retries: int = Field(4, ge=0, description="openai: tries after the first, with backoff", **NO_ROWS)
    concurrency: int = Field(8, ge=1, description="openai: calls in flight in one worker", **NO_ROWS)
    batch_size: int = Field(16, ge=1, description="transformers: prompts in one forward pass", **NO_ROWS)
    max_new_tokens: int = Field(64, ge=1, description="the longest reply, in tokens")
    prefix_cache: bool = Field(True, description="transformers: encode the shared examples once", **NO_ROWS)
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="transformers: weights")

    @field_validator("api_key_env")
    @classmethod
    def _is_a_name(cls, api_key_env: str) -> str:
        if not re.fullmatch(r"[A-Za-z_]\w*", api_key_env):  # the message does not quote it, as settings are stored
            raise ValueError("it must be the name of an environment variable, and not the key itself")
        return api_key_env
