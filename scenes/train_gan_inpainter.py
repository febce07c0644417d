"""Train the second embedded inpainter: a small gated-convolution GAN, from nothing, on scenes.

    python -m scenes.train_gan_inpainter --domain objects --size 96 --scenes 6000 --seed 1 --epochs 3 --output DIR

Learns from the same removals as ``scenes.train_inpainter``, by another network and another loss (L1 and the hinge loss of Yu et
al., 2019), so that its fills err in other ways. Writes ``gan_inpainter_<domain>.pt``, a TorchScript file that is called as LaMa
is (``udfs.inpaint_torchscript``).
"""

import math
import time
import zipfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from jobs.settings import Inpainter as Options
from scenes.inpainting_data import Crops, batch, cached_crops
from scenes.seeds import check
from scenes.train_inpainter import SIDE, tensors

BATCH, RATE = 16, 1e-3  # crops a step, the learning rate of both networks at first
ADVERSARIAL, ALONE = 0.03, 0.3  # weight of the critic beside L1; share of the steps before it is listened to
FREE = 0.15  # share of free-form holes


def train(data: Crops, epochs: int, minutes: float, seed: int) -> tuple[Any, int]:
    """Train on crops and return the generator and the steps that were made; arguments as of ``train_inpainter.train``."""
    import torch

    from scenes.inpainting_gan import Critic, Generator

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    generator, critic = Generator(), Critic()
    makes = torch.optim.Adam(generator.parameters(), lr=RATE, betas=(0.5, 0.99))
    judges = torch.optim.Adam(critic.parameters(), lr=RATE, betas=(0.5, 0.99))
    size = min(BATCH, len(data.image))
    steps = epochs * (len(data.image) // size)
    begun, told = time.perf_counter(), np.zeros(2)
    for step in range(steps):
        if step % (steps // epochs) == 0:
            order = rng.permutation(len(data.image))
        spent = time.perf_counter() - begun
        done = max(step / steps, spent / (60 * minutes))
        if done >= 1:
            break
        for optimizer in (makes, judges):
            optimizer.param_groups[0]["lr"] = RATE * (0.5 + 0.5 * math.cos(math.pi * done))
        start = step % (steps // epochs) * size
        image, truth, mask = tensors(batch(data, order[start : start + size], FREE, rng))
        image, truth = image / 2 + 0.5, truth / 2 + 0.5
        fake = generator(image, mask)
        # What is around the hole is the same for both, or its shadow would give the fake away.
        real = image * (1 - mask) + truth * mask
        error = (((fake - truth).abs() * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)).clamp(min=1))).mean()
        loss, verdict = error, error * 0
        if done >= ALONE:
            verdict = (1 - critic(real, mask)).relu().mean() + (1 + critic(fake.detach(), mask)).relu().mean()
            judges.zero_grad()
            verdict.backward()
            judges.step()
            loss = error - ADVERSARIAL * critic(fake, mask).mean()
        makes.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(generator.parameters(), 1.0)
        makes.step()
        now = np.array([error.item(), verdict.item()])
        told = now if step == 0 else 0.99 * told + 0.01 * now
        if (step + 1) % 200 == 0:
            typer.echo(f"step {step + 1} of {steps}, {spent:.0f} s: L1 {told[0]:.4f}, critic {told[1]:.3f}")
    else:
        step = steps
    return generator.eval(), step


def save(generator: Any, file: Path) -> None:
    """Script a generator and write it, without the debugging records, which name the files of the machine."""
    import torch

    script = torch.jit.script(generator)
    whole = file.with_suffix(".debug.pt")
    torch.jit.save(script, str(whole))
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                # Dates are left out too: the same weights give the same file.
                name = "/".join([file.stem, *entry.filename.split("/")[1:]])
                target.writestr(zipfile.ZipInfo(name), source.read(entry))
    whole.unlink()


def main(
    output: Annotated[Path, typer.Option(help="folder for the weights")],
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the scenes in pixels")] = 96,
    scenes: Annotated[int, typer.Option(min=2, help="different scenes to learn from")] = 6000,
    seed: Annotated[int, typer.Option(help="of the scenes and the training: 1 to 99")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="times that each removal is seen")] = 3,
    minutes: Annotated[float, typer.Option(min=0.1, help="training stops here at the latest")] = 60.0,
    threads: Annotated[int, typer.Option(min=1, help="of torch, and processes that render")] = 2,
    cache: Annotated[Path | None, typer.Option(help="folder where crops are kept, for both inpainters; none: not kept")] = None,
) -> None:
    """Render removals, train a GAN on them, write its generator."""
    import torch

    check(seed, "training")
    begun = time.perf_counter()
    data = cached_crops(cache, domain, seed, size, scenes, SIDE, Options(), threads)
    rendered = time.perf_counter()
    typer.echo(f"{len(data.image)} removals from {scenes} scenes in {rendered - begun:.0f} s")
    torch.set_num_threads(threads)
    generator, made = train(data, epochs, minutes, seed)
    spent = time.perf_counter() - rendered
    typer.echo(f"{made} steps of {BATCH} crops in {spent:.0f} s, {made * BATCH / spent:.1f} crops a second")
    output.mkdir(parents=True, exist_ok=True)
    file = output / f"gan_inpainter_{Path(domain).stem}.pt"
    save(generator, file)
    size_mb = file.stat().st_size / 1e6
    typer.echo(f"{file}: {sum(p.numel() for p in generator.parameters()) / 1e6:.2f} million parameters, {size_mb:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
