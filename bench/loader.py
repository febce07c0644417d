"""What reading costs: Petastorm, plain pyarrow, and a torch DataLoader over loose image files, side by side in one run.

    python bench/loader.py --snapshot DIR [--size 64] [--batch 128] [--step-seconds 0.3] [--rounds 3] [--workers 2]
    python bench/loader.py --snapshot DIR --conserve 100 --pool process

The three decode, augment and tokenise alike and give whole batches of one image a row; the loose files are written from the same
snapshot first. Then each feeds a stand-in for a model that uses ``--step-seconds`` of CPU a step: the share of the time that it
waits for data. ``--conserve`` reads that many epochs and counts each against the manifest, nothing else.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from training.batch import Needs
from training.decode import Pixels
from training.families import Part, Pool
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


def waiting(found: Iterator[object], step_seconds: float, steps: int) -> float:
    """Share of the time that a model waits which needs ``step_seconds`` of one core a step."""
    matrix, waited = torch.rand(256, 256), 0.0
    next(found)
    began = time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        next(found)
        waited += time.perf_counter() - asked
        until = time.thread_time() + step_seconds
        while time.thread_time() < until:
            matrix @ matrix
    return waited / (time.perf_counter() - began)


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
    parser.add_argument("--size", type=int, default=64, help="side of the images for the model, in pixels")
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed in each round")
    parser.add_argument("--rounds", type=int, default=3, help="the loaders take turns; the median counts")
    parser.add_argument("--workers", type=int, default=2, help="of each loader")
    parser.add_argument("--step-seconds", type=float, default=0.3, help="CPU seconds of the model's stand-in")
    parser.add_argument("--pool", choices=("thread", "process", "dummy"), default="thread", help="Petastorm's")
    parser.add_argument("--conserve", type=int, default=0, help="only count so many epochs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    manifest = read_manifest(options.snapshot)
    if options.conserve:
        conserve(manifest, options.conserve, options.pool, options.workers)
        return
    from open_clip import SimpleTokenizer

    pixels, tokenize = Pixels(options.size), SimpleTokenizer()
    print(f"snapshot {manifest.id}: {manifest.totals.images} images of {manifest.totals.families} families, {options.size} px")
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
                idle[name].append(waiting(start[name](), options.step_seconds, options.steps))
    one = statistics.median(fast["DataLoader"])
    for name in start:
        rate, share = statistics.median(fast[name]), statistics.median(idle[name])
        print(f"{name:11} {rate:6.0f} images/s, {rate / one:.2f} of the DataLoader's; {share:.1%} of the steps' time waiting")


if __name__ == "__main__":
    main()
