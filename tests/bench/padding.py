"""The speed of a text tower that skips padding, relative to the same tower over the whole context.

    python -m tests.bench.padding --model ViT-B-32 --batch 32 --repeat 5

Forward and backward pass on captions of scenes, random weights, one thread. The towers take turns; the median ratio is printed.
"""

import argparse
import statistics
import time
from typing import Any

import open_clip
import torch

from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.captions import tell
from training.padding import cut_padding


def captions(count: int) -> list[str]:
    """Captions of scenes of the domain ``objects``."""
    texts: list[str] = []
    index = 0
    while len(texts) < count:
        scene = layout.sample("objects", "test", 100, index, 96)
        texts += [caption.text for caption in tell(domains.load("objects"), scene)]
        index += 1
    return texts[:count]


def seconds(network: Any, tokens: torch.Tensor) -> float:
    """CPU seconds of one forward and backward pass."""
    started = time.process_time()
    network.encode_text(tokens).sum().backward()
    return time.process_time() - started


def main() -> None:
    """Time both towers and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B-32", help="name of an open_clip model")
    parser.add_argument("--batch", type=int, default=32, help="texts a batch")
    parser.add_argument("--repeat", type=int, default=5, help="number of measurements of each tower")
    options = parser.parse_args()
    torch.set_num_threads(1)
    whole, cut = (open_clip.create_model(options.model, pretrained=None) for _ in range(2))
    if not cut_padding(cut):
        raise SystemExit(f"{options.model} attends to padding, so it cannot be cut: choose another model")
    tokens = open_clip.get_tokenizer(options.model)(captions(options.batch))
    lengths = (tokens.argmax(dim=-1) + 1).tolist()
    for network in (whole, cut):
        seconds(network, tokens)
    ratios, costs = [], []
    for _ in range(options.repeat):
        costs.append(seconds(cut, tokens))
        ratios.append(seconds(whole, tokens) / costs[-1])
    print(f"{options.model}: texts of {min(lengths)} to {max(lengths)} tokens of {tokens.shape[1]}")
    print(f"whole / cut: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"cut: {statistics.median(costs):.2f} CPU s")


if __name__ == "__main__":
    main()
