"""Train the second embedded inpainter: a small gated-convolution GAN, from scratch, on scenes.

    python -m training.embedded.train_gan_inpainter --domain objects --size 96 --scenes 6000 --seed 1 --epochs 3 --output DIR

Learns from the same removals as ``training.embedded.train_inpainter``, with another network and another loss (L1 and the hinge
loss of Yu et al., 2019), so that its errors differ. Writes ``gan_inpainter_<domain>.pt``, a TorchScript file with LaMa's inputs
and output (``udfs.inpaint.torchscript``).
"""

import math
import time
import zipfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from jobs.scenes.seeds import check
from training.embedded.inpainting_data import Crops, batch, cached_crops
from training.embedded.train_inpainter import SIDE, tensors
from udfs.inpaint.settings import InpainterSettings

BATCH, RATE = 16, 1e-3  # crops a step; initial learning rate of both networks
ADVERSARIAL, ALONE = 0.03, 0.3  # weight of the critic's loss relative to L1; share of the steps with L1 only
FREE = 0.15  # share of crops with a free-form hole


def train(data: Crops, epochs: int, minutes: float, seed: int) -> tuple[Any, int]:
    """Train on crops and return the generator and the number of steps; arguments as in ``train_inpainter.train``."""
    import torch

    from training.embedded.inpainting_gan import Critic, Generator

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    generator, critic = Generator(), Critic()
    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=RATE, betas=(0.5, 0.99))
    critic_optimizer = torch.optim.Adam(critic.parameters(), lr=RATE, betas=(0.5, 0.99))
    size = min(BATCH, len(data.image))
    steps = epochs * (len(data.image) // size)
    started, average = time.perf_counter(), np.zeros(2)
    for step in range(steps):
        if step % (steps // epochs) == 0:
            order = rng.permutation(len(data.image))
        spent = time.perf_counter() - started
        progress = max(step / steps, spent / (60 * minutes))
        if progress >= 1:
            break
        for optimizer in (generator_optimizer, critic_optimizer):
            optimizer.param_groups[0]["lr"] = RATE * (0.5 + 0.5 * math.cos(math.pi * progress))
        start = step % (steps // epochs) * size
        image, truth, mask = tensors(batch(data, order[start : start + size], FREE, rng))
        image, truth = image / 2 + 0.5, truth / 2 + 0.5
        fake = generator(image, mask)
        # Both have the same surroundings, or the shadow around the hole would give the fake away.
        real = image * (1 - mask) + truth * mask
        error = (((fake - truth).abs() * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)).clamp(min=1))).mean()
        loss, verdict = error, error * 0
        if progress >= ALONE:
            verdict = (1 - critic(real, mask)).relu().mean() + (1 + critic(fake.detach(), mask)).relu().mean()
            critic_optimizer.zero_grad()
            verdict.backward()
            critic_optimizer.step()
            loss = error - ADVERSARIAL * critic(fake, mask).mean()
        generator_optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(generator.parameters(), 1.0)
        generator_optimizer.step()
        latest = np.array([error.item(), verdict.item()])
        average = latest if step == 0 else 0.99 * average + 0.01 * latest
        if (step + 1) % 200 == 0:
            typer.echo(f"step {step + 1} of {steps}, {spent:.0f} s: L1 {average[0]:.4f}, critic {average[1]:.3f}")
    else:
        step = steps
    return generator.eval(), step


def save(generator: Any, file: Path) -> None:
    """Script a generator and write it without debugging records, as those contain paths of this machine."""
    import torch

    script = torch.jit.script(generator)
    debug_file = file.with_suffix(".debug.pt")
    torch.jit.save(script, str(debug_file))
    with zipfile.ZipFile(debug_file) as source, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                # Without dates too: the same weights give the same file.
                name = "/".join([file.stem, *entry.filename.split("/")[1:]])
                target.writestr(zipfile.ZipInfo(name), source.read(entry))
    debug_file.unlink()


def main(
    output: Annotated[Path, typer.Option(help="folder for the weights")],
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the scenes in pixels")] = 96,
    scenes: Annotated[int, typer.Option(min=2, help="number of training scenes")] = 6000,
    seed: Annotated[int, typer.Option(help="seed of scenes and training: 1 to 99")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="number of visits to each removal")] = 3,
    minutes: Annotated[float, typer.Option(min=0.1, help="longest training time in minutes")] = 60.0,
    threads: Annotated[int, typer.Option(min=1, help="threads of torch, and rendering processes")] = 2,
    cache: Annotated[Path | None, typer.Option(help="folder to cache the crops in, for both inpainters; none: no cache")] = None,
) -> None:
    """Render removals, train a GAN on them, and write its generator."""
    import torch

    check(seed, "training")
    started = time.perf_counter()
    data = cached_crops(cache, domain, seed, size, scenes, SIDE, InpainterSettings(), threads)
    rendered = time.perf_counter()
    typer.echo(f"{len(data.image)} removals from {scenes} scenes in {rendered - started:.0f} s")
    torch.set_num_threads(threads)
    generator, steps = train(data, epochs, minutes, seed)
    spent = time.perf_counter() - rendered
    typer.echo(f"{steps} steps of {BATCH} crops in {spent:.0f} s, {steps * BATCH / spent:.1f} crops a second")
    output.mkdir(parents=True, exist_ok=True)
    file = output / f"gan_inpainter_{Path(domain).stem}.pt"
    save(generator, file)
    size_mb = file.stat().st_size / 1e6
    typer.echo(f"{file}: {sum(p.numel() for p in generator.parameters()) / 1e6:.2f} million parameters, {size_mb:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
