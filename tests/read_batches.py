"""What the reader's tests share: needs, snapshots, and what is read of them."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
import pytest
import snapshots
import torch

from training.batch import Batch, Needs
from training.decode import Pixels
from training.families import Part, families
from training.reader import Source, batches, picked
from training.sampling import usable
from training.snapshot import Manifest

WHOLE = Needs(members=8, duals=True)
SHUFFLED = Needs(members=1, duals=True)
RICH = Needs(members=2, duals=True, rewrites="rewrite", variants=(("swap", 2), ("paraphrase", 1)))
MIXED = Needs(members=((1, 0.5), (8, 0.5)), duals=True)
ONE_OUT = Needs(members=4, duals=True, subsets="leave_one_out")
TEXTS_ONLY = Needs(own="true")
PIXELS = Pixels(size=16)


def tokenize(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[len(text), *text.encode()[:3]] for text in texts])


def read(manifest: Manifest, needs: Needs = SHUFFLED, count: int = 10, **more: Any) -> list[Batch]:
    """The first batches; with pyarrow and in this thread where nothing else is said."""
    given = {"batch_size": 8, "pixels": PIXELS, "tokenize": tokenize, "reader": "pyarrow", "pool": "dummy"} | more
    with closing(batches(manifest, needs, **given)) as found:
        return list(islice(found, count))


def ids(found: list[Batch]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(batch.image_ids, batch.text_ids) for batch in found]


def members(manifest: Manifest, needs: Needs, **part: int) -> list[str]:
    """The ids of all images that can be members."""
    found = families(manifest, "pyarrow", **part)
    return [f"{one['record_id']}/{one['subsets'][i]}" for one in found for i in usable(one, needs)]


def epochs(manifest: Manifest, needs: Needs, count: int, **more: Any) -> Iterator[list[str]]:
    """What is drawn in each epoch, undecoded."""
    given = {"reader": "pyarrow", "pool": "dummy", "workers": 2, "buffer_families": 5, "buffer_bytes": 1 << 30} | more
    source = Source(Part.of(manifest), needs, seed=0, neighbours=None, **given)
    size = len(members(manifest, needs))
    every = picked(source, size, 8, 0, lambda step: 0.0)
    flat = (one.image_id for found, _ in every for one in found)
    for _ in range(count):
        yield list(islice(flat, size))


def with_placebos(count: int, **more: Any) -> list[dict[str, Any]]:
    """Families of which those with a component have a placebo: a picture in one grey."""
    rows = snapshots.drawn(count, **more)
    return [row | {"placebo": snapshots.picture([], 0, shade=row["n"]) if row["n"] else None} for row in rows]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return snapshots.write(tmp_path_factory.mktemp("reader") / "twenty", with_placebos(20, variants=True), waves=2)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return snapshots.write(tmp_path_factory.mktemp("reader") / "two", snapshots.two())


def embed(texts: list[str]) -> np.ndarray:
    """Near are texts that name equally many things."""
    counts = [0 if "ground" in text else 1 + text.count(" and a ") for text in texts]
    return np.eye(4, dtype=np.float32)[counts]
