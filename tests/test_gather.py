"""Two processes that share a batch find the loss and the gradients that one process with the whole batch finds."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from tests.batch_examples import random_batch
from training.batch import Facts, Needs, TextKind
from training.gather import gather
from training.methods import NAMES, make
from training.methods.coca import CoCa

SCALE, WORLD = 5.0, 2
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
Share = tuple[Tensor, Tensor, Facts]
TOKENS = torch.tensor([[[1, 5, 9, 2, 0], [1, 4, 2, 0, 0]], [[1, 3, 3, 3, 2], [1, 2, 0, 0, 0]]])  # of two processes


def share(needs: Needs, rank: int, step: int = 0) -> Share:
    """A process's share: the second has fewer images and fewer texts."""
    kinds = [TextKind.POSITIVE if kind in ("paraphrase", "rewrite") else TextKind.NEGATIVE for kind, _ in needs.variants]
    images, texts, about = random_batch(6 - 2 * rank, kinds, seed=10 * step + rank + 1)
    drop = len(texts) - rank if kinds else len(texts)  # some images of the second process have fewer variants
    kept = {
        name: value if name in ("image_family", "removed", "present") else value[:drop] for name, value in vars(about).items()
    }
    return images, texts[:drop], Facts(**kept)


def whole(shares: list[Share]) -> Share:
    """The same batch in one process: own texts first."""
    own = [len(images) for images, _, _ in shares]
    starts = [sum(own[:rank]) for rank in range(len(own))]

    def texts(values: list[Tensor]) -> Tensor:
        return torch.cat([v[:n] for v, n in zip(values, own, strict=True)] + [v[n:] for v, n in zip(values, own, strict=True)])

    parts: dict[str, list[Tensor]] = {name: [getattr(about, name) for _, _, about in shares] for name in vars(shares[0][2])}
    parts["owner"] = [owner + start for owner, start in zip(parts["owner"], starts, strict=True)]
    made = {name: (torch.cat if name in ("image_family", "removed", "present") else texts)(v) for name, v in parts.items()}
    return torch.cat([images for images, _, _ in shares]), texts([t for _, t, _ in shares]), Facts(**made)


class Towers(torch.nn.Module):
    """Something with parameters between inputs and features, and a learnt scale."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image, self.text = torch.nn.Linear(16, 8), torch.nn.Linear(16, 8)
        self.scale = torch.nn.Parameter(torch.tensor(SCALE))

    def forward(self, images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        unit = torch.nn.functional.normalize
        return unit(self.image(images), dim=1), unit(self.text(texts), dim=1)


def two_steps(name: str, shares: list[Share], logits: list[Tensor], tokens: list[Tensor]) -> dict[str, Any]:
    """Losses of two steps, counts, gradients of the second and what the method keeps, as one process sees them."""
    method, towers = make(name), Towers()
    losses: list[float] = []
    for (images, texts, about), spoken, heard in zip(shares, logits, tokens, strict=True):
        towers.zero_grad()
        features = gather(*towers(images, texts), about)
        found = method(features[0], features[1], towers.scale, features[2])
        total = found.total
        if isinstance(method, CoCa):
            total = total + method.extra({"logits": spoken * towers.scale}, heard)
        total.backward()
        losses.append(total.item())
    gradients = {key: value.grad for key, value in towers.named_parameters()}
    return {"losses": losses, "counts": found.counts, "gradients": gradients, "kept": dict(method.named_buffers())}


def spoken(rank: int) -> Tensor:
    """A captioner's logits for a process's tokens."""
    return torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(rank))


def process(rank: int, port: int, folder: str) -> None:
    """One of two: every method in turn, gradients averaged as data-parallel training does."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=WORLD)
    results = {}
    for name in NAMES:
        needs = make(name).needs
        shares = [share(needs, rank, step) for step in (0, 1)]
        results[name] = two_steps(name, shares, [spoken(rank)] * 2, [TOKENS[rank]] * 2)
        for gradient in results[name]["gradients"].values():
            dist.all_reduce(gradient)
            gradient /= WORLD
    torch.save(results, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found, by method."""
    folder = tmp_path_factory.mktemp("gather")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(process, args=(port, str(folder)), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_are_one(name: str, found: list[dict[str, Any]]):
    needs = make(name).needs
    batches = [whole([share(needs, rank, step) for rank in range(WORLD)]) for step in (0, 1)]
    logits, tokens = torch.cat([spoken(rank) for rank in range(WORLD)]), TOKENS.flatten(0, 1)
    wanted = two_steps(name, batches, [logits] * 2, [tokens] * 2)
    for mine in (one[name] for one in found):
        assert mine["losses"] == pytest.approx(wanted["losses"], rel=1e-5)
        assert mine["counts"] == wanted["counts"]
        for key, gradient in wanted["gradients"].items():
            assert gradient.abs().max() > 0, key
            torch.testing.assert_close(mine["gradients"][key], gradient, **TOLERANCE)
        for key, kept in wanted["kept"].items():
            torch.testing.assert_close(mine["kept"][key], kept, **TOLERANCE)


def test_thresholds_are_those_of_all_processes(found: list[dict[str, Any]]):
    kept = [one["ce_clip"]["kept"]["thresholds"] for one in found]
    assert (kept[0] != 0).all()
    assert (kept[0] == kept[1]).all()


def test_alone_nothing_changes():
    images, texts, about = share(make("negclip").needs, 0)
    assert gather(images, texts, about) == (images, texts, about)
