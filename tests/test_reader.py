"""From a snapshot to batches: every member once an epoch, the same from any step on, with either reader and every pool."""

import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snapshots
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training import families as reading
from training.batch import Batch, Needs, TextKind
from training.collate import normalised
from training.decode import Pixels, rectangle
from training.families import Part, families
from training.reader import Source, batches, picked
from training.sampling import TRUE_KINDS, chunks, usable
from training.shuffling import Buffer
from training.snapshot import Manifest, SnapshotError
from udfs.images import ImageError
from udfs.variants import POSITIVE

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


def test_a_batch_and_its_facts(two: Manifest) -> None:
    (batch,) = read(two, replace(WHOLE, variants=(("swap", 1),)), count=1, batch_size=5)
    facts, place = batch.facts, {label: i for i, label in enumerate(two.vocabulary)}
    assert two.vocabulary == ["cat", "dog", "zebra"]
    assert sorted(batch.image_ids) == [f"record-00000/{gone}" for gone in range(4)] + ["record-00001/0"]
    assert batch.pixels.shape == (5, 3, 16, 16) and batch.pixels.dtype == torch.float32
    assert batch.tokens.shape == (10, 4) and batch.tokens.dtype == torch.int64
    assert facts.owner.tolist() == [0, 1, 2, 3, 4] * 2, "own texts come first, in the images' order"
    assert facts.kind.tolist() == [TextKind.OWN] * 5 + [TextKind.NEGATIVE] * 5
    assert facts.variant.tolist() == [-1] * 5 + [0] * 5
    assert len(set(facts.image_family.tolist())) == 2 and (facts.image_family >= 0).all()
    assert (facts.text_family == facts.image_family[facts.owner]).all()
    for i, name in enumerate(batch.image_ids):
        gone = int(name.split("/")[1])
        assert facts.removed[i] == gone
        assert facts.mentions[i] == facts.named[i] & ~gone, "its own text is exact"
        there = {"zebra"} | ({"dog"} - ({"dog"} if gone & 1 else set()) if "00000" in name else set())
        there |= {"cat"} if "00000" in name and not gone & 2 else set()
        assert {label for label, at in place.items() if facts.present[i, at]} == there
        said = {label for bit, label in enumerate(("dog", "cat")) if facts.mentions[i] >> bit & 1}
        assert {label for label, at in place.items() if facts.labels[i, at]} == said
    for text_id, of in zip(batch.text_ids[5:], batch.text_ids[:5], strict=True):
        assert text_id == f"{of}#swap"


def test_equal_strings_have_one_key(two: Manifest) -> None:
    assert normalised(" A  dog\nruns. ") == normalised("a dog runs") != normalised("a dog, runs")
    found = read(two, WHOLE, count=20, batch_size=5)
    keys = {(text, key) for b in found for text, key in zip(b.text_ids, b.facts.text_key.tolist(), strict=True)}
    assert len({key for _, key in keys}) == 5, "both captions say the same of the dog and of the ground"


@pytest.mark.parametrize(
    "needs",
    [Needs(), WHOLE, SHUFFLED, RICH, MIXED, ONE_OUT, TEXTS_ONLY],
    ids=["originals", "whole", "shuffled", "rich", "mixed", "one out", "texts only"],
)
def test_each_member_comes_once_an_epoch(manifest: Manifest, needs: Needs) -> None:
    every = sorted(members(manifest, needs))
    first, second, third = epochs(manifest, needs, 3)
    assert sorted(first) == sorted(second) == sorted(third) == every
    assert first != second != third


@pytest.mark.parametrize("pool", ["thread", "dummy"])
def test_a_hundred_epochs_lose_no_row(tmp_path: Path, pool: str) -> None:
    manifest = snapshots.write(tmp_path / "few", snapshots.drawn(8), group=2)
    every = sorted(members(manifest, SHUFFLED))
    for found in epochs(manifest, SHUFFLED, 100, reader="petastorm", pool=pool, buffer_families=7):  # 8 would be held
        assert sorted(found) == every


