"""All options of a training run in one validated object, the only place that has their defaults.

``run_hash`` covers exactly the options that change the trained weights. A run is resumed only under the same hash, so the
checkpoint of another run is never mistaken for its own.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from udfs.errors import DualsetError

# Marks options that change no weight: where and how often something is written, which library reads, and how fast.
NO_WEIGHTS: dict[str, Any] = {"json_schema_extra": {"weights": False}}


class OptionsError(DualsetError, ValueError):
    """An option is unknown, has an invalid value, or conflicts with another one; the message names it."""


class Options(BaseModel):
    """A training run. A batch is that of all processes together; its size is in images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    snapshot: str = Field(description="folder of a published snapshot, or its manifest", **NO_WEIGHTS)
    output: str = Field(description="folder of the run; the same command resumes the run in it", **NO_WEIGHTS)
    method: str = Field(
        "clip",
        description="clip, negclip, simclip, ce_clip, svlc, laclip, coca, powerset, or powerset+OTHER, such as powerset+negclip",
    )
    method_options: dict[str, Any] = Field(default_factory=dict, description="option of the method, as name=value")

    model: str = Field(
        "ViT-B-32", description="open_clip model name, JSON config file, folder with config and weights, or embedded:NAME"
    )
    checkpoint: str = Field(
        "", description="weights to start from: a safetensors file, a torch file of tensors, or an open_clip tag; empty: random"
    )
    freeze: Literal["", "image", "text"] = Field("", description="tower whose weights are frozen; empty: none")
    lora_rank: int = Field(
        0, ge=0, description="rank of LoRA on --lora-layers, with all other weights frozen; 0: no LoRA, all weights are trained"
    )
    lora_layers: str = Field("c_fc,c_proj", description="names of the linear layers with LoRA, in both towers")
    lora_alpha: int = Field(16, ge=1, description="LoRA's alpha: the update is scaled by alpha / rank")
    wise_ft: float = Field(
        1.0,
        ge=0,
        le=1,
        description="WiSE-FT: share of the trained weights in the exported ones, the rest is the start's; 1: trained only",
    )
    max_logit_scale: float = Field(
        100.0, gt=0, description="upper limit of the logit scale; it is clamped to 1 .. this after each step"
    )

    steps: int = Field(1000, ge=1, description="optimiser steps of the whole run")
    batch_size: int = Field(128, ge=1, description="images per step, over all processes")
    accumulation: int = Field(
        1, ge=1, description="gradient caching: a process embeds its images in so many parts; less memory, two forward passes"
    )
    lr: float = Field(1e-5, gt=0, description="peak learning rate of AdamW")
    warmup: int = Field(50, ge=0, description="steps of linear warm-up of the learning rate")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="learning rate after the warm-up: cosine decay to 0, or constant"
    )
    weight_decay: float = Field(
        0.1, ge=0, description="AdamW's weight decay, of matrices; biases, norms and the logit scale have none"
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's beta1")
    beta2: float = Field(0.98, ge=0, lt=1, description="AdamW's beta2")
    epsilon: float = Field(1e-6, gt=0, description="AdamW's epsilon")
    clip_gradient: float = Field(0.0, ge=0, description="gradient clipping: largest norm of the towers' gradient; 0: none")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="bf16: autocast with fp32 weights; auto: bf16 on a GPU that supports it, else fp32"
    )
    zero: int = Field(
        0,
        ge=0,
        le=3,
        description="DeepSpeed's ZeRO stage: shard nothing (0), optimiser state (1), gradients too (2), weights too (3)",
        **NO_WEIGHTS,
    )
    seed: int = Field(0, ge=0, description="seed of random weights and of everything drawn")

    augment: bool = Field(True, description="random crops of 90 to 100% of each image's area")
    flip: bool = Field(False, description="mirror half of the images; captions with left and right become false")
    warmup_neighbours: int = Field(
        0, ge=0, description="steps over which the share of near neighbours in a batch grows to its full size (negclip, simclip)"
    )
    validation: str = Field("", description="snapshot to validate on; empty: the held-out families of the training snapshot")
    held_out: float = Field(
        0.05, ge=0, lt=1, description="share of families held out from training for validation, by a hash of the record id"
    )
    validation_images: int = Field(512, ge=2, description="largest number of images to validate on", **NO_WEIGHTS)
    eval_every: int = Field(100, ge=0, description="steps between validations; 0: none", **NO_WEIGHTS)
    save_every: int = Field(100, ge=0, description="steps between checkpoints; 0: only after the last step", **NO_WEIGHTS)
    keep: int = Field(2, ge=1, description="number of latest checkpoints to keep", **NO_WEIGHTS)

    reader: Literal["petastorm", "pyarrow"] = Field(
        "petastorm", description="library that reads the snapshot's files", **NO_WEIGHTS
    )
    pool: Literal["thread", "process", "dummy"] = Field(
        "thread", description="petastorm's worker pool; dummy: read and decode in the training thread", **NO_WEIGHTS
    )
    workers: int = Field(2, ge=1, description="workers that read, and threads that decode", **NO_WEIGHTS)
    buffer_families: int = Field(4096, ge=1, description="size of the shuffle buffer that batches are drawn from, in families")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: a CUDA device if there is one, else the CPU", **NO_WEIGHTS
    )
    mlflow: str = Field("", description="MLflow tracking URI, such as databricks or a folder; empty: no MLflow", **NO_WEIGHTS)

    @model_validator(mode="after")
    def _together(self) -> "Options":
        if self.warmup >= self.steps and self.warmup:
            raise ValueError(f"a warmup of {self.warmup} leaves nothing of {self.steps} steps")
        if self.lora_rank and self.freeze:
            raise ValueError("LoRA already freezes both towers: leave out --freeze")
        if self.wise_ft < 1 and not self.pretrained:
            raise ValueError("wise_ft interpolates with the weights of a checkpoint, but there is none: give --checkpoint")
        if self.lora_rank and not self.pretrained:
            raise ValueError("LoRA adapts the weights of a checkpoint, but there is none: give --checkpoint")
        return self

    @property
    def pretrained(self) -> bool:
        """Whether there are weights to start from."""
        return bool(self.checkpoint) or Path(self.model).is_dir()

    @property
    def run_hash(self) -> str:
        """Hash of the options that change the weights: 16 hexadecimal digits."""
        marked = NO_WEIGHTS["json_schema_extra"]
        names = [name for name, field in type(self).model_fields.items() if field.json_schema_extra != marked]
        tree = {name: getattr(self, name) for name in sorted(names)}
        return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]

    def differing(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        return self.model_dump(exclude_defaults=True)


def make_options(values: dict[str, Any]) -> Options:
    """Options from plain values.

    Raises:
        OptionsError: values are invalid; one line says which and why.
    """
    try:
        return Options.model_validate(values)
    except ValidationError as problem:
        errors = problem.errors()
        lines = [": ".join([*map(str, error["loc"]), error["msg"].removeprefix("Value error, ")]) for error in errors]
        raise OptionsError("; ".join(lines)) from None


def learning_rate(options: Options, step: int) -> float:
    """The learning rate of step 0, 1, ...: linear up to the peak, then half a cosine to 0 after the last step, or constant."""
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    if options.schedule == "constant":
        return options.lr
    done = (step - options.warmup) / (options.steps - options.warmup)
    return options.lr * (1 + math.cos(math.pi * done)) / 2
