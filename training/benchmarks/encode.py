"""Embeds pictures and texts, each once. Images are streamed in batches; features are float32 unit vectors."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.benchmarks.item import Picture
from training.padding import cut_padding
from udfs import images

Vectors = NDArray[np.float32]
_TEXTS_AT_ONCE = 256
_BATCHES_AHEAD = 2


class Encoder(Protocol):
    """The interface of a model under evaluation."""

    name: str
    version: str

    def prepare(self, rgb: images.Rgb) -> Tensor:
        """Pixels uint8 [H, W, 3] to the model's input for one image; called from several threads."""

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Prepared images [B, ...] to features [B, D], not necessarily of unit length."""

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """B texts to features [B, D], not necessarily of unit length."""


@dataclass
class OpenClip:
    """An open_clip model, loaded from a checkpoint or being trained (the training process must set eval mode)."""

    model: Any
    preprocess: Callable[[Any], Tensor]
    tokenize: Callable[[list[str]], Tensor]
    device: str
    name: str
    version: str

    @classmethod
    def load(cls, model: str, checkpoint: str, device: str = "cpu") -> "OpenClip":
        """Load a name, config file or folder, with a checkpoint or a pretrained tag, like the pipeline's embedder.

        Raises:
            ValueError: there is no such model, or the weights were trained with the other activation (QuickGELU).
            FileNotFoundError: there is no such file.
        """
        from udfs.embed.clip import ClipModel
        from udfs.embed.settings import EmbedderSettings
        from udfs.weights import locate

        clip = ClipModel(EmbedderSettings(model=locate(model), checkpoint=locate(checkpoint)), device)
        cut_padding(clip.model)
        return cls(clip.model, clip.preprocess, clip.tokenize, device, clip.name, clip.version)

    def prepare(self, rgb: images.Rgb) -> Tensor:
        """The model's own resizing, cropping and scaling: float32 [3, S, S]."""
        from PIL import Image

        return self.preprocess(Image.fromarray(rgb))

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Float [B, 3, S, S] to [B, D]."""
        return self.model.encode_image(pixels.to(self.device))

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """B texts, truncated at the model's context length, to [B, D]."""
        # The tokenizer encodes as UTF-8, which fails on a lone surrogate.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return self.model.encode_text(self.tokenize(clean).to(self.device))


@dataclass(frozen=True)
class Features:
    """Unit vectors, float32 [D], of distinct pictures and texts."""

    images: dict[Picture, Vectors]
    texts: dict[str, Vectors]

    def of_images(self, pictures: Sequence[Picture]) -> Vectors:
        """[I, D]."""
        return np.stack([self.images[picture] for picture in pictures])

    def of_texts(self, texts: Sequence[str]) -> Vectors:
        """[T, D]."""
        return np.stack([self.texts[text] for text in texts])


def similarities(left: Vectors, right: Vectors) -> Vectors:
    """Cosines of a few unit vectors [I, D] with a few others [T, D]: float32 [I, T]; equal vectors get equal cosines.

    A matrix product may round equal columns differently, depending on their position, and hide a tie.
    """
    return (left[:, None, :] * right[None, :, :]).sum(axis=-1)


def embed_pictures(
    encoder: Encoder, pictures: Sequence[Picture], batch_size: int, workers: int, max_pixels: int, max_bytes: int
) -> tuple[dict[Picture, Vectors], dict[Picture, str]]:
    """Embed distinct pictures, with at most three batches in memory. Returns features, and reasons for failed pictures.

    Reasons are ``missing_file``, ``unreadable_file``, ``file_too_large``, ``empty_box`` and the statuses of
    ``udfs.images.ImageError``.
    """
    features: dict[Picture, Vectors] = {}
    failed: dict[Picture, str] = {}
    with _float32():
        for batch in _prepared(encoder, pictures, batch_size, workers, max_pixels, max_bytes):
            failed |= {picture: reason for picture, reason in batch if isinstance(reason, str)}
            readable = [(picture, pixels) for picture, pixels in batch if isinstance(pixels, Tensor)]
            if readable:
                vectors = _unit(encoder.encode_images(torch.stack([pixels for _, pixels in readable])))
                features |= zip((picture for picture, _ in readable), vectors, strict=True)
    return features, failed


def embed_texts(encoder: Encoder, texts: Sequence[str]) -> dict[str, Vectors]:
    """Embed distinct texts, each once."""
    distinct = list(dict.fromkeys(texts))
    features: dict[str, Vectors] = {}
    with _float32():
        for start in range(0, len(distinct), _TEXTS_AT_ONCE):
            part = distinct[start : start + _TEXTS_AT_ONCE]
            features |= zip(part, _unit(encoder.encode_texts(part)), strict=True)
    return features


@contextmanager
def _float32() -> Iterator[None]:
    """No gradients, and on a GPU no TF32 in the patch convolution, which is on by default."""
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def _unit(features: Tensor) -> Vectors:
    return torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()


def _prepared(
    encoder: Encoder, pictures: Sequence[Picture], batch_size: int, workers: int, max_pixels: int, max_bytes: int
) -> Iterator[list[tuple[Picture, Tensor | str]]]:
    """Batches of prepared pictures, or reasons; while the model computes a batch, threads decode the next ones."""

    def prepare(picture: Picture) -> tuple[Picture, Tensor | str]:
        try:
            return picture, encoder.prepare(_pixels(picture, max_pixels, max_bytes))
        except images.ImageError as problem:
            return picture, problem.status

    waiting: deque[list[Future[tuple[Picture, Tensor | str]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(pictures), batch_size):
            waiting.append([pool.submit(prepare, picture) for picture in pictures[start : start + batch_size]])
            if len(waiting) > _BATCHES_AHEAD:
                yield [future.result() for future in waiting.popleft()]
        while waiting:
            yield [future.result() for future in waiting.popleft()]


def _pixels(picture: Picture, max_pixels: int, max_bytes: int) -> images.Rgb:
    """Decode a picture and crop it to its box; a box is clipped at the image's edges.

    Raises:
        ImageError: with one of the statuses in ``embed_pictures``.
    """
    try:
        size = picture.path.stat().st_size
        if size > max_bytes:
            raise images.ImageError("file_too_large", f"{size} bytes; the limit is {max_bytes}")
        rgb = images.decode(picture.path.read_bytes(), max_pixels)
    except FileNotFoundError as problem:
        raise images.ImageError("missing_file", str(picture.path)) from problem
    except OSError as problem:
        raise images.ImageError("unreadable_file", str(problem)) from problem
    if picture.box is None:
        return rgb
    left, top, width, height = picture.box
    part = rgb[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    if not part.size:
        raise images.ImageError("empty_box", f"{picture.box} is outside of {rgb.shape[1]} x {rgb.shape[0]} pixels")
    return part
