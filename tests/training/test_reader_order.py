"""Each member comes once an epoch, in the same order from any step on, with either reader and any pool."""

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.snapshot.manifest import NUMBERS, Manifest, SnapshotError
from tests.support import snapshots
from tests.support.originals import REPOSITORY
from tests.support.read_batches import (
    MIXED,
    ONE_OUT,
    RICH,
    SHUFFLED,
    TEXTS_ONLY,
    WHOLE,
    epochs,
    ids,
    manifest,
    members,
    options,
    read,
    two,
)
from training.data import families as reading
from training.data.batch import Needs
from training.data.decode import Pixels
from training.data.families import Part, families
from training.data.family import Family
from training.data.reader import Source, selections
from training.data.sampling import chunks, usable
from training.data.shuffling import Buffer

ROWS = snapshots.drawn(12, seed=5)


__all__ = ["manifest", "two"]  # fixtures


@pytest.mark.parametrize(
    "needs",
    [Needs(), WHOLE, SHUFFLED, RICH, MIXED, ONE_OUT, TEXTS_ONLY],
    ids=["originals", "whole", "shuffled", "rich", "mixed", "one out", "texts only"],
)
def test_each_member_comes_once_an_epoch(manifest: Manifest, needs: Needs) -> None:
    all_members = sorted(members(manifest, needs))
    first, second, third = epochs(manifest, needs, 3)
    assert sorted(first) == sorted(second) == sorted(third) == all_members
    assert first != second != third


@pytest.mark.parametrize("pool", ["thread", "dummy"])
def test_a_hundred_epochs_lose_no_row(tmp_path: Path, pool: str) -> None:
    manifest = snapshots.write(tmp_path / "few", snapshots.drawn(8), group=2)
    all_members = sorted(members(manifest, SHUFFLED))
    for drawn in epochs(manifest, SHUFFLED, 100, reader="petastorm", pool=pool, buffer_families=7):  # 8 would hold them all
        assert sorted(drawn) == all_members


@pytest.mark.parametrize("needs", [WHOLE, RICH], ids=["whole", "rich"])
def test_a_snapshot_that_fits_the_buffer_is_read_once_with_the_same_batches(
    manifest: Manifest, needs: Needs, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, size, reads = 40, sum(len(usable(family, needs)) for family in families(manifest, "pyarrow")), []
    read_by_pyarrow = reading.read_by_pyarrow

    def counting(*arguments: Any) -> Iterator[list[Family]]:
        reads.append(1)
        return read_by_pyarrow(*arguments)

    monkeypatch.setattr(reading, "read_by_pyarrow", counting)
    held = ids(read(manifest, needs, count=count))
    assert len(reads) == 1
    source = Source(Part.of(manifest), needs, options(workers=1))
    reread = list(islice(selections(source, size, lambda step: 0.0), count))
    assert len(reads) > 3
    assert [images for images, _ in held] == [tuple(member.image_id for member in batch) for batch, _ in reread]


@pytest.mark.parametrize("pool", ["thread", "process", "dummy"])
def test_petastorm_reads_what_pyarrow_reads(manifest: Manifest, pool: Any) -> None:
    def plain(reader: Any, pool: Any) -> list[dict[str, Any]]:
        rows = Part.of(manifest, 1, 2).read(7, reader, pool)
        return [{name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in row.items()} for row in rows]

    assert plain("petastorm", pool) == plain("pyarrow", pool), "families, their order, and every column"


def test_petastorm_hands_row_groups_out_in_our_order(manifest: Manifest) -> None:
    part = Part.of(manifest)
    arriving = [rows[0]["record_id"] for rows in reading.read_by_petastorm(part.urls, 7, "dummy", 1)]
    assert arriving == [part.groups[index].first for index in part.order(7)], (
        "otherwise groups that wait for their turn would fill the memory"
    )


def test_workers_change_nothing(manifest: Manifest) -> None:
    expected = read(manifest, RICH, count=12)
    for more in ({"workers": 3}, {"workers": 1}, {"reader": "petastorm", "workers": 2}):
        batches = read(manifest, RICH, count=12, pool="thread", **more)
        assert ids(batches) == ids(expected)
        assert all(
            torch.equal(batch.pixels, expected_batch.pixels) for batch, expected_batch in zip(batches, expected, strict=True)
        )
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("select", "decode"))], (
        "closed with the iterator"
    )


@pytest.mark.parametrize(
    "needs", [Needs(), WHOLE, SHUFFLED, RICH, MIXED], ids=["originals", "whole", "shuffled", "rich", "mixed"]
)
def test_killed_at_any_step_and_resumed(manifest: Manifest, needs: Needs) -> None:
    unbroken = read(manifest, needs, count=40, buffer_families=7)
    for step in random.Random(1).sample(range(40), 12):
        resumed = read(manifest, needs, count=2, buffer_families=7, start_step=step)
        expected = unbroken[step : step + 2]
        assert ids(resumed)[: len(expected)] == ids(expected)
        assert torch.equal(resumed[0].pixels, expected[0].pixels), "augmented alike"


