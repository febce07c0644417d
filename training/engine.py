"""Processes, DeepSpeed, and one optimiser step: embed, gather, loss, backward, clamp.

A contrastive loss is of the whole batch, so it cannot be accumulated over parts. With ``accumulation`` a process embeds its
share part by part without a graph, takes the loss's gradient at the features, and embeds each part again with a graph to carry it
on (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", arXiv 2101.06983).
"""

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.batch import Batch, Facts
from training.gather import gather, world
from training.methods import Loss, Method
from training.model import Model
from training.options import Options, OptionsError, learning_rate


@dataclass
class Engine:
    """A model under DeepSpeed, the method, and an optimiser for what is no part of the towers: the logit scale."""

    deepspeed: Any
    model: Model
    method: Method
    scale_optimizer: torch.optim.Optimizer
    options: Options
    device: torch.device

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied with: float32 [], with gradient."""
        return self.model.log_scale.exp()


class Towers(nn.Module):
    """Both towers as one module with one forward, as ZeRO wants it; a captioner's loss is taken inside, where its logits are."""

    def __init__(self, network: nn.Module, method: Method) -> None:
        super().__init__()
        self.network = network
        self.captioner = getattr(method, "extra", None)

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Unit features, float32 [I, D] and [T, D], of pixels [I, 3, H, W] and tokens [T, L], and the captioner's loss if any."""
        network: Any = self.network
        if self.captioner is None:
            images, texts = network.encode_image(pixels, normalize=True), network.encode_text(tokens, normalize=True)
            return images.float(), texts.float(), None
        output = network(pixels, tokens)
        return output["image_features"].float(), output["text_features"].float(), self.captioner(output, tokens)


def start_processes(options: Options) -> tuple[int, int, torch.device]:
    """Join the process group that a launcher's environment describes, or one of this process alone: rank, world, device."""
    cuda = options.device == "cuda" or (options.device == "auto" and torch.cuda.is_available())
    if cuda and not torch.cuda.is_available():
        raise OptionsError("no CUDA device is there")
    if not cuda:
        os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ.setdefault("LOCAL_RANK", "0")  # DeepSpeed asks for it
    import deepspeed
    from deepspeed.utils import logger

    logger.setLevel("WARNING")
    # At the start it would compile an all-reduce over shared memory: gloo's needs no compiler.
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
    """Give the model to DeepSpeed, with PyTorch's AdamW, which needs no compiler.

    Raises:
        OptionsError: what does not go together.
    """
    import deepspeed

    share, rest = divmod(options.batch_size, world())
    if rest or share % options.accumulation:
        raise OptionsError(
            f"batch_size {options.batch_size} is not a multiple of {world()} processes times {options.accumulation} parts"
        )
    if options.accumulation > 1 and hasattr(method, "extra"):
        raise OptionsError(f"accumulation caches features, and {method.name}'s loss needs more of the model than features")
    if options.accumulation > 1 and any(type(one).__name__ == "PatchDropout" for one in model.network.modules()):
        raise OptionsError(f"accumulation embeds twice, and {options.model} drops patches at random")
    if list(method.parameters()):
        raise RuntimeError(f"{method.name} has weights of its own, which nothing trains")
    towers = Towers(model.network, method)
    trained = [parameter for parameter in towers.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in trained if one.ndim >= 2], "weight_decay": options.weight_decay},
        {"params": [one for one in trained if one.ndim < 2], "weight_decay": 0.0},
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
    """What DeepSpeed is told; ``share`` images are one process's of a step."""
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
    """Whether the towers run in bf16, over float32 weights."""
    if options.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return options.precision == "bf16"


def train_step(engine: Engine, batch: Batch, step: int) -> Loss:
    """One optimiser step on this process's share of a batch; the loss is that of the whole."""
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
    at_images, at_texts = _asked(images).chunk(len(parts)), _chunks(_asked(texts), len(parts))
    for part, at_image, at_text in zip(parts, at_images, at_texts, strict=True):
        again = engine.deepspeed(*part)
        carried = (again[0] * at_image).sum() + (again[1] * at_text).sum()
        engine.deepspeed.backward(carried, scale_wrt_gas=False)
        engine.deepspeed.step()
    return Loss(loss.total.detach(), loss.parts, loss.counts)


def _gathered(images: Tensor, texts: Tensor, scale: Tensor, facts: Facts) -> tuple[Tensor, Tensor, Tensor, Facts]:
    images, texts, facts = gather(images, texts, facts)
    return images, texts, scale, facts


def _chunks(rows: Tensor, count: int) -> list[Tensor]:
    """As many parts as asked for, which differ in length by one at most."""
    return list(rows.tensor_split(count))


def _asked(features: Tensor) -> Tensor:
    if features.grad is None:
        raise RuntimeError("the loss does not depend on the features")
    return features.grad
