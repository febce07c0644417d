"""Every option of a training run, in one validated object: the only place where a default is written.

``run_hash`` covers what changes the trained weights and nothing else: a run is resumed only under the same hash, and a checkpoint
of another run is never mistaken for this one's.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

# Marks what changes no weight: where and how often something is written, who reads, and how fast.
NO_WEIGHTS: dict[str, Any] = {"json_schema_extra": {"weights": False}}


class OptionsError(ValueError):
    """An option is unknown, has a bad value, or does not go with another; the message says which."""


class Options(BaseModel):
    """A training run. Sizes are images; a step's batch is that of all processes together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    snapshot: str = Field(description="folder of a published snapshot, or its manifest", **NO_WEIGHTS)
    output: str = Field(description="folder of the run; the same command again resumes what is in it", **NO_WEIGHTS)
    method: str = Field("clip", description="clip, negclip, simclip, ce_clip, svlc, laclip, coca, powerset, or powerset+another")
    method_options: dict[str, Any] = Field(default_factory=dict, description="of the method, as name=value")

    model: str = Field("ViT-B-32", description="open_clip name, JSON config, folder of both, or embedded:NAME")
    checkpoint: str = Field("", description="weights to start from: safetensors or a torch file of tensors; empty: from nothing")
    freeze: Literal["", "image", "text"] = Field("", description="tower that is not trained")
    lora_rank: int = Field(0, ge=0, description="rank of LoRA on --lora-layers, all else frozen; 0: all weights are trained")
    lora_layers: str = Field("c_fc,c_proj", description="names of the linear layers of both towers that LoRA goes on")
    lora_alpha: int = Field(16, ge=1, description="LoRA's scale is this over the rank")
    wise_ft: float = Field(
        1.0, ge=0, le=1, description="weights written: (1 - this) of the start and this of the end; 1: the end's"
    )
    max_logit_scale: float = Field(100.0, gt=0, description="the logit scale is clamped to 1 .. this after each step")

    steps: int = Field(1000, ge=1, description="optimiser steps of the whole run")
    batch_size: int = Field(128, ge=1, description="images a step, over all processes")
    accumulation: int = Field(
        1, ge=1, description="parts that a process embeds its images in: less memory, twice the forward work"
    )
    lr: float = Field(1e-5, gt=0, description="peak learning rate of AdamW")
    warmup: int = Field(50, ge=0, description="steps of linear warm-up")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="after the warm-up")
    weight_decay: float = Field(0.1, ge=0, description="of matrices; vectors, norms and the logit scale have none")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's first")
    beta2: float = Field(0.98, ge=0, lt=1, description="AdamW's second")
    epsilon: float = Field(1e-6, gt=0, description="AdamW's")
    clip_gradient: float = Field(0.0, ge=0, description="largest norm of the towers' gradient; 0: any")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="bf16 is autocast over fp32 weights; auto: on a GPU that has it"
    )
    zero: int = Field(
        0, ge=0, le=3, description="DeepSpeed's ZeRO stage: what of the optimiser, gradients and weights is sharded", **NO_WEIGHTS
    )
    seed: int = Field(0, ge=0, description="of fresh weights and everything drawn")

    augment: bool = Field(True, description="cut out 90 to 100% of each image at random")
    flip: bool = Field(False, description="mirror half of the images; falsifies left and right")
    warmup_neighbours: int = Field(0, ge=0, description="steps over which the share of near neighbours grows (simclip)")
    validation: str = Field("", description="snapshot to validate on; empty: --held-out of the training snapshot")
    held_out: float = Field(0.05, ge=0, lt=1, description="share of families kept from training, by a hash of the record id")
    validation_images: int = Field(512, ge=2, description="images validated on at most", **NO_WEIGHTS)
    eval_every: int = Field(100, ge=0, description="steps between validations; 0: none", **NO_WEIGHTS)
    save_every: int = Field(100, ge=0, description="steps between checkpoints; 0: only the last", **NO_WEIGHTS)
    keep: int = Field(2, ge=1, description="checkpoints kept", **NO_WEIGHTS)

    reader: Literal["petastorm", "pyarrow"] = Field("petastorm", description="who reads the snapshot's files", **NO_WEIGHTS)
    pool: Literal["thread", "process", "dummy"] = Field(
        "thread", description="petastorm's workers; dummy: none at all", **NO_WEIGHTS
    )
    workers: int = Field(2, ge=1, description="reading workers, and threads that decode", **NO_WEIGHTS)
    buffer_families: int = Field(4096, ge=1, description="families that a batch is drawn from")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA where there is one", **NO_WEIGHTS)
    mlflow: str = Field("", description="tracking URI, such as databricks or a folder; empty: no tracking", **NO_WEIGHTS)

    @model_validator(mode="after")
    def _together(self) -> "Options":
        if self.warmup >= self.steps and self.warmup:
            raise ValueError(f"warmup {self.warmup} leaves nothing of {self.steps} steps")
        if self.lora_rank and self.freeze:
            raise ValueError("LoRA freezes both towers already: leave out freeze")
        if self.wise_ft < 1 and not self.pretrained:
            raise ValueError("wise_ft interpolates with the weights of a checkpoint: there is none")
        if self.lora_rank and not self.pretrained:
            raise ValueError("LoRA changes the weights of a checkpoint a little: there is none")
        return self

    @property
    def pretrained(self) -> bool:
        """Whether there are weights to start from."""
        return bool(self.checkpoint) or Path(self.model).is_dir()

    @property
    def run_hash(self) -> str:
        """Sixteen hexadecimal digits over what changes the weights."""
        marked = NO_WEIGHTS["json_schema_extra"]
        chosen = [name for name, field in type(self).model_fields.items() if field.json_schema_extra != marked]
        tree = {name: getattr(self, name) for name in sorted(chosen)}
        return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]

    def differing(self) -> dict[str, Any]:
        """What is not the default."""
        return self.model_dump(exclude_defaults=True)


def make_options(values: dict[str, Any]) -> Options:
    """Validate plain values.

    Raises:
        OptionsError: says in one line what is wrong.
    """
    try:
        return Options.model_validate(values)
    except ValidationError as problem:
        lines = [": ".join([*map(str, one["loc"]), one["msg"].removeprefix("Value error, ")]) for one in problem.errors()]
        raise OptionsError("; ".join(lines)) from None


def learning_rate(options: Options, step: int) -> float:
    """Of step 0, 1, ...: linear up to the peak, then along half a cosine to 0 after the last step, or constant."""
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    if options.schedule == "constant":
        return options.lr
    done = (step - options.warmup) / (options.steps - options.warmup)
    return options.lr * (1 + math.cos(math.pi * done)) / 2
