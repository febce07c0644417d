"""Gathers all processes' shares into the whole batch, in every process, with gradient.

Every process then computes the same loss of the whole batch, normalised by that batch's counts, without further communication.
Running means that a method keeps (thresholds) are therefore equal in all processes too. The gradient with respect to a process's
features is a sum over the processes' equal losses, so ``world`` times the gradient that a single process with the whole batch
would compute. Data-parallel training averages the parameters' gradients over processes, which divides by ``world`` again.
"""

from dataclasses import fields, replace

import torch
import torch.distributed as dist
from torch import Tensor

# An all-gather with a backward for every backend; torch.distributed.nn's is deprecated in favour of this one.
from torch.distributed._functional_collectives import all_gather_tensor_autograd

from training.data.batch import Facts

_OF_IMAGES = ("image_family", "removed", "present")


def gather(images: Tensor, texts: Tensor, facts: Facts) -> tuple[Tensor, Tensor, Facts]:
    """Features and facts of all processes: images by rank, and texts with all own texts first, in the order of the images.

    Args:
        images: [I, D], with gradient; I may differ between processes.
        texts: [T, D], with gradient; T may differ.
        facts: of these images and texts; ``owner`` indexes this process's images.

    Returns:
        Features and facts of all images and texts; ``owner`` indexes all images. With one process, or without a process group,
        the arguments themselves.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return images, texts, facts
    sizes = _sizes(images, texts)
    owner = facts.owner + sum(sizes[: dist.get_rank(), 0].tolist())
    facts = replace(facts, owner=owner)
    names = [field.name for field in fields(facts)]
    whole = Facts(*(_all_rows(getattr(facts, name), sizes[:, int(name not in _OF_IMAGES)]) for name in names))
    order = _own_first(sizes)
    of_texts = {name: getattr(whole, name)[order] for name in names if name not in _OF_IMAGES}
    return _all_rows(images, sizes[:, 0]), _all_rows(texts, sizes[:, 1])[order], replace(whole, **of_texts)


def reduced(total: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradient."""
    total = total.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(total)
    return total


def world() -> int:
    """The number of training processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def _sizes(images: Tensor, texts: Tensor) -> Tensor:
    """Numbers of images and texts of each process: int64 [world, 2], on the CPU."""
    local = torch.tensor([len(images), len(texts)], device=images.device)
    sizes = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, local)
    return torch.stack(sizes).cpu()


def _own_first(sizes: Tensor) -> Tensor:
    """The order of the gathered texts that puts all own texts first, in the order of the images: int64 [sum of T]."""
    own, others, start = [], [], 0
    for images, texts in sizes.tolist():
        own.append(torch.arange(start, start + images))
        others.append(torch.arange(start + images, start + texts))
        start += texts
    return torch.cat(own + others)


def _all_rows(local: Tensor, lengths: Tensor) -> Tensor:
    """The rows of all processes, by rank. ``lengths``: of each process; collectives need equal shapes, so rows are padded."""
    dtype = local.dtype
    local = local.to(torch.uint8) if dtype is torch.bool else local
    longest = int(lengths.max())
    padded = torch.cat([local, local.new_zeros(longest - len(local), *local.shape[1:])])
    group = dist.group.WORLD
    assert group is not None, "there is a process group"
    gathered = all_gather_tensor_autograd(padded, 0, group) if padded.requires_grad else _without_gradient(padded)
    unpadded = [gathered[rank * longest : rank * longest + length] for rank, length in enumerate(lengths.tolist())]
    return torch.cat(unpadded).to(dtype)


def _without_gradient(local: Tensor) -> Tensor:
    gathered = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, local.contiguous())
    return torch.cat(gathered)