@pytest.mark.parametrize("needs", [WHOLE, RICH], ids=["whole", "rich"])
def test_what_the_buffer_holds_whole_is_read_once_and_gives_the_same_batches(
    manifest: Manifest, needs: Needs, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, size, times = 40, sum(len(usable(one, needs)) for one in families(manifest, "pyarrow")), []
    plain = reading._pyarrow

    def counting(*given: Any) -> Iterator[list[dict[str, Any]]]:
        times.append(1)
        return plain(*given)

    monkeypatch.setattr(reading, "_pyarrow", counting)
    held = ids(read(manifest, needs, count=count))
    assert len(times) == 1
    source = Source(Part.of(manifest), needs, 0, "pyarrow", "dummy", 1, 4096, 1 << 30, None)
    anew = list(islice(picked(source, size, 8, 0, lambda step: 0.0), count))
    assert len(times) > 3
    assert [images for images, _ in held] == [tuple(one.image_id for one in found) for found, _ in anew]


@pytest.mark.parametrize("pool", ["thread", "process", "dummy"])
def test_petastorm_reads_what_pyarrow_reads(manifest: Manifest, pool: Any) -> None:
    def plain(reader: Any, pool: Any) -> list[dict[str, Any]]:
        found = Part.of(manifest, 1, 2).read(7, reader, pool)
        return [
            {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in one.items()} for one in found
        ]

    assert plain("petastorm", pool) == plain("pyarrow", pool), "families, their order, and every column"


def test_petastorm_hands_row_groups_out_in_our_order(manifest: Manifest) -> None:
    part = Part.of(manifest)
    arriving = [rows[0]["record_id"] for rows in reading._petastorm(part.urls, 7, "dummy", 1)]
    assert arriving == [part.groups[place].first for place in part.order(7)], "or what waits its turn would fill the memory"


def test_workers_change_nothing(manifest: Manifest) -> None:
    expected = read(manifest, RICH, count=12)
    for more in ({"workers": 3}, {"workers": 1}, {"reader": "petastorm", "workers": 2}):
        found = read(manifest, RICH, count=12, pool="thread", **more)
        assert ids(found) == ids(expected)
        assert all(torch.equal(one.pixels, other.pixels) for one, other in zip(found, expected, strict=True))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("pick", "decode"))], (
        "closed with the iterator"
    )


@pytest.mark.parametrize(
    "needs", [Needs(), WHOLE, SHUFFLED, RICH, MIXED], ids=["originals", "whole", "shuffled", "rich", "mixed"]
)
def test_killed_at_any_step_and_resumed(manifest: Manifest, needs: Needs) -> None:
    unbroken = read(manifest, needs, count=40, buffer_families=7)
    for step in random.Random(1).sample(range(40), 12):
        again = read(manifest, needs, count=2, buffer_families=7, start_step=step)
        expected = unbroken[step : step + 2]
        assert ids(again)[: len(expected)] == ids(expected)
        assert torch.equal(again[0].pixels, expected[0].pixels), "augmented alike"


ENDLESS = """
import json, sys
from test_reader import PIXELS, RICH, batches, tokenize
from training.snapshot import read_manifest
for batch in batches(read_manifest(sys.argv[1]), RICH, batch_size=8, pixels=PIXELS, tokenize=tokenize):
    print(json.dumps([batch.image_ids, batch.text_ids]), flush=True)
"""


def test_a_killed_process_is_taken_up_by_another(manifest: Manifest) -> None:
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent)])
    command = [sys.executable, "-W", "ignore", "-c", ENDLESS, manifest.folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}, text=True) as child:
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


def test_what_is_skipped_is_not_decoded(manifest: Manifest) -> None:
    decoded: list[bytes] = []

    class Counting(Pixels):
        def cut(self, data: bytes, rng: random.Random) -> Any:
            decoded.append(data)
            return super().cut(data, rng)

    read(manifest, SHUFFLED, count=1, start_step=5, pixels=Counting(size=16))
    assert len(decoded) == 8


