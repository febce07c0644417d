"""Processes, DeepSpeed, and one optimiser step: embed, gather, loss, backward, clamp.

A contrastive loss depends on the whole batch, so it cannot be accumulated over parts. With ``accumulation`` (gradient caching) a
process embeds its share part by part without a graph, computes the gradient of the loss with respect to the features, and embeds
each part again with a graph to backpropagate it (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory
Limited Setup", arXiv 2101.06983).
"""

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.data.batch import Batch, Facts
from training.gather import gather, world
from training.methods import Loss, Method
from training.model import Model
from training.options import Options, OptionsError, learning_rate


@dataclass
class Engine:
    """A model under DeepSpeed, the method, and an optimiser for the logit scale, which is not part of the towers."""

    deepspeed: Any
    model: Model
    method: Method
    scale_optimizer: torch.optim.Optimizer
    options: Options
    device: torch.device

    @property
    def scale(self) -> Tensor:
        """The logit scale, which cosines are multiplied by: float32 [], with gradient."""
        return self.model.log_scale.exp()


class Towers(nn.Module):
    """Both towers as one module with one forward, as ZeRO requires. A captioner's loss is computed inside, next to its logits."""

    def __init__(self, network: nn.Module, method: Method) -> None:
        super().__init__()
        self.network = network
        self.captioner = getattr(method, "extra", None)

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Pixels [I, 3, H, W] and tokens [T, L] to unit features, float32 [I, D] and [T, D], and the captioner's loss or None."""
        network: Any = self.network
        if self.captioner is None:
            images, texts = network.encode_image(pixels, normalize=True), network.encode_text(tokens, normalize=True)
            return images.float(), texts.float(), None
        output = network(pixels, tokens)
        return output["image_features"].float(), output["text_features"].float(), self.captioner(output, tokens)


def start_processes(options: Options) -> tuple[int, int, torch.device]:
    """Join the launcher's process group, or start one with this process only; returns rank, number of processes and device.

    Raises:
        OptionsError: the device is cuda and there is none.
    """
    cuda = options.device == "cuda" or (options.device == "auto" and torch.cuda.is_available())
    if cuda and not torch.cuda.is_available():
        raise OptionsError("--device cuda: there is no CUDA device")
    if not cuda:
        os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ.setdefault("LOCAL_RANK", "0")  # DeepSpeed requires it
    import deepspeed
    from deepspeed.utils import logger

    logger.setLevel("WARNING")
    # Otherwise it compiles an all-reduce over shared memory at the start; gloo's needs no compiler.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    backend = "nccl" if cuda else "gloo"
    if "RANK" not in os.environ and not dist.is_initialized():
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    deepspeed.init_distributed(dist_backend=backend, verbose=False)
    return dist.get_rank(), dist.get_world_size(), device


def start_engine(model: Model, method: Method, options: Options, device: torch.device) -> Engine:
    """Wrap the model in DeepSpeed, with PyTorch's AdamW, which needs no compiler.

    Raises:
        OptionsError: batch size, processes and accumulation do not fit, or the model or method does not allow accumulation.
    """
    import deepspeed

    share, rest = divmod(options.batch_size, world())
    if rest or share % options.accumulation:
        raise OptionsError(
            f"batch_size {options.batch_size} is not a multiple of {world()} processes times {options.accumulation} parts"
        )
    if options.accumulation > 1 and hasattr(method, "extra"):
        raise OptionsError(f"accumulation caches features, but the loss of {method.name} needs more of the model than features")
    if options.accumulation > 1 and any(type(module).__name__ == "PatchDropout" for module in model.network.modules()):
        raise OptionsError(f"accumulation embeds each image twice, but {options.model} drops patches at random")
    if list(method.parameters()):
        raise RuntimeError(f"{method.name} has weights of its own, but no optimiser trains them")
    towers = Towers(model.network, method)
    trained = [parameter for parameter in towers.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": options.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    adam: dict[str, Any] = {"lr": options.lr, "betas": (options.beta1, options.beta2), "eps": options.epsilon}
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], fused=True, **adam)
    engine, *_ = deepspeed.initialize(
        model=towers, optimizer=optimizer, config=deepspeed_config(options, share, device), dist_init_required=False
    )
    model.log_scale = nn.Parameter(model.log_scale.detach().to(device))
    scale_optimizer = torch.optim.AdamW([model.log_scale], weight_decay=0.0, **adam)
    return Engine(engine, model, method.to(device), scale_optimizer, options, device)


