"""The study's own questions on scenes, held in memory: decoded once, then asked of many models.

``jobs.scenes.benchmark`` writes them, and ``training.benchmarks.scenes`` judges the answers. Verdicts are packed, so that a run's
record stays small but can still be compared question by question.
"""

import base64
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.benchmarks import BenchmarkError, blind, scenes
from training.benchmarks.averages import groups_of, values_of
from training.benchmarks.encode import Features
from training.benchmarks.evaluate import judged
from training.benchmarks.item import Item, Picture, Verdict, pictures_of
from training.data.decode import Pixels
from udfs.files import write_whole

Packed = dict[str, str]  # "group/metric" to packed verdicts, in the order of the questions
_TEXTS_AT_ONCE, _IMAGES_AT_ONCE = 256, 128


@dataclass(frozen=True)
class Questions:
    """Items with their distinct pictures as model inputs, float32 [P, 3, S, S]; ``places`` is each picture's index there."""

    items: list[Item]
    pixels: Tensor
    places: dict[Picture, int]
    texts: list[str]
    tokens: Tensor
    version: str

    @classmethod
    def load(
        cls, folder: Path, pixels: Pixels, tokenize: Callable[[list[str]], Tensor], groups: Sequence[str] = ()
    ) -> "Questions":
        """Read a folder that ``jobs.scenes.benchmark`` wrote; if ``groups`` are named, only those.

        Raises:
            BenchmarkError: a picture is missing, or there is no item.
        """
        items = [item for item in scenes.load(folder, folder / "images") if not groups or item.task in groups]
        if not items:
            raise BenchmarkError(f"{folder} has no item of {', '.join(groups)}")
        pictures = pictures_of(items)
        prepared = _prepared(pixels, [picture.path.read_bytes() for picture in pictures])
        texts = list(dict.fromkeys(text for item in items for text in item.texts))
        digest = hashlib.sha256((folder / "items.json").read_bytes()).hexdigest()[:16]
        places = {picture: position for position, picture in enumerate(pictures)}
        return cls(items, prepared, places, texts, tokenize(texts), digest)

    def ask(self, images: Callable[[Tensor], Tensor], texts: Callable[[Tensor], Tensor]) -> list[Verdict]:
        """The verdicts of a model, passed as its two towers: pixels or tokens to features [B, D] of any length."""
        with torch.inference_mode():
            image_vectors = _unit(images, self.pixels, _IMAGES_AT_ONCE)
            text_vectors = _unit(texts, self.tokens, _TEXTS_AT_ONCE)
        features = Features(
            {picture: image_vectors[position] for picture, position in self.places.items()},
            dict(zip(self.texts, text_vectors, strict=True)),
        )
        return judged(scenes, self.items, features)

    @property
    def scene_numbers(self) -> dict[str, NDArray[np.int32]]:
        """For each group the scene of each question, in order; the bootstrap draws scenes."""
        by_group: dict[str, list[int]] = {}
        for item in self.items:
            by_group.setdefault(item.task, []).append(int(item.key.rpartition("_")[2]))
        return {group: np.array(numbers, np.int32) for group, numbers in by_group.items()}


def features_of(tower: Callable[[Tensor], Tensor], pixels: Pixels, images: Sequence[bytes]) -> NDArray[np.float32]:
    """Unit vectors [N, D] of encoded images, computed in batches."""
    batches = (images[start : start + _IMAGES_AT_ONCE] for start in range(0, len(images), _IMAGES_AT_ONCE))
    return np.concatenate([_unit(tower, _prepared(pixels, batch), _IMAGES_AT_ONCE) for batch in batches])


def _prepared(pixels: Pixels, images: Sequence[bytes]) -> Tensor:
    never = Random(0)  # nothing is drawn: no image is augmented
    return pixels.tensor([pixels.cut(image, never) for image in images])


def _unit(tower: Callable[[Tensor], Tensor], inputs: Tensor, size: int) -> NDArray[np.float32]:
    parts = [torch.nn.functional.normalize(tower(part).float(), dim=-1) for part in inputs.split(size)]
    return torch.cat(parts).cpu().numpy()


def packed(verdicts: Sequence[Verdict]) -> Packed:
    """Verdicts 0, 0.5 and 1 as one packed string for each group and metric, in the order of the questions."""
    columns: dict[str, list[float]] = {}
    for verdict in verdicts:
        for metric, value in verdict.values.items():
            columns.setdefault(f"{verdict.group.partition(':')[0]}/{metric}", []).append(value)
    return {name: _pack(2 * np.array(values, np.float64)) for name, values in columns.items()}


def unpacked(text: str) -> NDArray[np.float32]:
    """The verdicts of one packed string: float32 of 0, 0.5 and 1."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).astype(np.float32) / 2


def _pack(doubled: NDArray[np.float64]) -> str:
    codes = doubled.astype(np.uint8)
    if not (codes == doubled).all() or codes.max(initial=0) > 2:
        raise ValueError("a verdict is 0, 0.5 or 1")
    return base64.b64encode(zlib.compress(codes.tobytes(), 9)).decode("ascii")


def write_numbers(questions: Questions, file: Path) -> None:
    """Write the scene of each question, packed, and the blind baselines: with the records, all that a report needs.

    A file for the same questions is left unchanged.
    """
    if file.is_file() and json.loads(file.read_text(encoding="utf-8"))["version"] == questions.version:
        return
    numbers = Numbers(questions.version, questions.scene_numbers, blind_values(questions.items))
    write_whole(file, numbers.as_json() + "\n")


def blind_values(items: Sequence[Item]) -> dict[str, dict[str, float]]:
    """For each baseline (chance, shorter, probe) its value in each column that it can answer."""
    rows = [row for row in scenes.aggregate(dict(Counter(item.group for item in items))) if len(groups_of(row.part)) == 1]
    columns = {"chance": blind.chances(scenes, items, rows)}
    asked = blind.askable(scenes, items)
    columns |= {name: values_of(baseline(scenes, asked), rows) for name, baseline in blind.BASELINES.items()}
    return {
        name: {f"{group}/{metric}": round(value, 4) for (group, metric), value in values.items()}
        for name, values in columns.items()
    }


@dataclass(frozen=True)
class Numbers:
    """What ``write_numbers`` wrote: the questions' version, the scenes of each group, and the blind baselines."""

    version: str
    scenes: dict[str, NDArray[np.int32]]
    blind: dict[str, dict[str, float]]

    def as_json(self) -> str:
        """JSON that ``read_numbers`` reads."""
        places = {
            group: base64.b64encode(zlib.compress(numbers.tobytes(), 9)).decode("ascii") for group, numbers in self.scenes.items()
        }
        return json.dumps({"version": self.version, "blind": self.blind, "scenes": places}, indent=1)


def read_numbers(file: Path) -> Numbers:
    """Read a file that ``write_numbers`` wrote."""
    tree = json.loads(file.read_text(encoding="utf-8"))
    places = {
        group: np.frombuffer(zlib.decompress(base64.b64decode(numbers)), np.int32) for group, numbers in tree["scenes"].items()
    }
    return Numbers(tree["version"], places, tree["blind"])
