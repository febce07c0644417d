"""What each method costs beside plain CLIP, and how many true pairs its published form calls false.

    python -m bench.methods --snapshot DIR [--batch 64] [--model CONFIG.json]     whole steps on a snapshot that has variants
    python -m bench.methods [--batch 128] [--dim 512]                             the losses alone, on fixed features

With a snapshot every method has its own batches of it, held in memory, of equally many images, and trains its own model by the
loop's step. Methods take turns, in rounds; a round's time (of the CPU there, or the clock's on a GPU) is divided by CLIP's of the
same round, and the median counts. The loss is the first step's, of the same weights.

Without, the loss forward and backward on random features of families of two components, four images each where a method wants
duals, with every variant that it asks for. The share of negatives that are true is counted as a method is trained here and as it
was published (no masking). One thread, either way.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice

import torch
from torch import Tensor

from training.batch import Batch, Facts, Needs, TextKind
from training.decode import Pixels
from training.engine import start_engine, start_processes, train_step
from training.methods import NAMES, make
from training.model import build
from training.options import Options, make_options
from training.reader import batches
from training.snapshot import Manifest, read_manifest

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
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.snapshot:
        of_steps(given.snapshot, given.model, given.batch or 64, given.runs, given.device)
    else:
        of_losses(given.batch or 128, given.dim, given.runs, given.device)


def of_steps(snapshot: str, model: str, size: int, rounds: int, device: str) -> None:
    """Print the table of whole training steps; CoCa needs a model with a decoder and is left out of it."""
    manifest = read_manifest(snapshot)
    steps: dict[str, Callable[[], float]] = {}
    texts: dict[str, float] = {}
    for name in (one for one in NAMES if one != "coca"):
        values = {"snapshot": snapshot, "output": "", "model": model, "method": name, "batch_size": size, "device": device}
        steps[name], texts[name] = stepper(make_options(values), manifest)
    first = {name: step() for name, step in steps.items()}
    spent: dict[str, list[float]] = {name: [] for name in steps}
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    for _ in range(rounds):
        for name, step in steps.items():
            began = clock()
            step()
            spent[name].append(1000 * (clock() - began))
    print(f"{size} images a step of snapshot {manifest.id}, {model}\n")
    print("| method | texts a step | ms a step | of clip | first loss |\n|---|---|---|---|---|")
    for name, times in spent.items():
        beside = statistics.median(one / other for one, other in zip(times, spent["clip"], strict=True))
        print(f"| {name} | {texts[name]:.0f} | {statistics.median(times):.0f} | {beside:.2f} | {first[name]:.3f} |")


def stepper(options: Options, manifest: Manifest, count: int = 3) -> tuple[Callable[[], float], float]:
    """A function that takes one step on a method's next batch and gives the loss, and the texts of a batch on average."""
    _, _, device = start_processes(options)
    method = make(options.method)
    torch.manual_seed(0)
    model = build(options)
    pixels = Pixels.of(model.network.visual)

    def embed(words: list[str]) -> Tensor:
        with torch.inference_mode():
            return model.network.encode_text(model.tokenize(words)).float().numpy()  # type: ignore[operator]

    held: list[Batch] = []
    with closing(
        batches(
            manifest, method.needs, batch_size=options.batch_size, pixels=pixels, tokenize=model.tokenize,
            reader="pyarrow", pool="dummy", neighbours=embed,
        )
    ) as found:  # fmt: skip
        held += islice(found, count)
    engine = start_engine(model, method, options, device)
    taken = 0

    def step() -> float:
        nonlocal taken
        taken += 1
        return train_step(engine, held[taken % count], taken).total.item()

    return step, statistics.mean(len(one.text_ids) for one in held)


def of_losses(size: int, dim: int, runs: int, device: str) -> None:
    """Print the table of losses on fixed features."""
    print(
        "| method | texts | ms a step | of clip | masked pairs | true negatives | as published |\n|---|---|---|---|---|---|---|"
    )
    clip = 0.0
    for name in NAMES:
        method = make(name).to(device)
        images, texts, facts = batch(size, dim, method.needs, device)

        def step() -> None:
            method(images, texts, torch.tensor(100.0, device=images.device), facts).total.backward()  # noqa: B023 - called at once

        spent = median(step, runs, device)
        clip = clip or spent
        found = method(images, texts, torch.tensor(100.0, device=images.device), facts)
        literal = make(name, masking=False).to(device)(images, texts, torch.tensor(100.0, device=images.device), facts)
        used = found.counts["positive"] + found.counts["negative"]
        print(
            f"| {name} | {len(texts)} | {spent:.1f} | {spent / clip:.2f} | {1 - used / found.counts['pairs']:.1%}"
            f" | {found.true_but_negative:.2%} | {literal.true_but_negative:.2%} |"
        )


def median(step: Callable[[], None], runs: int, device: str) -> float:
    """Milliseconds of a step, after one that is not counted."""
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
    left = 3 & ~removed
    named = torch.randint(LABELS, (int(family.max()) + 1, 2), generator=random)[family]
    present = torch.zeros(images, LABELS, dtype=torch.bool)
    for bit in (0, 1):
        present[torch.arange(images), named[:, bit]] |= (left >> bit & 1).bool()
    kinds = [(place, kind in TRUE_KINDS) for place, (kind, count) in enumerate(needs.variants) for _ in range(count)]
    owner = torch.cat([torch.arange(images)] * (1 + len(kinds)))
    kind = [torch.full((images,), int(TextKind.POSITIVE if true else TextKind.NEGATIVE)) for _, true in kinds]
    variant = [torch.full((images,), place) for place, _ in kinds]
    facts = Facts(
        image_family=family,
        removed=removed,
        present=present,
        text_family=family[owner],
        named=torch.full((len(owner),), 3),
        mentions=left[owner],
        may_mention=torch.zeros(len(owner), dtype=torch.long),
        labels=present[owner],
        text_key=torch.arange(len(owner)),
        kind=torch.cat([torch.zeros(images, dtype=torch.long), *kind]),
        variant=torch.cat([torch.full((images,), -1), *variant]),
        owner=owner,
    )
    made = [torch.nn.functional.normalize(torch.randn(n, dim, generator=random), dim=1) for n in (images, len(owner))]
    return made[0].to(device).requires_grad_(), made[1].to(device).requires_grad_(), facts.to(device)


if __name__ == "__main__":
    main()
