"""The cost of reading: Petastorm, plain pyarrow, and a torch DataLoader over loose image files, side by side in one run.

    python -m tests.bench.loader --snapshot DIR [--model CONFIG.json] [--batch 128] [--rounds 3] [--workers 2]
    python -m tests.bench.loader --snapshot DIR --step-seconds 0.3 --size 64
    python -m tests.bench.loader --snapshot DIR --conserve 100 --pool process

All three decode, augment and tokenise in the same way and give full batches with one image a row. The loose files are written
from the same snapshot first. Then each loader feeds the forward and backward pass of a model on one core, and the share of time
spent waiting for data is printed. With ``--step-seconds`` a stand-in that uses so much CPU a step takes the model's place.
``--conserve`` only reads that many epochs and checks the row count of each against the manifest.
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

from jobs.snapshot.manifest import Manifest, read_manifest
from training.data.batch import Batch, Needs
from training.data.by_petastorm import Pool
from training.data.decode import Pixels
from training.data.families import Part
from training.data.reader import ReadOptions, batches
from training.data.sampling import usable
from training.model import Model, build
from training.options import make_options

NEEDS = Needs(members=1, duals=True)


class LooseFiles(Dataset[tuple[torch.Tensor, str]]):  # noqa: D105
    """One image file and one caption a row, as in fine-tuning scripts."""

    def __init__(self, manifest: Manifest, folder: Path, pixels: Pixels) -> None:
        self.pixels = pixels
        self.rows: list[tuple[Path, str]] = []
        for family in Part.of(manifest).read(0, "pyarrow"):
            for index in usable(family, NEEDS):
                path = folder / f"{family['record_id']}-{index}"
                path.write_bytes(family["images"][index])
                self.rows.append((path, family["text"][0]))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, str]:
        """One row, decoded."""
        path, text = self.rows[index]
        return self.pixels.tensor([self.pixels.cut(path.read_bytes(), random.Random(index))])[0], text


def loose(files: LooseFiles, batch: int, workers: int, tokenize: Callable[[list[str]], torch.Tensor]) -> Iterator[torch.Tensor]:
    """Endless full batches; the worker that puts a batch together tokenises its texts."""

    def collate(rows: list[tuple[torch.Tensor, str]]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.stack([pixels for pixels, _ in rows]), tokenize([text for _, text in rows])

    loader = DataLoader(
        files, batch, shuffle=True, num_workers=workers, collate_fn=collate, drop_last=True, persistent_workers=True
    )
    while True:
        yield from (pixels for pixels, _ in loader)


def speed(stream: Iterator[object], batch: int, steps: int) -> float:
    """Images a second, after a first batch that starts the workers."""
    next(stream)
    began = time.perf_counter()
    for _ in islice(stream, steps):
        pass
    return steps * batch / (time.perf_counter() - began)


def waiting(stream: Iterator[object], work: Callable[[torch.Tensor], None], steps: int) -> float:
    """The share of time that is spent waiting for pixels; ``work`` is done on those of each batch."""
    waited = 0.0
    next(stream)
    began = time.perf_counter()
    for _ in range(steps):
        requested = time.perf_counter()
        item = next(stream)
        waited += time.perf_counter() - requested
        work(item.pixels if isinstance(item, Batch) else item)  # type: ignore[arg-type]
    return waited / (time.perf_counter() - began)


def training(model: Model, batch: int) -> Callable[[torch.Tensor], None]:
    """Forward and backward pass of a model on pixels [batch, 3, H, W], with the same texts each time."""
    network: Any = model.network
    tokens, own = model.tokenize(["a dog and a cat on the grass"] * batch), torch.arange(batch)

    def work(pixels: torch.Tensor) -> None:
        network.zero_grad()
        logits = network.encode_image(pixels, normalize=True) @ network.encode_text(tokens, normalize=True).T
        F.cross_entropy(100 * logits, own).backward()

    return work


def stand_in(seconds: float) -> Callable[[torch.Tensor], None]:
    """Work that keeps one core busy for so many seconds."""
    matrix = torch.rand(256, 256)

    def work(pixels: torch.Tensor) -> None:  # noqa: ARG001 - as a model is called
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            matrix @ matrix

    return work


def conserve(manifest: Manifest, epochs: int, pool: Pool, workers: int) -> None:
    """Read epochs and count their families; ``Part.read`` raises if an epoch differs from the manifest."""
    part, began = Part.of(manifest), time.perf_counter()
    for epoch in range(epochs):
        families = sum(1 for _ in part.read(epoch, "petastorm", pool, workers))
        assert families == manifest.totals.families, f"epoch {epoch}: {families} families"
    print(f"{epochs} epochs of {families} families by Petastorm, {pool} pool: none lost, {time.perf_counter() - began:.0f} s")


def main() -> None:
    """The command line."""
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

        read_options = ReadOptions(options.batch, pool=options.pool, workers=options.workers)
        plain = replace(read_options, reader="pyarrow", pool="thread")
        start: dict[str, Callable[[], Iterator[object]]] = {
            "petastorm": lambda: batches(manifest, NEEDS, read_options, pixels=pixels, tokenize=tokenize),
            "pyarrow": lambda: batches(manifest, NEEDS, plain, pixels=pixels, tokenize=tokenize),
            "DataLoader": lambda: loose(files, options.batch, options.workers, tokenize),
        }
        rates: dict[str, list[float]] = {name: [] for name in start}
        shares: dict[str, list[float]] = {name: [] for name in start}
        for _ in range(options.rounds):
            for name in start:
                rates[name].append(speed(start[name](), options.batch, options.steps))
            for name in start:
                shares[name].append(waiting(start[name](), work, options.steps))
    reference = statistics.median(rates["DataLoader"])
    for name in start:
        rate, share = statistics.median(rates[name]), statistics.median(shares[name])
        print(
            f"{name:11} {rate:6.0f} images/s, {rate / reference:.2f} of the DataLoader's; {share:.1%} of the steps' time waiting"
        )


if __name__ == "__main__":
    main()
