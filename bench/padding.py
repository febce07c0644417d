"""What a text tower costs that computes no padding, beside the same tower over the whole context.

    python -m bench.padding --model ViT-B-32 --batch 32 --repeat 5

Captions of scenes, forward and backward, random weights, one thread; both towers take turns, and the median ratio counts.
"""

import argparse
import statistics
import time
from typing import Any

import open_clip
import torch

from scenes import domain as domains
from scenes import layout
from scenes.captions import tell
from training.padding import cut_padding


def captions(count: int) -> list[str]:
    """Captions of scenes of the domain ``objects``."""
    found: list[str] = []
    index = 0
    while len(found) < count:
        scene = layout.sample("objects", "test", 100, index, 96)
        found += [one.text for one in tell(domains.load("objects"), scene)]
        index += 1
    return found[:count]


def seconds(network: Any, tokens: torch.Tensor) -> float:
    """CPU seconds of one forward and backward."""
    begun = time.process_time()
    network.encode_text(tokens).sum().backward()
    return time.process_time() - begun


def main() -> None:
    """Time both towers and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B-32", help="of open_clip")
    parser.add_argument("--batch", type=int, default=32, help="texts")
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    whole, cut = (open_clip.create_model(given.model, pretrained=None) for _ in range(2))
    if not cut_padding(cut):
        raise SystemExit(f"{given.model} sees padding: nothing is cut")
    tokens = open_clip.get_tokenizer(given.model)(captions(given.batch))
    lengths = (tokens.argmax(dim=-1) + 1).tolist()
    for network in (whole, cut):
        seconds(network, tokens)
    ratios, costs = [], []
    for _ in range(given.repeat):
        costs.append(seconds(cut, tokens))
        ratios.append(seconds(whole, tokens) / costs[-1])
    print(f"{given.model}: texts of {min(lengths)} to {max(lengths)} tokens of {tokens.shape[1]}")
    print(f"whole / cut: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"cut: {statistics.median(costs):.2f} CPU s")


if __name__ == "__main__":
    main()