def test_ranks_part_the_data(manifest: Manifest) -> None:
    every = sorted(members(manifest, WHOLE))
    shares = []
    for rank in range(2):
        mine = members(manifest, WHOLE, shard=rank, shards=2)
        found = read(manifest, WHOLE, count=len(mine), batch_size=1, rank=rank, world=2)
        shares.append([name for batch in found for name in batch.image_ids])
        assert sorted(shares[-1]) == sorted(mine)
    assert sorted(shares[0] + shares[1]) == every
    assert len(read(manifest, WHOLE, count=50, rank=0, world=2)) == len(read(manifest, WHOLE, count=50, rank=1, world=2)) == 50
    with pytest.raises(SnapshotError, match="2 shards"):
        read(manifest, world=3)


def test_seeds_and_epochs_have_their_own_order(manifest: Manifest) -> None:
    assert ids(read(manifest, seed=1)) == ids(read(manifest, seed=1)) != ids(read(manifest, seed=2))


def test_a_family_comes_once_a_batch(manifest: Manifest) -> None:
    pairs = replace(SHUFFLED, members=2)
    most = Counter[int]()
    for batch in read(manifest, pairs, count=60):
        most[max(Counter(name.split("/")[0] for name in batch.image_ids).values())] += 1
    assert most[2] > 40, "pairs, but where few families are left at an epoch's end"


def test_a_lost_row_group_is_an_error(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = reading._petastorm
    lost: list[str] = []

    def lossy(*given: Any) -> Iterator[list[dict[str, Any]]]:
        groups = whole(*given)
        lost.extend(one["record_id"] for one in next(groups))
        yield from groups

    monkeypatch.setattr(reading, "_petastorm", lossy)
    with pytest.raises(SnapshotError, match="families missing") as problem:
        read(manifest, count=1000, reader="petastorm", pool="thread")
    assert all(record in str(problem.value) for record in lost)


def test_variants_come_besides(manifest: Manifest) -> None:
    (batch,) = read(manifest, RICH, count=1)
    facts = batch.facts
    for image in range(8):
        mine = (facts.owner == image).nonzero().flatten().tolist()
        assert [int(facts.variant[i]) for i in mine] == [-1, 0, 0, 1]
        assert [int(facts.kind[i]) for i in mine] == [TextKind.OWN, TextKind.NEGATIVE, TextKind.NEGATIVE, TextKind.POSITIVE]
        own = batch.text_ids[mine[0]].removesuffix("#rewrite")
        assert [batch.text_ids[i] for i in mine[1:]] == [f"{own}#swap", f"{own}#swap", f"{own}#paraphrase"]
    assert len(set(facts.text_key.tolist())) > 16, "two swaps are two"


def test_a_made_negative_has_facts_of_its_own(tmp_path: Path) -> None:
    row = snapshots.family(0, 2, [3])
    at = row["text_mentions"].index(3)
    row |= {"variant_of": [at], "variant_kind": ["replace_noun"], "variant_text": ["A dog and an emu."]}
    row |= {"variant_mentions": [1], "variant_may_mention": [0], "variant_names": ["dog|emu"]}
    manifest = snapshots.write(tmp_path / "emu", [row], shards=1)
    (batch,) = read(manifest, Needs(variants=(("replace_noun", 1),)), count=1, batch_size=1)
    assert batch.facts.named.tolist() == [3, 3] and batch.facts.mentions.tolist() == [3, 1]
    named = [[manifest.vocabulary[i] for i in row.nonzero().flatten()] for row in batch.facts.labels]
    assert named == [["cat", "dog"], ["dog", "emu"]]


def test_kinds_that_are_true_are_those_of_the_stage() -> None:
    assert set(TRUE_KINDS) == POSITIVE


def embed(texts: list[str]) -> np.ndarray:
    """Near are texts that name equally many things."""
    counts = [0 if "ground" in text else 1 + text.count(" and a ") for text in texts]
    return np.eye(4, dtype=np.float32)[counts]


@pytest.mark.parametrize("needs", [Needs(neighbours=True), Needs(mined=0.75)], ids=["neighbours", "mined"])
def test_batches_of_near_neighbours(manifest: Manifest, needs: Needs) -> None:
    def alike(**more: Any) -> int:
        """Pairs of texts that are near each other, in the first batches of ten orders."""
        found = [read(manifest, needs, count=1, seed=seed, neighbours=embed, **more)[0] for seed in range(10)]
        named = [batch.facts.labels.sum(1) for batch in found]
        return sum(int((one[:, None] == one[None, :]).sum()) for one in named)

    assert alike() > 1.2 * alike(warm_up=10**9), "no neighbours are asked for when it starts to warm up"
    drawn = read(manifest, needs, count=5, batch_size=4, neighbours=embed)
    assert sorted(name for batch in drawn for name in batch.image_ids) == sorted(members(manifest, needs)), (
        "each still comes once"
    )
    with pytest.raises(ValueError, match="a function from texts to vectors"):
        read(manifest, needs)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    row = snapshots.family(7, 1, [1])
    row["images"][1] = row["images"][1][:-40]
    with pytest.raises(ImageError, match="undecodable_image: image record-00007/1"):
        read(snapshots.write(tmp_path / "damaged", [row], shards=1), SHUFFLED)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), k=st.integers(1, 9), count=st.integers(1, 12), room=st.integers(1, 20), held=st.integers(1, 12))