ENDLESS = """
import json, sys
from tests.support.read_batches import PIXELS, RICH, ReadOptions, batches, tokenize
from jobs.snapshot.manifest import read_manifest
for batch in batches(read_manifest(sys.argv[1]), RICH, ReadOptions(batch_size=8), pixels=PIXELS, tokenize=tokenize):
    print(json.dumps([batch.image_ids, batch.text_ids]), flush=True)
"""


def test_a_killed_process_is_continued_by_another(manifest: Manifest) -> None:
    command = [sys.executable, "-W", "ignore", "-c", ENDLESS, manifest.folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, text=True) as child:
        assert child.stdout
        lines = [json.loads(next(child.stdout)) for _ in range(9)]
        child.kill()
    before = [(tuple(images), tuple(texts)) for images, texts in lines]
    assert before + ids(read(manifest, RICH, count=8, start_step=9)) == ids(read(manifest, RICH, count=17))


def test_resuming_with_petastorm(manifest: Manifest) -> None:
    unbroken = read(manifest, RICH, count=25)
    assert ids(read(manifest, RICH, count=8, start_step=17, reader="petastorm", pool="thread")) == ids(unbroken[17:])


def test_a_batch_may_be_larger_than_an_epoch(two: Manifest) -> None:
    unbroken = read(two, WHOLE, count=12, batch_size=12)
    assert all(len(batch.image_ids) == 12 and len(set(batch.image_ids)) == 5 for batch in unbroken)
    for step in range(12):
        assert ids(read(two, WHOLE, count=1, batch_size=12, start_step=step)) == ids(unbroken[step : step + 1])


def test_skipped_batches_are_not_decoded(manifest: Manifest) -> None:
    decoded: list[bytes] = []

    class Counting(Pixels):
        def cut(self, data: bytes, rng: random.Random) -> Any:
            decoded.append(data)
            return super().cut(data, rng)

    read(manifest, SHUFFLED, count=1, start_step=5, pixels=Counting(size=16))
    assert len(decoded) == 8


def test_ranks_split_the_data(manifest: Manifest) -> None:
    all_members = sorted(members(manifest, WHOLE))
    shares = []
    for rank in range(2):
        rank_members = members(manifest, WHOLE, shard=rank, shards=2)
        batches = read(manifest, WHOLE, count=len(rank_members), batch_size=1, rank=rank, world=2)
        shares.append([name for batch in batches for name in batch.image_ids])
        assert sorted(shares[-1]) == sorted(rank_members)
    assert sorted(shares[0] + shares[1]) == all_members
    assert len(read(manifest, WHOLE, count=50, rank=0, world=2)) == len(read(manifest, WHOLE, count=50, rank=1, world=2)) == 50
    with pytest.raises(SnapshotError, match="2 shards"):
        read(manifest, world=3)


def test_seeds_and_epochs_have_their_own_order(manifest: Manifest) -> None:
    assert ids(read(manifest, seed=1)) == ids(read(manifest, seed=1)) != ids(read(manifest, seed=2))


def test_a_lost_row_group_is_an_error(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    read_by_petastorm = reading.read_by_petastorm
    lost: list[str] = []

    def lossy(*arguments: Any) -> Iterator[list[Family]]:
        groups = read_by_petastorm(*arguments)
        lost.extend(family["record_id"] for family in next(groups))
        yield from groups

    monkeypatch.setattr(reading, "read_by_petastorm", lossy)
    with pytest.raises(SnapshotError, match="families missing") as problem:
        read(manifest, count=1000, reader="petastorm", pool="thread")
    assert all(record in str(problem.value) for record in lost)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), k=st.integers(1, 9), count=st.integers(1, 12), room=st.integers(1, 20), held=st.integers(1, 12))
def test_chunks_cover_every_member(seed: int, k: int, count: int, room: int, held: int) -> None:
    rows = [row | {name: np.array(row[name], dtype=np.int32) for name in NUMBERS} for row in ROWS[:count]]
    needs = Needs(members=k, duals=True)
    chunked = [chunks(row, needs, seed, 0) for row in rows]
    assert all(len(chunk) <= k for family in chunked for chunk in family)
    expected = sorted(f"{row['record_id']}/{row['subsets'][i]}" for row in rows for i in usable(row, needs))
    assert sorted(member.image_id for family in chunked for chunk in family for member in chunk) == expected
    buffer, drawn = Buffer(iter(chunked), random.Random(seed), held, 1 << 30), []
    while buffer.fill():
        assert len({entry.chunk[0].record_id for entry in buffer.waiting}) <= held
        drawn.append(buffer.draw(room))
        assert 0 < len(drawn[-1]) <= room
    assert sorted(member.image_id for batch in drawn for member in batch) == expected
