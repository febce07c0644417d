"""The model of a run: an open_clip model from local files, which of its weights are trained, and export in open_clip's format.

The logit scale is trained outside the network. It is a single number whose gradient is the same in every process (each computes
the loss of the whole batch), and as it is clamped after each step it cannot be part of a ZeRO partition.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.data.decode import Pixels
from training.options import Options, OptionsError
from training.padding import cut_padding
from udfs.embed.clip import check_activation, register
from udfs.weights import locate, reading, version_of

State = dict[str, Tensor]
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"  # file names that open_clip expects in a model folder


@dataclass
class Model:
    """An open_clip model to be trained.

    Args:
        network: with a buffer in place of its logit scale.
        log_scale: float32 [], the logarithm of the logit scale.
        tokenize: texts to int64 [N, L].
        config: open_clip builds the same network from it.
        keys: names and shapes of the network's state.
        version: hash of the weights that training starts from.
    """

    network: nn.Module
    log_scale: nn.Parameter
    tokenize: Any
    config: dict[str, Any]
    keys: dict[str, torch.Size]
    version: str

    @property
    def pixels(self) -> Pixels:
        """How the image tower takes images, without augmentation: as in validation."""
        return Pixels.of(self.network.visual, augment=False)


def build(options: Options, world: int = 1) -> Model:
    """Build the model on the CPU in float32, identical in every process.

    Raises:
        OptionsError: there is no such model or checkpoint, the checkpoint was trained with the other activation, the model cannot
            be trained with these options, or it has no layers for LoRA.
    """
    import open_clip

    options = _located(options)
    name, settings = _named(options)
    torch.manual_seed(options.seed)
    try:
        # Not `create_model`, which ignores the preprocessing in a config file.
        with reading(options.checkpoint):
            network, *_ = open_clip.create_model_and_transforms(
                name, pretrained=options.checkpoint or None, precision="fp32", **settings
            )
    except (RuntimeError, ValueError) as problem:
        raise OptionsError(f"model {options.model}, checkpoint {options.checkpoint or 'none'}: {problem}") from problem
    if hasattr(network, "text_decoder") and not options.pretrained:
        # open_clip 3.3 leaves a captioner's last matrix uninitialised, and its own initialisation cannot be called.
        last = network.text_decoder.text_projection
        torch.nn.init.normal_(last, std=len(last) ** -0.5)
    config = open_clip.get_model_config(name)
    keys = {key: value.shape for key, value in network.state_dict().items()}
    tokenize = open_clip.get_tokenizer(name)
    log_scale = _take_scale(network)
    _settle_batch_norm(network, options, world)
    _freeze(network, options)
    if options.lora_rank:
        _add_lora(network, options)
    cut_padding(network)
    version = version_of(options.model, *([options.checkpoint] if options.checkpoint else [f"seed {options.seed}"]))
    return Model(network, log_scale, tokenize, config, keys, version)


def plain_state(model: Model) -> State:
    """All weights of the network under open_clip's names, on the CPU, with LoRA merged and the logit scale put back.

    Under ZeRO 3 call it in all processes, inside ``gathered``.
    """
    state: State = {}
    deltas: State = {}
    for prefix, module in model.network.named_modules():
        for name, value in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            key = f"{prefix}.{name}".removeprefix(".").replace(".base_layer.", ".")
            if key in model.keys:
                state[key] = value.detach().to("cpu", copy=True)
        if (delta := _lora_delta(module)) is not None:
            deltas[f"{prefix}.weight"] = delta
    for key, delta in deltas.items():
        state[key] += delta
    state["logit_scale"] = model.log_scale.detach().cpu().reshape(model.keys["logit_scale"])
    for key in model.keys.keys() - state.keys():
        if not key.endswith("num_batches_tracked"):  # frozen batch norms have none, and nothing depends on it
            raise RuntimeError(f"the network has no weight {key} any more")
        state[key] = torch.zeros((), dtype=torch.int64)
    return {key: state[key].reshape(model.keys[key]).contiguous() for key in model.keys}


def interpolated(start: State, end: State, share: float) -> State:
    """WiSE-FT: (1 - share) times the start's weights plus share times the end's.

    With a share of 0 or 1 the weights are exactly the start's or the end's. Wortsman et al. 2022, arXiv 2109.01903, equation 1.
    """
    if share in (0.0, 1.0):
        return dict(end if share else start)
    floats = {key for key, value in end.items() if value.is_floating_point()}
    return {key: torch.lerp(start[key], end[key], share) if key in floats else end[key] for key in end}


def export(model: Model, state: State, folder: Path) -> None:
    """Write weights and config as a folder that open_clip and ``embedder.model`` can load, completely or not at all."""
    from safetensors.torch import save_file

    visual: Any = model.network.visual
    preprocess = {"mean": tuple(visual.image_mean), "std": tuple(visual.image_std)} | {
        key: value for key, value in getattr(visual, "preprocess_cfg", {}).items() if key in ("interpolation", "resize_mode")
    }
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    save_file(state, partial / WEIGHTS)
    (partial / CONFIG).write_text(json.dumps({"model_cfg": model.config, "preprocess_cfg": preprocess}, indent=2), "utf-8")
    settle(partial, folder)


def settle(partial: Path, folder: Path) -> None:
    """Rename a finished folder to its final name, after its files have been synced to disk."""
    import shutil

    for file in [*partial.rglob("*"), partial]:
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    handle = os.open(folder.parent, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


@contextmanager
def gathered(model: Model) -> Iterator[None]:
    """Give every process all weights, under any ZeRO stage."""
    import deepspeed

    with deepspeed.zero.GatheredParameters(list(model.network.parameters())):
        yield


def _located(options: Options) -> Options:
    """The options with ``embedded:NAME`` resolved to the path of a model in this package."""
    try:
        return options.model_copy(update={"model": locate(options.model), "checkpoint": locate(options.checkpoint)})
    except FileNotFoundError as problem:
        raise OptionsError(str(problem)) from None


def _named(options: Options) -> tuple[str, dict[str, Any]]:
    import open_clip

    name, checkpoint = options.model, options.checkpoint
    if Path(name).is_dir():
        if checkpoint:
            raise OptionsError(f"{name} is a folder that has its own weights: leave out --checkpoint")
        return f"local-dir:{name}", {}
    if checkpoint and not Path(checkpoint).is_file() and checkpoint not in open_clip.list_pretrained_tags_by_model(name):
        raise OptionsError(f"no checkpoint {checkpoint!r}: it is neither a file nor an open_clip tag of {name}")
    if Path(name).is_file():
        return register(Path(name))
    try:
        check_activation(name, checkpoint)
    except ValueError as problem:
        raise OptionsError(str(problem).replace("embedder.model=", "the model to ")) from None
    return name, {}


def _take_scale(network: nn.Module) -> nn.Parameter:
    """Make logit scale and bias buffers, not parameters: some models' forward still reads them. Returns the scale."""
    log_scale = nn.Parameter(network.logit_scale.detach().clone().reshape(()))  # type: ignore[operator]
    for name in ("logit_scale", "logit_bias"):
        value = getattr(network, name, None)
        if isinstance(value, nn.Parameter):
            delattr(network, name)
            network.register_buffer(name, value.detach().reshape(-1))
    return log_scale


