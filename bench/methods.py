"""What the loss of each method costs on fixed features, and how many true pairs its published form calls false.

    python -m bench.methods --batch 128 --dim 512

Families of two components, four images each where a method wants duals; every variant that a method asks for. Forward and
backward through the features, the median of some runs; models and data apart. One thread. The share of negatives that are true is
counted as the method is trained here and as it was published (no masking).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from training.batch import Facts, Needs, TextKind
from training.methods import NAMES, make

LABELS = 80
TRUE_KINDS = ("paraphrase", "rewrite")


def main() -> None:
    """Time every method on a batch of its own needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128, help="images")
    parser.add_argument("--dim", type=int, default=512, help="width of the features")
    parser.add_argument("--runs", type=int, default=15, help="timed runs; the median is printed")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| method | texts | ms a step | of clip | masked pairs | true negatives | as published |\n|---|---|---|---|---|---|---|"
    )
    clip = 0.0
    for name in NAMES:
        method = make(name).to(given.device)
        images, texts, facts = batch(given.batch, given.dim, method.needs, given.device)

        def step() -> None:
            method(images, texts, torch.tensor(100.0, device=images.device), facts).total.backward()  # noqa: B023 - called at once

        spent = median(step, given.runs, given.device)
        clip = clip or spent
        found = method(images, texts, torch.tensor(100.0, device=images.device), facts)
        literal = make(name, masking=False).to(given.device)(images, texts, torch.tensor(100.0, device=images.device), facts)
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
