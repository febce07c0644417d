"""Scenes as a CLIP sees them: pictures at the model's size and captions as tokens, rendered by several processes.

Scenes are rendered at 64, 96 and 128 pixels in turn and scaled to the model's size by its own preprocessing, so a scene looks the
same to the model at every picture size. Every second scene is encoded and decoded by the engine's JPEG codec.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt

from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.captions import CAPTIONS, tell
from jobs.scenes.render import render
from jobs.scenes.scene import Scene, Split
from udfs import images
from udfs.codec import CodecSettings

SIDES = (64, 96, 128)  # pixels, used in turn
BLOCK = 200  # scenes a task


@dataclass(frozen=True)
class Pairs:
    """Pictures, uint8 [n, 3, size, size] RGB, their tokens, int32 [n, CAPTIONS, context], and the captions."""

    pictures: npt.NDArray[np.uint8]
    tokens: npt.NDArray[np.int32]
    texts: list[list[str]]


def sample(domain: str, split: Split, seed: int, index: int) -> Scene:
    """A scene, at the size that its index selects."""
    return layout.sample(domain, split, seed, index, SIDES[index % len(SIDES)])


def picture(scene: Scene, removed: frozenset[str] = frozenset()) -> npt.NDArray[np.uint8]:
    """The picture of a scene, uint8 [S, S, 3] RGB; with an odd index it has JPEG artefacts."""
    rendered = render(scene, removed)
    return images.decode(images.encode(rendered, CodecSettings()), rendered.size) if scene.index % 2 else rendered


def make(domain: str, split: Split, seed: int, count: int, size: int, context: int, processes: int) -> Pairs:
    """Render and tokenise the first ``count`` scenes of a series.

    Args:
        domain: a built-in name or a definition file.
        split: split of the scenes.
        seed: seed of the scenes.
        count: number of scenes.
        size: side of the model's pictures in pixels.
        context: tokens a text, truncated or padded.
        processes: number of processes that render; 1: this process.
    """
    import open_clip

    starts = range(0, count, BLOCK)
    work = partial(_block, domain, split, seed, size, count)
    if processes == 1:
        blocks = [work(start) for start in starts]
    else:
        with ProcessPoolExecutor(processes, get_context("spawn"), _one_thread) as pool:
            blocks = list(pool.map(work, starts))
    texts = [captions for _, block_texts in blocks for captions in block_texts]
    tokenize = open_clip.SimpleTokenizer(context_length=context)
    distinct = list(dict.fromkeys(text for captions in texts for text in captions))
    row = {text: i for i, text in enumerate(distinct)}
    tokens = tokenize(distinct).numpy().astype(np.int32)
    rows = np.array([[row[text] for text in captions] for captions in texts])
    return Pairs(np.concatenate([pictures for pictures, _ in blocks]), tokens[rows], texts)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _block(
    domain: str, split: Split, seed: int, size: int, count: int, start: int
) -> tuple[npt.NDArray[np.uint8], list[list[str]]]:
    scenes = [sample(domain, split, seed, index) for index in range(start, min(start + BLOCK, count))]
    world = domains.load(domain)
    texts = [[caption.text for caption in tell(world, scene)] for scene in scenes]
    assert all(len(captions) == CAPTIONS for captions in texts), "a scene has too few captions"
    return np.stack(list(resized((picture(scene) for scene in scenes), size))), texts


def resized(pictures: Iterator[npt.NDArray[np.uint8]], size: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Scale pictures, uint8 [S, S, 3], to [3, size, size] with open_clip's own preprocessing."""
    from open_clip import image_transform
    from PIL import Image

    scale = image_transform(size, is_train=False, mean=(0.0,) * 3, std=(1.0,) * 3)
    for original in pictures:
        yield (scale(Image.fromarray(original)).numpy() * 255).round().astype(np.uint8)
