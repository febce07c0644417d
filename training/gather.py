"""One batch out of all processes' shares, in every process, with gradient.

Every process then computes the same loss of the whole batch, normalised by the batch's own counts, and needs no further exchange:
means that a method keeps (running thresholds) are those of all processes as well. The gradient of a process's features is the
sum over the processes' equal losses, that is ``world`` times what one process with the whole batch would find; averaging the
parameters' gradients over processes, as data-parallel training does, divides by ``world`` again.
"""

from dataclasses import fields, replace

import torch
import torch.distributed as dist
from torch import Tensor

# torch's gather with a backward over every backend; that of torch.distributed.nn is deprecated in its favour.
from torch.distributed._functional_collectives import all_gather_tensor_autograd

from training.batch import Facts

_OF_IMAGES = ("image_family", "removed", "present")


def gather(images: Tensor, texts: Tensor, facts: Facts) -> tuple[Tensor, Tensor, Facts]:
    """Features and facts of all processes: images in the order of ranks, then texts likewise, own texts first.

    Args:
        images: [I, D], with gradient; I may differ between processes.
        texts: [T, D], with gradient; T may differ.
        facts: of these; ``owner`` counts this process's images.

    Returns:
        The same of the sum of I and the sum of T; ``owner`` counts all images. What was given where there is no process group, or
        one process in it.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return images, texts, facts
    sizes = _sizes(images, texts)
    owner = facts.owner + sum(sizes[: dist.get_rank(), 0].tolist())
    facts = replace(facts, owner=owner)
    every = Facts(*(_rows(getattr(facts, one.name), sizes[:, int(one.name not in _OF_IMAGES)]) for one in fields(facts)))
    order = _own_first(sizes)
    moved = {one.name: getattr(every, one.name)[order] for one in fields(every) if one.name not in _OF_IMAGES}
    return _rows(images, sizes[:, 0]), _rows(texts, sizes[:, 1])[order], replace(every, **moved)


def reduced(total: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradient."""
    total = total.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(total)
    return total


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def _sizes(images: Tensor, texts: Tensor) -> Tensor:
    """Int64 [world, 2], on the CPU: each process's images and texts."""
    mine = torch.tensor([len(images), len(texts)], device=images.device)
    every = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(every, mine)
    return torch.stack(every).cpu()


def _own_first(sizes: Tensor) -> Tensor:
    """Places of the gathered texts such that every image's own text comes first, in the images' order."""
    own, others, start = [], [], 0
    for images, texts in sizes.tolist():
        own.append(torch.arange(start, start + images))
        others.append(torch.arange(start + images, start + texts))
        start += texts
    return torch.cat(own + others)


def _rows(mine: Tensor, lengths: Tensor) -> Tensor:
    """All processes' rows below each other; ``lengths`` says how many each has, as collectives want equal shapes."""
    kind = mine.dtype
    mine = mine.to(torch.uint8) if kind is torch.bool else mine
    longest = int(lengths.max())
    padded = torch.cat([mine, mine.new_zeros(longest - len(mine), *mine.shape[1:])])
    group = dist.group.WORLD
    assert group is not None, "there is a process group"
    every = all_gather_tensor_autograd(padded, 0, group) if padded.requires_grad else _plain(padded)
    kept = [every[rank * longest : rank * longest + length] for rank, length in enumerate(lengths.tolist())]
    return torch.cat(kept).to(kind)


def _plain(mine: Tensor) -> Tensor:
    every = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(every, mine.contiguous())
    return torch.cat(every)