def test_chunks_cover_every_member(seed: int, k: int, count: int, room: int, held: int) -> None:
    rows = [one | {name: np.array(one[name], dtype=np.int32) for name in reading.NUMBERS} for one in ROWS[:count]]
    needs = Needs(members=k, duals=True)
    cut = [chunks(row, needs, seed, 0) for row in rows]
    assert all(len(chunk) <= k for family in cut for chunk in family)
    expected = sorted(f"{row['record_id']}/{row['subsets'][i]}" for row in rows for i in usable(row, needs))
    assert sorted(one.image_id for family in cut for chunk in family for one in chunk) == expected
    buffer, drawn = Buffer(iter(cut), random.Random(seed), held, 1 << 30), []
    while buffer.fill():
        assert len({one.chunk[0].record_id for one in buffer.waiting}) <= held
        drawn.append(buffer.draw(room))
        assert 0 < len(drawn[-1]) <= room
    assert sorted(one.image_id for batch in drawn for one in batch) == expected


ROWS = snapshots.drawn(12, seed=5)


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (16, 16), (100, 33)])
def test_without_augmentation_as_open_clip_evaluates(size: tuple[int, int]) -> None:
    import io

    from open_clip import image_transform
    from PIL import Image

    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
    out = io.BytesIO()
    image.save(out, "PNG")
    pixels = Pixels(size=16, augment=False)
    (ours,) = pixels.tensor([pixels.cut(out.getvalue(), random.Random(0))])
    torch.testing.assert_close(ours, image_transform(16, is_train=False)(image))


def test_augmentation_cuts_little_off() -> None:
    for seed in range(300):
        left, top, right, bottom = rectangle(40, 30, random.Random(seed))
        assert 0 <= left < right <= 40 and 0 <= top < bottom <= 30
        assert 0.9 <= (right - left) * (bottom - top) / (40 * 30) <= 1
    once, again, other = (PIXELS.cut(snapshots.picture(["dog"], 0), random.Random(seed)) for seed in (1, 1, 2))
    assert (once == again).all() and (once != other).any()


def test_flips_are_asked_for(two: Manifest) -> None:
    data, turned = snapshots.picture(["dog"], 0), set()
    upright = Pixels(size=16, augment=False)
    for seed in range(20):
        assert (upright.cut(data, random.Random(seed)) == upright.cut(data, random.Random(0))).all()
        turned.add(tuple(replace(upright, flip=True).cut(data, random.Random(seed))[8, 2]))
    assert len(turned) == 2


def test_what_cannot_be_given_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    for needs, reason in (
        (Needs(members=0), "at least one"),
        (Needs(own="any"), "'true' or 'original'"),
        (Needs(subsets="some"), "'leave_one_out'"),
        (Needs(placebo=2.0), "a share of the originals"),
    ):
        with pytest.raises(ValueError, match=reason):
            read(manifest, needs)
    lone = snapshots.family(0, 1, [1])
    lone |= {"subsets": [1], "images": lone["images"][1:]}
    with pytest.raises(SnapshotError, match="no image has a text"):
        read(snapshots.write(tmp_path / "lone", [lone], shards=1), Needs())
