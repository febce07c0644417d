"""The cost of the training loop: steps a second of ``dualset train``, against a bare PyTorch loop on the same model and data.

    python -m tests.bench.train_loop --model CONFIG.json --batch 128 --steps 10 --repeat 5

Both train a new model from the config with the same AdamW and loss, on the same batches in memory. Blocks of steps alternate, in
alternating order; the ratio is the median over neighbouring blocks. At ZeRO 0 it shows what DeepSpeed, gathering and the truth
relation add in one process.
"""

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from training.data.batch import Batch, Facts
from training.data.decode import Pixels
from training.engine import start_engine, start_processes, train_step
from training.methods import make
from training.model import Model, build
from training.options import Options, make_options

WORDS = ("a", "red", "dog", "cat", "on", "under", "the", "table", "grass", "ball")


def batches(model: Model, size: int, count: int, extra: int) -> list[Batch]:
    """Batches of random images, each of its own family, with one true and ``extra`` false texts an image."""
    drawn = []
    draw = random.Random(0)
    for number in range(count):
        families = torch.arange(size) + number * size
        owner = torch.cat([torch.arange(size), torch.arange(size).repeat_interleave(extra)])
        texts = len(owner)
        kind = (torch.arange(texts) >= size).long()
        none, ones = torch.zeros(texts, dtype=torch.int64), torch.ones(texts, dtype=torch.int64)
        facts = Facts(
            image_family=families, removed=torch.zeros(size, dtype=torch.int64), present=torch.ones(size, 80, dtype=torch.bool),
            text_family=families[owner], named=ones, mentions=ones, may_mention=none, labels=torch.rand(texts, 80) < 0.02,
            text_key=torch.arange(texts), kind=kind, variant=kind - 1, owner=owner,
        )  # fmt: skip
        tokens = model.tokenize([" ".join(draw.choices(WORDS, k=10)) for _ in range(texts)])
        side = Pixels.of(model.network.visual).size
        pixels = torch.randn(size, 3, side, side)
        drawn.append(Batch(pixels, tokens, facts, tuple(map(str, range(size))), tuple(map(str, range(texts)))))
    return drawn


def dualset(options: Options, data: list[Batch]) -> Callable[[int], float]:
    """The step of ``dualset train``: a function from the number of the step to its loss."""
    _, world, device = start_processes(options)
    method, model = make(options.method), build(options, world)
    engine = start_engine(model, method, options, device)
    return lambda step: train_step(engine, data[step % len(data)], step).total.item()


def bare(options: Options, data: list[Batch]) -> Callable[[int], float]:
    """A tutorial's step: forward, InfoNCE over images and all texts, backward, AdamW, clamp."""
    model = build(options)
    network, log_scale = model.network, model.log_scale
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    groups = [{"params": [w for w in weights if w.ndim > 1]}, {"params": [w for w in weights if w.ndim < 2]}]
    groups[1] |= {"weight_decay": 0.0}  # type: ignore[dict-item]
    groups[1]["params"].append(log_scale)
    adam = torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1, fused=True)

    def step(number: int) -> float:
        batch = data[number % len(data)]
        images = network.encode_image(batch.pixels, normalize=True)  # type: ignore[operator]
        texts = network.encode_text(batch.tokens, normalize=True)  # type: ignore[operator]
        logits = log_scale.exp() * images @ texts.T
        own = torch.arange(len(images))
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits[:, : len(images)].T, own)) / 2
        loss.backward()
        adam.step()
        adam.zero_grad(set_to_none=True)
        with torch.no_grad():
            log_scale.clamp_(0.0, 4.6052)
        return loss.item()

    return step


def measure(loops: dict[str, Callable[[int], float]], steps: int, rounds: int) -> None:
    """Alternate blocks of steps; print steps a second, CPU seconds a step, and the ratio of dualset to the bare loop."""
    rates: dict[str, list[float]] = {name: [] for name in loops}
    cpu: dict[str, list[float]] = {name: [] for name in loops}
    for step in loops.values():
        step(0)  # allocates the optimiser's state
    for number in range(rounds):
        for name in sorted(loops, reverse=bool(number % 2)):
            started, started_cpu = time.perf_counter(), time.process_time()
            for i in range(steps):
                loops[name](1 + number * steps + i)
            rates[name].append(steps / (time.perf_counter() - started))
            cpu[name].append((time.process_time() - started_cpu) / steps)
        print(f"round {number}: " + ", ".join(f"{name} {rates[name][-1]:.3f}" for name in loops) + " steps/s", flush=True)
    for name in loops:
        print(f"{name:<7} {statistics.median(rates[name]):8.3f} steps/s {statistics.median(cpu[name]):8.3f} CPU s/step")
    wall = statistics.median(dual / plain for dual, plain in zip(rates["dualset"], rates["bare"], strict=True))
    work = statistics.median(plain / dual for dual, plain in zip(cpu["dualset"], cpu["bare"], strict=True))
    print(f"ratio of steps a second {wall:.3f}, of steps a CPU second {work:.3f}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", default="ViT-B-32", help="open_clip name or JSON config")
    parser.add_argument("--method", default="clip", help="method of dualset's loss; the bare loop's is InfoNCE")
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--extra", type=int, default=0, help="false texts an image")
    parser.add_argument("--steps", type=int, default=10, help="steps a block")
    parser.add_argument("--repeat", type=int, default=5, help="number of blocks of each loop")
    parser.add_argument("--zero", type=int, default=0, help="ZeRO stage of dualset")
    args = parser.parse_args()
    options = make_options(
        {
            "snapshot": "none",
            "output": "none",
            "model": args.model,
            "method": args.method,
            "batch_size": args.batch,
        }
        | {"device": "cpu", "zero": args.zero, "steps": 10**6, "warmup": 0}
    )
    data = batches(build(options), args.batch, 4, args.extra)
    print(json.dumps(vars(args)), f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    print("model", Path(args.model).stem)
    measure({"dualset": dualset(options, data), "bare": bare(options, data)}, args.steps, args.repeat)


if __name__ == "__main__":
    main()
