"""What reading costs: Petastorm, plain pyarrow, and a torch DataLoader over loose image files, side by side in one run.

    python -m bench.loader --snapshot DIR [--model CONFIG.json] [--batch 128] [--rounds 3] [--workers 2]
    python -m bench.loader --snapshot DIR --step-seconds 0.3 --size 64
    python -m bench.loader --snapshot DIR --conserve 100 --pool process

The three decode, augment and tokenise alike and give whole batches of one image a row; the loose files are written from the same
snapshot first. Then each feeds forward and backward of a model, on one core: the share of the time that it waits for data. In
place of a model there may be a stand-in that uses ``--step-seconds`` of CPU a step. ``--conserve`` reads that many epochs and
counts each against the manifest, nothing else.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from training.batch import Batch, Needs
from training.decode import Pixels
from training.families import Part, Pool
from training.model import Model, build
from training.options import make_options
from training.reader import batches
from training.sampling import usable
from training.snapshot import Manifest, read_manifest

NEEDS = Needs(members=1, duals=True)


class LooseFiles(Dataset[tuple[torch.Tensor, str]]):  # noqa: D105
    """An image file and a caption a row, as fine-tuning scripts have them."""

    def __init__(self, manifest: Manifest, folder: Path, pixels: Pixels) -> None:
        self.pixels = pixels
        self.rows: list[tuple[Path, str]] = []
        for family in Part.of(manifest).read(0, "pyarrow"):
            for place in usable(family, NEEDS):
                path = folder / f"{family['record_id']}-{place}"
                path.write_bytes(family["images"][place])
                self.rows.append((path, family["text"][0]))

    def __len__(self) -> int:
        """Rows."""
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, str]:
        """One row, decoded."""
        path, text = self.rows[place]
        return self.pixels.tensor([self.pixels.cut(path.read_bytes(), random.Random(place))])[0], text


def loose(files: LooseFiles, batch: int, workers: int, tokenize: Callable[[list[str]], torch.Tensor]) -> Iterator[torch.Tensor]:
    """Full batches without end; texts are tokenised where the batch is put together, in the worker."""

    def collate(rows: list[tuple[torch.Tensor, str]]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.stack([pixels for pixels, _ in rows]), tokenize([text for _, text in rows])

    loader = DataLoader(
        files, batch, shuffle=True, num_workers=workers, collate_fn=collate, drop_last=True, persistent_workers=True
    )
    while True:
        yield from (pixels for pixels, _ in loader)


def speed(found: Iterator[object], batch: int, steps: int) -> float:
    """Images a second, after a first batch that starts the workers."""
    next(found)
    began = time.perf_counter()
    for _ in islice(found, steps):
        pass
    return steps * batch / (time.perf_counter() - began)


def waiting(found: Iterator[object], work: Callable[[torch.Tensor], None], steps: int) -> float:
    """Share of the time that ``work`` on each batch's pixels waits for them."""
    waited = 0.0
    next(found)
    began = time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        one = next(found)
        waited += time.perf_counter() - asked
        work(one.pixels if isinstance(one, Batch) else one)  # type: ignore[arg-type]
    return waited / (time.perf_counter() - began)


def training(model: Model, batch: int) -> Callable[[torch.Tensor], None]:
    """Forward and backward of a model on pixels [batch, 3, H, W], with the same texts each time."""
    network: Any = model.network
    tokens, own = model.tokenize(["a dog and a cat on the grass"] * batch), torch.arange(batch)

    def work(pixels: torch.Tensor) -> None:
        network.zero_grad()
        logits = network.encode_image(pixels, normalize=True) @ network.encode_text(tokens, normalize=True).T
        F.cross_entropy(100 * logits, own).backward()

    return work


def stand_in(seconds: float) -> Callable[[torch.Tensor], None]:
    """What uses one core for so long."""
    matrix = torch.rand(256, 256)

    def work(pixels: torch.Tensor) -> None:  # noqa: ARG001 - as a model is called
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            matrix @ matrix

    return work


def conserve(manifest: Manifest, epochs: int, pool: Pool, workers: int) -> None:
    """Read epochs; ``Part.read`` raises if one differs from the manifest."""
    part, began = Part.of(manifest), time.perf_counter()
    for epoch in range(epochs):
        found = sum(1 for _ in part.read(epoch, "petastorm", pool, workers))
        assert found == manifest.totals.families, f"epoch {epoch}: {found} families"
    print(f"{epochs} epochs of {found} families by Petastorm, {pool} pool: none lost, {time.perf_counter() - began:.0f} s")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--snapshot", required=True, help="folder that dualset publish wrote")
    parser.add_argument("--model", default="embedded:clip_objects.json", help="config of the model that is fed")
    parser.add_argument("--size", type=int, default=0, help="side of the images in pixels; 0: the model's")
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed in each round")
    parser.add_argument("--rounds", type=int, default=3, help="the loaders take turns; the median counts")
    parser.add_argument("--workers", type=int, default=2, help="of each loader")
    parser.add_argument("--step-seconds", type=float, default=0.0, help="CPU seconds of a stand-in for the model")
    parser.add_argument("--pool", choices=("thread", "process", "dummy"), default="thread", help="Petastorm's")
    parser.add_argument("--conserve", type=int, default=0, help="only count so many epochs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    manifest = read_manifest(options.snapshot)
    if options.conserve:
        conserve(manifest, options.conserve, options.pool, options.workers)
        return
    model = build(make_options({"snapshot": options.snapshot, "output": "", "model": options.model}))
    own, tokenize = Pixels.of(model.network.visual), model.tokenize
    pixels = replace(own, size=options.size or own.size)
    work = stand_in(options.step_seconds) if options.step_seconds else training(model, options.batch)
    print(f"snapshot {manifest.id}: {manifest.totals.images} images of {manifest.totals.families} families, {pixels.size} px")
    with tempfile.TemporaryDirectory() as folder:
        files = LooseFiles(manifest, Path(folder), pixels)

        given = {"batch_size": options.batch, "pixels": pixels, "tokenize": tokenize, "workers": options.workers}
        start: dict[str, Callable[[], Iterator[object]]] = {
            "petastorm": lambda: batches(manifest, NEEDS, reader="petastorm", pool=options.pool, **given),
            "pyarrow": lambda: batches(manifest, NEEDS, reader="pyarrow", **given),
            "DataLoader": lambda: loose(files, options.batch, options.workers, tokenize),
        }
        fast: dict[str, list[float]] = {name: [] for name in start}
        idle: dict[str, list[float]] = {name: [] for name in start}
        for _ in range(options.rounds):
            for name in start:
                fast[name].append(speed(start[name](), options.batch, options.steps))
            for name in start:
                idle[name].append(waiting(start[name](), work, options.steps))
    one = statistics.median(fast["DataLoader"])
    for name in start:
        rate, share = statistics.median(fast[name]), statistics.median(idle[name])
        print(f"{name:11} {rate:6.0f} images/s, {rate / one:.2f} of the DataLoader's; {share:.1%} of the steps' time waiting")


if __name__ == "__main__":
    main()
