"""The study's own questions on scenes, held in memory: decoded once, asked of many models.

``scenes.benchmark`` writes them and ``training.benchmarks.scenes`` judges them; nothing is judged here. Verdicts are packed so
that a run's file stays small and its numbers can still be compared question by question.
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

from training import blind
from training.benchmarks import BenchmarkError, scenes
from training.benchmarks.averages import groups_of, values_of
from training.benchmarks.encode import Features
from training.benchmarks.item import Item, Picture, Verdict, pictures_of
from training.decode import Pixels
from training.evaluate import judged

Packed = dict[str, str]  # "group/metric" to packed verdicts, in the order of the questions
_TEXTS_AT_ONCE, _IMAGES_AT_ONCE = 256, 128


@dataclass(frozen=True)
class Questions:
    """Items with their pictures as a model takes them: float32 [P, 3, S, S], ``places`` of the distinct pictures."""

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
        """Read a folder that ``scenes.benchmark`` wrote; some ``groups`` of it alone, if they are named.

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
        places = {picture: place for place, picture in enumerate(pictures)}
        return cls(items, prepared, places, texts, tokenize(texts), digest)

    def ask(self, images: Callable[[Tensor], Tensor], texts: Callable[[Tensor], Tensor]) -> list[Verdict]:
        """Verdicts of a model, given as its two towers: pixels or tokens to features [B, D] of any length."""
        with torch.inference_mode():
            seen = _unit(images, self.pixels, _IMAGES_AT_ONCE)
            read = _unit(texts, self.tokens, _TEXTS_AT_ONCE)
        features = Features(
            {picture: seen[place] for picture, place in self.places.items()}, dict(zip(self.texts, read, strict=True))
        )
        return judged(scenes, self.items, features)

    @property
    def scene_numbers(self) -> dict[str, NDArray[np.int32]]:
        """Of each group the scenes of its questions, in their order: what the bootstrap draws by."""
        found: dict[str, list[int]] = {}
        for item in self.items:
            found.setdefault(item.task, []).append(int(item.key.rpartition("_")[2]))
        return {group: np.array(numbers, np.int32) for group, numbers in found.items()}


def features_of(tower: Callable[[Tensor], Tensor], pixels: Pixels, images: Sequence[bytes]) -> NDArray[np.float32]:
    """Unit vectors [N, D] of encoded images, some at a time."""
    some = (images[at : at + _IMAGES_AT_ONCE] for at in range(0, len(images), _IMAGES_AT_ONCE))
    return np.concatenate([_unit(tower, _prepared(pixels, one), _IMAGES_AT_ONCE) for one in some])


def _prepared(pixels: Pixels, images: Sequence[bytes]) -> Tensor:
    never = Random(0)  # nothing is drawn: no image is augmented
    return pixels.tensor([pixels.cut(image, never) for image in images])


def _unit(tower: Callable[[Tensor], Tensor], inputs: Tensor, size: int) -> NDArray[np.float32]:
    parts = [torch.nn.functional.normalize(tower(part).float(), dim=-1) for part in inputs.split(size)]
    return torch.cat(parts).cpu().numpy()


def packed(verdicts: Sequence[Verdict]) -> Packed:
    """Verdicts 0, 0.5 and 1 as one packed string for each group and metric, in their order."""
    columns: dict[str, list[float]] = {}
    for verdict in verdicts:
        for metric, value in verdict.values.items():
            columns.setdefault(f"{verdict.group.partition(':')[0]}/{metric}", []).append(value)
    return {name: _pack(2 * np.array(values, np.float64)) for name, values in columns.items()}


def unpacked(text: str) -> NDArray[np.float32]:
    """The verdicts of one packed string: float32 of 0, 0.5 and 1."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).astype(np.float32) / 2


def _pack(doubled: NDArray[np.float64]) -> str:
    whole = doubled.astype(np.uint8)
    if not (whole == doubled).all() or whole.max(initial=0) > 2:
        raise ValueError("a verdict is 0, 0.5 or 1")
    return base64.b64encode(zlib.compress(whole.tobytes(), 9)).decode("ascii")


def write_numbers(questions: Questions, file: Path) -> None:
    """Write which scene each question is of, packed, and what is had without an image: a report needs no more than the runs.

    One that is there for the same questions is left alone.
    """
    if file.is_file() and json.loads(file.read_text(encoding="utf-8"))["version"] == questions.version:
        return
    numbers = Numbers(questions.version, questions.scene_numbers, blind_values(questions.items))
    partial = file.with_suffix(".part")
    partial.write_text(numbers.as_json() + "\n", encoding="utf-8")
    partial.rename(file)


def blind_values(items: Sequence[Item]) -> dict[str, dict[str, float]]:
    """By baseline (chance, shorter, probe) the value in each column that it can answer."""
    rows = [row for row in scenes.aggregate(dict(Counter(item.group for item in items))) if len(groups_of(row.part)) == 1]
    found = {"chance": blind.chances(scenes, items, rows)}
    asked = blind.askable(scenes, items)
    found |= {name: values_of(baseline(scenes, asked), rows) for name, baseline in blind.BASELINES.items()}
    return {
        name: {f"{group}/{metric}": round(value, 4) for (group, metric), value in values.items()}
        for name, values in found.items()
    }


@dataclass(frozen=True)
class Numbers:
    """What ``write_numbers`` wrote: the questions' version, the scenes of each group, and the blind baselines."""

    version: str
    scenes: dict[str, NDArray[np.int32]]
    blind: dict[str, dict[str, float]]

    def as_json(self) -> str:
        """As ``read_numbers`` reads it."""
        places = {group: base64.b64encode(zlib.compress(one.tobytes(), 9)).decode("ascii") for group, one in self.scenes.items()}
        return json.dumps({"version": self.version, "blind": self.blind, "scenes": places}, indent=1)


def read_numbers(file: Path) -> Numbers:
    """Read it back."""
    tree = json.loads(file.read_text(encoding="utf-8"))
    places = {group: np.frombuffer(zlib.decompress(base64.b64decode(one)), np.int32) for group, one in tree["scenes"].items()}
    return Numbers(tree["version"], places, tree["blind"])
