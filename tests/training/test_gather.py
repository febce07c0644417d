"""Two processes that share a batch get the loss and the gradients of one process with the whole batch."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from tests.support.batch_examples import random_batch
from training.data.batch import Facts, Needs, TextKind
from training.gather import gather
from training.methods import NAMES, make
from training.methods.coca import CoCa

SCALE, WORLD = 5.0, 2
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
Share = tuple[Tensor, Tensor, Facts]
TOKENS = torch.tensor([[[1, 5, 9, 2, 0], [1, 4, 2, 0, 0]], [[1, 3, 3, 3, 2], [1, 2, 0, 0, 0]]])  # [process, text, token]


def share(needs: Needs, rank: int, step: int = 0) -> Share:
    """A process's share: the second has fewer images and fewer texts."""
    kinds = [TextKind.POSITIVE if kind in ("paraphrase", "rewrite") else TextKind.NEGATIVE for kind, _ in needs.variants]
    images, texts, facts = random_batch(6 - 2 * rank, kinds, seed=10 * step + rank + 1)
    drop = len(texts) - rank if kinds else len(texts)  # some images of the second process have fewer variants
    fields = {
        name: value if name in ("image_family", "removed", "present") else value[:drop] for name, value in vars(facts).items()
    }
    return images, texts[:drop], Facts(**fields)


def merge(shares: list[Share]) -> Share:
    """The same batch in one process: own texts first."""
    own = [len(images) for images, _, _ in shares]
    starts = [sum(own[:rank]) for rank in range(len(own))]

    def texts(values: list[Tensor]) -> Tensor:
        return torch.cat([v[:n] for v, n in zip(values, own, strict=True)] + [v[n:] for v, n in zip(values, own, strict=True)])

    parts: dict[str, list[Tensor]] = {name: [getattr(facts, name) for _, _, facts in shares] for name in vars(shares[0][2])}
    parts["owner"] = [owner + start for owner, start in zip(parts["owner"], starts, strict=True)]
    fields = {name: (torch.cat if name in ("image_family", "removed", "present") else texts)(v) for name, v in parts.items()}
    return torch.cat([images for images, _, _ in shares]), texts([t for _, t, _ in shares]), Facts(**fields)


class Towers(torch.nn.Module):
    """A linear layer for each modality, from inputs to features, and a learned scale."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image, self.text = torch.nn.Linear(16, 8), torch.nn.Linear(16, 8)
        self.scale = torch.nn.Parameter(torch.tensor(SCALE))

    def forward(self, images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        unit = torch.nn.functional.normalize
        return unit(self.image(images), dim=1), unit(self.text(texts), dim=1)


def two_steps(name: str, shares: list[Share], logits: list[Tensor], tokens: list[Tensor]) -> dict[str, Any]:
    """Losses of two steps, counts, gradients of the second step and the method's buffers, as one process sees them."""
    method, towers = make(name), Towers()
    losses: list[float] = []
    for (images, texts, facts), caption_logits, caption_tokens in zip(shares, logits, tokens, strict=True):
        towers.zero_grad()
        features = gather(*towers(images, texts), facts)
        loss = method(features[0], features[1], towers.scale, features[2])
        total = loss.total
        if isinstance(method, CoCa):
            total = total + method.extra({"logits": caption_logits * towers.scale}, caption_tokens)
        total.backward()
        losses.append(total.item())
    gradients = {key: value.grad for key, value in towers.named_parameters()}
    return {"losses": losses, "counts": loss.counts, "gradients": gradients, "kept": dict(method.named_buffers())}


def captioner_logits(rank: int) -> Tensor:
    """A captioner's logits for a process's tokens."""
    return torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(rank))


def process(rank: int, port: int, folder: str) -> None:
    """One of the two processes: every method in turn, with gradients averaged as in data-parallel training."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=WORLD)
    results = {}
    for name in NAMES:
        needs = make(name).needs
        shares = [share(needs, rank, step) for step in (0, 1)]
        results[name] = two_steps(name, shares, [captioner_logits(rank)] * 2, [TOKENS[rank]] * 2)
        for gradient in results[name]["gradients"].values():
            dist.all_reduce(gradient)
            gradient /= WORLD
    torch.save(results, Path(folder) / f"{rank}.pt")
    dist.barrier()  # gloo's threads may abort the process that leaves while the other still talks to it
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The results of each of the two processes, by method."""
    folder = tmp_path_factory.mktemp("gather")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(process, args=(port, str(folder)), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_match_one_process(name: str, results: list[dict[str, Any]]):
    needs = make(name).needs
    batches = [merge([share(needs, rank, step) for rank in range(WORLD)]) for step in (0, 1)]
    logits, tokens = torch.cat([captioner_logits(rank) for rank in range(WORLD)]), TOKENS.flatten(0, 1)
    expected = two_steps(name, batches, [logits] * 2, [tokens] * 2)
    for result in (by_method[name] for by_method in results):
        assert result["losses"] == pytest.approx(expected["losses"], rel=1e-5)
        assert result["counts"] == expected["counts"]
        for key, gradient in expected["gradients"].items():
            assert gradient.abs().max() > 0, key
            torch.testing.assert_close(result["gradients"][key], gradient, **TOLERANCE)
        for key, buffer in expected["kept"].items():
            torch.testing.assert_close(result["kept"][key], buffer, **TOLERANCE)


def test_thresholds_are_shared_by_all_processes(results: list[dict[str, Any]]):
    thresholds = [by_method["ce_clip"]["kept"]["thresholds"] for by_method in results]
    assert (thresholds[0] != 0).all()
    assert (thresholds[0] == thresholds[1]).all()


def test_gathering_in_one_process_changes_nothing():
    images, texts, facts = share(make("negclip").needs, 0)
    assert gather(images, texts, facts) == (images, texts, facts)
