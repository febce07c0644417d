r"""The cost of each method relative to plain CLIP, and how many true pairs its published form calls false.

    python -m tests.bench.methods \
        --snapshot DIR [--batch 64] [--model CONFIG.json]     whole steps on a snapshot that has variants
    python -m tests.bench.methods [--batch 128] [--dim 512]                             the losses alone, on fixed features

With a snapshot, each method has its own batches of equally many images, held in memory, and trains its own model by the loop's
step. Methods take turns, in rounds. The time of a round (CPU time, or wall time on a GPU) is divided by CLIP's in the same round,
and the median is printed. The loss is that of the first step; all start with the same weights.

Without a snapshot, the loss runs forward and backward on random features of families of two components, four images each for a
method with duals, with all variants that the method takes. The share of negatives that are true is counted both as a method is
trained here and as it was published (no masking). One thread in both cases.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice

import torch
from torch import Tensor

from jobs.snapshot.manifest import Manifest, read_manifest
from training.data.batch import Batch, Facts, Needs, TextKind
from training.data.decode import Pixels
from training.data.reader import ReadOptions, batches
from training.engine import start_engine, start_processes, train_step
from training.methods import NAMES, make
from training.model import build
from training.options import Options, make_options
from training.tables import markdown_table

LABELS = 80
TRUE_KINDS = ("paraphrase", "rewrite")


def main() -> None:
    """Time every method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snapshot", default="", help="folder that dualset publish wrote, with variants; empty: fixed features")
    parser.add_argument("--model", default="embedded:clip_objects.json", help="with a snapshot: config of the model")
    parser.add_argument("--batch", type=int, default=0, help="images; 0: 64 of a snapshot, 128 of features")
    parser.add_argument("--dim", type=int, default=512, help="width of the fixed features")
    parser.add_argument("--runs", type=int, default=15, help="timed steps, or rounds; the median is printed")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.snapshot:
        of_steps(options.snapshot, options.model, options.batch or 64, options.runs, options.device)
    else:
        of_losses(options.batch or 128, options.dim, options.runs, options.device)


def of_steps(snapshot: str, model: str, size: int, rounds: int, device: str) -> None:
    """Print the table of whole training steps; CoCa needs a model with a decoder and is left out."""
    manifest = read_manifest(snapshot)
    steps: dict[str, Callable[[], float]] = {}
    texts: dict[str, float] = {}
    for name in (method for method in NAMES if method != "coca"):
        values = {"snapshot": snapshot, "output": "", "model": model, "method": name, "batch_size": size, "device": device}
        steps[name], texts[name] = stepper(make_options(values), manifest)
    first = {name: step() for name, step in steps.items()}
    spent: dict[str, list[float]] = {name: [] for name in steps}
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    for _ in range(rounds):
        for name, step in steps.items():
            started = clock()
            step()
            spent[name].append(1000 * (clock() - started))
    print(f"{size} images a step of snapshot {manifest.id}, {model}\n")
    rows = []
    for name, times in spent.items():
        ratio = statistics.median(own / clip for own, clip in zip(times, spent["clip"], strict=True))
        rows.append((name, f"{texts[name]:.0f}", f"{statistics.median(times):.0f}", f"{ratio:.2f}", f"{first[name]:.3f}"))
    print("\n".join(markdown_table(("method", "texts a step", "ms a step", "of clip", "first loss"), rows)))


def stepper(options: Options, manifest: Manifest, count: int = 3) -> tuple[Callable[[], float], float]:
    """A function that takes a step on a method's next batch and returns the loss, and the mean number of texts in a batch."""
    _, _, device = start_processes(options)
    method = make(options.method)
    torch.manual_seed(0)
    model = build(options)
    pixels = Pixels.of(model.network.visual)

    def embed(texts: list[str]) -> Tensor:
        with torch.inference_mode():
            return model.network.encode_text(model.tokenize(texts)).float().numpy()  # type: ignore[operator]

    drawn: list[Batch] = []
    read_options = ReadOptions(options.batch_size, reader="pyarrow", pool="dummy")
    with closing(
        batches(manifest, method.needs, read_options, pixels=pixels, tokenize=model.tokenize, neighbours=embed)
    ) as endless:
        drawn += islice(endless, count)
    engine = start_engine(model, method, options, device)
    taken = 0

    def step() -> float:
        nonlocal taken
        taken += 1
        return train_step(engine, drawn[taken % count], taken).total.item()

    return step, statistics.mean(len(batch.text_ids) for batch in drawn)