def deepspeed_config(options: Options, share: int, device: torch.device) -> dict[str, Any]:
    """DeepSpeed's config. ``share``: images of one process in a step."""
    return {
        "train_micro_batch_size_per_gpu": share // options.accumulation,
        "gradient_accumulation_steps": options.accumulation,
        "zero_optimization": {"stage": options.zero},
        "zero_allow_untested_optimizer": True,
        "gradient_clipping": options.clip_gradient,
        "torch_autocast": {"enabled": uses_bf16(options, device), "dtype": "bfloat16"},
        "steps_per_print": 2**31,
    }


def uses_bf16(options: Options, device: torch.device) -> bool:
    """Whether the towers compute in bf16; the weights stay float32."""
    if options.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return options.precision == "bf16"


def train_step(engine: Engine, batch: Batch, step: int) -> Loss:
    """One optimiser step on this process's share of a batch; returns the loss of the whole batch."""
    rate = learning_rate(engine.options, step)
    for optimizer in (engine.deepspeed.optimizer, engine.scale_optimizer):
        for group in optimizer.param_groups:
            group["lr"] = rate
    pixels, tokens, facts = batch.pixels.to(engine.device), batch.tokens.to(engine.device), batch.facts.to(engine.device)
    loss = (_whole if engine.options.accumulation == 1 else _in_parts)(engine, pixels, tokens, facts)
    engine.scale_optimizer.step()
    engine.scale_optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        engine.model.log_scale.clamp_(0.0, torch.tensor(engine.options.max_logit_scale).log().item())
    return loss


def _whole(engine: Engine, pixels: Tensor, tokens: Tensor, facts: Facts) -> Loss:
    images, texts, extra = engine.deepspeed(pixels, tokens)
    loss = engine.method(*_gathered(images, texts, engine.scale, facts))
    total = loss.total if extra is None else loss.total + extra
    engine.deepspeed.backward(total)
    engine.deepspeed.step()
    parts = loss.parts if extra is None else loss.parts | {"extra": float(extra.detach())}
    return Loss(total.detach(), parts, loss.counts)


def _in_parts(engine: Engine, pixels: Tensor, tokens: Tensor, facts: Facts) -> Loss:
    parts = list(zip(pixels.chunk(engine.options.accumulation), _chunks(tokens, engine.options.accumulation), strict=True))
    with torch.no_grad():
        cached = [engine.deepspeed(*part)[:2] for part in parts]
    images, texts = (torch.cat(features).requires_grad_() for features in zip(*cached, strict=True))
    loss = engine.method(*_gathered(images, texts, engine.scale, facts))
    loss.total.backward()
    at_images, at_texts = _gradient(images).chunk(len(parts)), _chunks(_gradient(texts), len(parts))
    for part, at_image, at_text in zip(parts, at_images, at_texts, strict=True):
        image_features, text_features, _ = engine.deepspeed(*part)
        # Its gradient with respect to the features is the loss's.
        surrogate = (image_features * at_image).sum() + (text_features * at_text).sum()
        engine.deepspeed.backward(surrogate, scale_wrt_gas=False)
        engine.deepspeed.step()
    return Loss(loss.total.detach(), loss.parts, loss.counts)


def _gathered(images: Tensor, texts: Tensor, scale: Tensor, facts: Facts) -> tuple[Tensor, Tensor, Tensor, Facts]:
    images, texts, facts = gather(images, texts, facts)
    return images, texts, scale, facts


def _chunks(rows: Tensor, count: int) -> list[Tensor]:
    """``count`` parts whose lengths differ by at most one."""
    return list(rows.tensor_split(count))


def _gradient(features: Tensor) -> Tensor:
    if features.grad is None:
        raise RuntimeError("the loss does not depend on the features")
    return features.grad