def _settle_batch_norm(network: nn.Module, options: Options, world: int) -> None:
    """Freeze batch norms at the checkpoint's statistics: those of a batch would differ between processes and between parts."""
    from open_clip.utils import freeze_batch_norm_2d

    norms = [name for name, module in network.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if norms and options.pretrained:
        freeze_batch_norm_2d(network)
        norms = [name for name, module in network.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        if norms:
            raise OptionsError(f"{options.model} has batch norms that cannot be frozen, for example {norms[0]}")
    if norms and (world > 1 or options.accumulation > 1):
        raise OptionsError(
            f"{options.model} has batch norms, for example {norms[0]}: without a checkpoint use one process and accumulation 1"
        )


def _freeze(network: nn.Module, options: Options) -> None:
    if options.freeze == "image":
        network.lock_image_tower(unlocked_groups=0, freeze_bn_stats=False)  # type: ignore[operator]
    if options.freeze == "text":
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith("visual."))


def _add_lora(network: nn.Module, options: Options) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    names = tuple(name.strip() for name in options.lora_layers.split(",") if name.strip())
    layers = [name for name, module in network.named_modules() if type(module) is nn.Linear and name.split(".")[-1] in names]
    if not layers:
        raise OptionsError(f"{options.model} has no linear layer named {' or '.join(names)}: see --lora-layers")
    torch.manual_seed(options.seed)
    inject_adapter_in_model(
        LoraConfig(r=options.lora_rank, lora_alpha=options.lora_alpha, lora_dropout=0.0, target_modules=layers), network
    )


def _lora_delta(module: nn.Module) -> Tensor | None:
    from peft.tuners.lora import LoraLayer

    if not isinstance(module, LoraLayer):
        return None
    return module.get_delta_weight("default").detach().float().cpu()
