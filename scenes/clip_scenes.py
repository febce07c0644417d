"""Scenes as a CLIP sees them: pictures at its own size, captions as tokens, made by several processes.

Scenes are rendered at 64, 96 and 128 pixels in turn and brought to the model's size by its own preprocessing, so that a scene
looks alike to it however large its picture was. Every second one has been through the engine's JPEG codec.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt

from jobs.settings import Codec
from scenes import domain as domains
from scenes import layout
from scenes.captions import CAPTIONS, tell
from scenes.render import render
from scenes.scene import Scene, Split
from udfs import images

SIDES = (64, 96, 128)  # pixels, in turn
BLOCK = 200  # scenes a task


@dataclass(frozen=True)
class Pairs:
    """Pictures uint8 [n, 3, size, size] RGB, tokens int32 [n, CAPTIONS, context], and the captions' strings."""

    pictures: npt.NDArray[np.uint8]
    tokens: npt.NDArray[np.int32]
    texts: list[list[str]]


def sample(domain: str, split: Split, seed: int, index: int) -> Scene:
    """A scene of the size that is its turn."""
    return layout.sample(domain, split, seed, index, SIDES[index % len(SIDES)])


def picture(scene: Scene, removed: frozenset[str] = frozenset()) -> npt.NDArray[np.uint8]:
    """A scene rendered, uint8 [S, S, 3] RGB; that of an odd index has been through JPEG."""
    drawn = render(scene, removed)
    return images.decode(images.encode(drawn, Codec()), drawn.size) if scene.index % 2 else drawn


def make(domain: str, split: Split, seed: int, count: int, size: int, context: int, processes: int) -> Pairs:
    """The first ``count`` scenes of a series.

    Args:
        domain: a built-in name or a definition file.
        split: of the scenes.
        seed: of the scenes.
        count: of the scenes.
        size: side of the model's pictures in pixels.
        context: tokens of a text, cut or filled up to this.
        processes: that render; 1: this one.
    """
    import open_clip

    starts = range(0, count, BLOCK)
    work = partial(_block, domain, split, seed, size, count)
    if processes == 1:
        blocks = [work(start) for start in starts]
    else:
        with ProcessPoolExecutor(processes, get_context("spawn"), _alone) as pool:
            blocks = list(pool.map(work, starts))
    texts = [told for _, some in blocks for told in some]
    tokenize = open_clip.SimpleTokenizer(context_length=context)
    distinct = list(dict.fromkeys(text for told in texts for text in told))
    row = {text: i for i, text in enumerate(distinct)}
    tokens = tokenize(distinct).numpy().astype(np.int32)
    places = np.array([[row[text] for text in told] for told in texts])
    return Pairs(np.concatenate([some for some, _ in blocks]), tokens[places], texts)


def _alone() -> None:
    import torch

    torch.set_num_threads(1)


def _block(
    domain: str, split: Split, seed: int, size: int, count: int, start: int
) -> tuple[npt.NDArray[np.uint8], list[list[str]]]:
    scenes = [sample(domain, split, seed, index) for index in range(start, min(start + BLOCK, count))]
    world = domains.load(domain)
    told = [[caption.text for caption in tell(world, scene)] for scene in scenes]
    assert all(len(some) == CAPTIONS for some in told), "a scene has too few captions"
    return np.stack(list(resized((picture(scene) for scene in scenes), size))), told


def resized(pictures: Iterator[npt.NDArray[np.uint8]], size: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Pictures [S, S, 3] as [3, size, size], scaled as open_clip's own preprocessing does it."""
    from open_clip import image_transform
    from PIL import Image

    scale = image_transform(size, is_train=False, mean=(0.0,) * 3, std=(1.0,) * 3)
    for one in pictures:
        yield (scale(Image.fromarray(one)).numpy() * 255).round().astype(np.uint8)
