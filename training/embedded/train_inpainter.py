"""Train the embedded inpainter: a small diffusion pipeline on pixels, from scratch, on scenes.

    python -m training.embedded.train_inpainter --domain objects --size 96 --scenes 6000 --seed 1 --epochs 6 --output DIR

Learns to paint what is really behind a removed thing: scenes are rendered with and without a subset of their labels, and cropped
as in the engine. Writes ``inpainter_<domain>``, a folder in diffusers' format (``udfs.inpaint.pixel_pipeline``), in half
precision. The truth has no shadow of what was removed, so the network learns to end the shadow that remains around the hole.
"""

import math
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from jobs.scenes.seeds import check
from training.embedded.inpainting_data import Crops, batch, cached_crops
from udfs.inpaint.settings import InpainterSettings

SIDE = 64  # side of the crops in pixels
CHANNELS, FOLD = (32, 64, 128), 2
BATCH, RATE, WARM = 16, 1e-3, 100  # crops a step; peak learning rate; warm-up steps
FREE = 0.15  # share of crops with a free-form hole
FIRST = 0.75  # share of crops at the first time step, pure noise; the others at a random one
EMA = 0.999  # decay of the weights' moving average
FLOOR = 2e-4  # added to a hole's squared error (values of -1 to 1) before the logarithm; 43 dB, about the camera's noise


def build(channels: tuple[int, ...] = CHANNELS) -> Any:
    """The untrained pipeline: blocks of the given widths, attention in the coarsest."""
    import torch
    from diffusers.models.unets.unet_2d import UNet2DModel
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    from udfs.inpaint.pixel_pipeline import PixelInpaintPipeline

    plain = len(channels) - 1
    unet = UNet2DModel(
        sample_size=SIDE // FOLD,
        in_channels=7 * FOLD**2,
        out_channels=3 * FOLD**2,
        layers_per_block=1,
        block_out_channels=channels,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
        attention_head_dim=16,
        norm_num_groups=8,
    )
    torch.nn.init.zeros_(unet.conv_out.weight)  # training starts from the smooth fill
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample", timestep_spacing="trailing")
    return PixelInpaintPipeline(unet, scheduler)


def train(pipeline: Any, data: Crops, epochs: int, minutes: float, seed: int) -> int:
    """Train in place and return the number of steps.

    Args:
        pipeline: from ``build``; its network ends as the moving average of its weights.
        data: training crops.
        epochs: number of visits to each crop, if the time suffices.
        minutes: longest training time. The learning rate falls with the share of steps or of time used, whichever is larger.
        seed: seed of order, noise and holes.
    """
    import torch
    from diffusers.training_utils import EMAModel

    from udfs.inpaint.pixel_pipeline import predict

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    unet, scheduler = pipeline.unet.train().to(memory_format=torch.channels_last), pipeline.scheduler
    average = EMAModel(unet.parameters(), decay=EMA, use_ema_warmup=True, power=0.75)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=RATE, weight_decay=1e-4)
    size = min(BATCH, len(data.image))
    steps = epochs * (len(data.image) // size)
    started, mean_loss = time.perf_counter(), 0.0
    for step in range(steps):
        if step % (steps // epochs) == 0:
            order = rng.permutation(len(data.image))
        spent = time.perf_counter() - started
        progress = max(step / steps, spent / (60 * minutes))
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM) * (0.5 + 0.5 * math.cos(math.pi * progress))
        start = step % (steps // epochs) * size
        image, truth, mask = tensors(batch(data, order[start : start + size], FREE, rng))
        last = scheduler.config.num_train_timesteps - 1
        when = torch.where(torch.rand(size) < FIRST, last, torch.randint(0, last + 1, (size,)))
        noisy = scheduler.add_noise(truth, torch.randn_like(truth), when)
        error = (predict(unet, noisy, image, mask, when) - truth).square() * mask
        # PSNR averages this logarithm. All holes count the same, whatever their size, and a hole that hides an unguessable thing
        # does not outweigh what can be learned from plain ground.
        loss = (error.sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)).clamp(min=1)) + FLOOR).log().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        average.step(unet.parameters())
        mean_loss = loss.item() if step == 0 else 0.99 * mean_loss + 0.01 * loss.item()
        if (step + 1) % 200 == 0:
            typer.echo(f"step {step + 1} of {steps}, {spent:.0f} s: loss {mean_loss:.5f}")
    else:
        step = steps
    average.copy_to(unet.parameters())
    unet.eval()
    return step


def tensors(crops: Crops) -> tuple[Any, Any, Any]:
    """Image and truth, float32 [n, 3, side, side] in -1 to 1, and the hole, [n, 1, side, side] of 0 and 1."""
    import torch

    image, truth = (torch.from_numpy(array.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1) for array in crops[:2])
    return image, truth, torch.from_numpy((crops.hole > 0).astype(np.float32)[:, None])


def save(pipeline: Any, folder: Path) -> None:
    """Write a pipeline in diffusers' format, in half precision; it can be loaded in any precision."""
    pipeline.unet.half()
    pipeline.save_pretrained(folder, safe_serialization=True)


def main(
    output: Annotated[Path, typer.Option(help="folder in which to create the pipeline's folder")],
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the scenes in pixels")] = 96,
    scenes: Annotated[int, typer.Option(min=2, help="number of training scenes")] = 6000,
    seed: Annotated[int, typer.Option(help="seed of scenes and training: 1 to 99")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="number of visits to each removal")] = 6,
    minutes: Annotated[float, typer.Option(min=0.1, help="longest training time in minutes")] = 60.0,
    threads: Annotated[int, typer.Option(min=1, help="threads of torch, and rendering processes")] = 2,
    cache: Annotated[Path | None, typer.Option(help="folder to cache the crops in, for both inpainters; none: no cache")] = None,
) -> None:
    """Render removals, train a diffusion pipeline on them, and write it."""
    import torch

    check(seed, "training")
    started = time.perf_counter()
    data = cached_crops(cache, domain, seed, size, scenes, SIDE, InpainterSettings(), threads)
    rendered = time.perf_counter()
    typer.echo(f"{len(data.image)} removals from {scenes} scenes in {rendered - started:.0f} s")
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    pipeline = build()
    typer.echo(f"{sum(p.numel() for p in pipeline.unet.parameters()) / 1e6:.2f} million parameters")
    steps = train(pipeline, data, epochs, minutes, seed)
    spent = time.perf_counter() - rendered
    typer.echo(f"{steps} steps of {BATCH} crops in {spent:.0f} s, {steps * BATCH / spent:.1f} crops a second")
    folder = output / f"inpainter_{Path(domain).stem}"
    save(pipeline, folder)
    typer.echo(f"{folder}: {sum(f.stat().st_size for f in folder.rglob('*') if f.is_file()) / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