def of_losses(size: int, dim: int, runs: int, device: str) -> None:
    """Print the table of losses on fixed features."""
    head = ("method", "texts", "ms a step", "of clip", "masked pairs", "true negatives", "as published")
    for line in markdown_table(head, losses(size, dim, runs, device)):
        print(line)


def losses(size: int, dim: int, runs: int, device: str) -> Iterator[tuple[object, ...]]:
    """A row of the table of losses for each method."""
    clip = 0.0
    for name in NAMES:
        method = make(name).to(device)
        images, texts, facts = batch(size, dim, method.needs, device)

        def step() -> None:
            method(images, texts, torch.tensor(100.0, device=images.device), facts).total.backward()  # noqa: B023 - called at once

        spent = median(step, runs, device)
        clip = clip or spent
        result = method(images, texts, torch.tensor(100.0, device=images.device), facts)
        literal = make(name, masking=False).to(device)(images, texts, torch.tensor(100.0, device=images.device), facts)
        used = result.counts["positive"] + result.counts["negative"]
        shares = (
            f"{1 - used / result.counts['pairs']:.1%}",
            f"{result.true_but_negative:.2%}",
            f"{literal.true_but_negative:.2%}",
        )
        yield name, len(texts), f"{spent:.1f}", f"{spent / clip:.2f}", *shares


def median(step: Callable[[], None], runs: int, device: str) -> float:
    """Milliseconds of a step, the median after a warm-up step."""
    spent = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        step()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        spent.append(1000 * (time.perf_counter() - start))
    return statistics.median(spent[1:])


def batch(images: int, dim: int, needs: Needs, device: str) -> tuple[Tensor, Tensor, Facts]:
    """Random unit features, and the facts of families that name two labels of ``LABELS`` each.

    Returns:
        float32 [I, D] and [T, D] with gradient, T = I (1 + variants), and their facts.
    """
    random = torch.Generator().manual_seed(0)
    members = 4 if needs.duals else 1
    family = torch.arange(images) // members
    removed = torch.arange(images) % members
    remaining = 3 & ~removed
    named = torch.randint(LABELS, (int(family.max()) + 1, 2), generator=random)[family]
    present = torch.zeros(images, LABELS, dtype=torch.bool)
    for bit in (0, 1):
        present[torch.arange(images), named[:, bit]] |= (remaining >> bit & 1).bool()
    kinds = [(index, kind in TRUE_KINDS) for index, (kind, count) in enumerate(needs.variants) for _ in range(count)]
    owner = torch.cat([torch.arange(images)] * (1 + len(kinds)))
    kind = [torch.full((images,), int(TextKind.POSITIVE if true else TextKind.NEGATIVE)) for _, true in kinds]
    variant = [torch.full((images,), index) for index, _ in kinds]
    facts = Facts(
        image_family=family,
        removed=removed,
        present=present,
        text_family=family[owner],
        named=torch.full((len(owner),), 3),
        mentions=remaining[owner],
        may_mention=torch.zeros(len(owner), dtype=torch.long),
        labels=present[owner],
        text_key=torch.arange(len(owner)),
        kind=torch.cat([torch.zeros(images, dtype=torch.long), *kind]),
        variant=torch.cat([torch.full((images,), -1), *variant]),
        owner=owner,
    )
    features = [torch.nn.functional.normalize(torch.randn(n, dim, generator=random), dim=1) for n in (images, len(owner))]
    return features[0].to(device).requires_grad_(), features[1].to(device).requires_grad_(), facts.to(device)


if __name__ == "__main__":
    main()
