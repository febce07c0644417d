"""Shared by the reader's tests: needs, snapshots, and the batches read from them."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from jobs.snapshot.manifest import Manifest
from tests.support import snapshots
from training.data.batch import Batch, Needs
from training.data.decode import Pixels
from training.data.families import Part, families
from training.data.reader import ReadOptions, Source, batches, selections
from training.data.sampling import usable
from training.data.shuffling import Embed

WHOLE = Needs(members=8, duals=True)
SHUFFLED = Needs(members=1, duals=True)
RICH = Needs(members=2, duals=True, rewrites="rewrite", variants=(("swap", 2), ("paraphrase", 1)))
MIXED = Needs(members=((1, 0.5), (8, 0.5)), duals=True)
ONE_OUT = Needs(members=4, duals=True, subsets="leave_one_out")
TEXTS_ONLY = Needs(own="true")
PIXELS = Pixels(size=16)


def tokenize(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[len(text), *text.encode()[:3]] for text in texts])


def options(**changes: Any) -> ReadOptions:
    """Batches of 8, read by pyarrow in this thread by default."""
    return ReadOptions(**{"batch_size": 8, "reader": "pyarrow", "pool": "dummy"} | changes)


def read(
    manifest: Manifest,
    needs: Needs = SHUFFLED,
    count: int = 10,
    pixels: Pixels = PIXELS,
    neighbours: Embed | None = None,
    **changes: Any,
) -> list[Batch]:
    """The first batches; ``changes``: fields of ``ReadOptions``."""
    reading = batches(manifest, needs, options(**changes), pixels=pixels, tokenize=tokenize, neighbours=neighbours)
    with closing(reading) as endless:
        return list(islice(endless, count))


def ids(read: list[Batch]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(batch.image_ids, batch.text_ids) for batch in read]


def members(manifest: Manifest, needs: Needs, **part: int) -> list[str]:
    """The ids of all images that can be members."""
    rows = families(manifest, "pyarrow", **part)
    return [f"{family['record_id']}/{family['subsets'][i]}" for family in rows for i in usable(family, needs)]


def epochs(manifest: Manifest, needs: Needs, count: int, **changes: Any) -> Iterator[list[str]]:
    """The ids of the images drawn in each epoch, undecoded."""
    source = Source(Part.of(manifest), needs, options(**{"buffer_families": 5} | changes))
    size = len(members(manifest, needs))
    drawn = selections(source, size, lambda step: 0.0)
    flat = (member.image_id for batch, _ in drawn for member in batch)
    for _ in range(count):
        yield list(islice(flat, size))


def with_placebos(count: int, **changes: Any) -> list[dict[str, Any]]:
    """Families; each with a component has a placebo, a picture of a single grey."""
    rows = snapshots.drawn(count, **changes)
    return [row | {"placebo": snapshots.picture([], 0, shade=row["n"]) if row["n"] else None} for row in rows]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return snapshots.write(tmp_path_factory.mktemp("reader") / "twenty", with_placebos(20, variants=True), waves=2)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return snapshots.write(tmp_path_factory.mktemp("reader") / "two", snapshots.two())


def embed(texts: list[str]) -> np.ndarray:
    """Texts that name equally many things are near each other."""
    counts = [0 if "ground" in text else 1 + text.count(" and a ") for text in texts]
    return np.eye(4, dtype=np.float32)[counts]
