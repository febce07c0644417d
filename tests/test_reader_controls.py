"""What the study's controls ask of the reader: some of the duals, dual texts alone, placebos, whole families that are mined."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snapshots
import torch
from read_batches import ONE_OUT, SHUFFLED, TEXTS_ONLY, WHOLE, embed, manifest, members, read, two, with_placebos

from training.batch import Needs, TextKind
from training.families import families
from training.methods import make
from training.sampling import chunks
from training.snapshot import Manifest

__all__ = ["manifest", "two"]  # fixtures


def test_leave_one_out(manifest: Manifest) -> None:
    every, found = members(manifest, WHOLE), members(manifest, ONE_OUT)
    assert found == [name for name in every if int(name.split("/")[1]).bit_count() <= 1], "the originals, and one thing gone"
    assert len(members(manifest, Needs())) < len(found) < len(every)


def test_dual_texts_without_dual_images(two: Manifest) -> None:
    """An original with any text of its family: its captions, and what they say when something is gone."""
    assert members(two, TEXTS_ONLY) == members(two, Needs())
    found = read(two, TEXTS_ONLY, count=80, batch_size=2)
    assert all((batch.facts.removed == 0).all() for batch in found)
    said = Counter(
        (int(batch.facts.named[i]), int(batch.facts.mentions[i]))
        for batch in found
        for i, name in enumerate(batch.image_ids)
        if name == "record-00000/0"
    )
    assert set(said) == {(3, 0), (3, 1), (3, 2), (3, 3), (1, 0), (1, 1)}, "of both captions"
    assert all(batch.facts.kind.eq(TextKind.OWN).all() for batch in found)


def test_placebos_stand_in_for_originals(tmp_path: Path) -> None:
    manifest = snapshots.write(tmp_path / "placebos", with_placebos(20))
    plain, found = read(manifest, WHOLE, count=40), read(manifest, replace(WHOLE, placebo=0.5), count=40)
    assert [[name.removesuffix("p") for name in one.image_ids] for one in found] == [list(one.image_ids) for one in plain]
    assert [one.text_ids for one in found] == [one.text_ids for one in plain], "the text is the same, and so are the facts"
    assert all(torch.equal(one.facts.removed, other.facts.removed) for one, other in zip(plain, found, strict=True))
    sizes = {f"{row['record_id']}/0": row["n"] for row in snapshots.drawn(20)}
    drawn = [name for one in found for name in one.image_ids if name.removesuffix("p") in sizes and sizes[name.removesuffix("p")]]
    assert 0.35 < sum(name.endswith("/0p") for name in drawn) / len(drawn) < 0.65
    for before, after in zip(plain, found, strict=True):
        for i, name in enumerate(after.image_ids):
            same = torch.allclose(before.pixels[i], after.pixels[i], atol=0.05)
            assert same != name.endswith("p"), name


def test_a_snapshot_without_placebos(two: Manifest) -> None:
    assert read(two, Needs(), count=1) and not two.has_placebos
    with pytest.raises(ValueError, match="snapshot two has no placebos: dualset run --stages placebos"):
        read(two, Needs(placebo=0.1))


def test_every_original_may_be_a_placebo(tmp_path: Path) -> None:
    manifest = snapshots.write(tmp_path / "placebos", with_placebos(9))
    found = [name for one in read(manifest, Needs(placebo=1.0), count=9, batch_size=1) for name in one.image_ids]
    assert sorted(found) == [f"{row['record_id']}/0" + "p" * (row["n"] > 0) for row in snapshots.drawn(9)]


def test_whole_families_are_mined(manifest: Manifest) -> None:
    """What powerset+negclip asks for: as many images as ever, in chunks that are near by what is said of their fullest image."""
    needs = make("powerset+negclip", members=2).needs
    assert needs.mined == make("negclip").needs.mined == 0.5
    asked: list[str] = []

    def recorded(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return embed(texts)

    found = read(manifest, needs, count=3, neighbours=recorded)
    assert [len(one.image_ids) for one in found] == [8, 8, 8]

    def alike(**more: Any) -> int:
        """Pairs of families of one batch whose fullest images are said to show equally many things."""
        pairs = 0
        for seed in range(10):
            (batch,) = read(manifest, needs, count=1, seed=seed, neighbours=embed, **more)
            named, removed = batch.facts.labels.sum(1).tolist(), batch.facts.removed.tolist()
            told: dict[int, tuple[int, int]] = {}
            for i, family in enumerate(batch.facts.image_family.tolist()):
                told[family] = min(told.get(family, (9, 0)), (removed[i].bit_count(), named[i]), key=lambda one: one[0])
            pairs += sum(one == other for (_, one), (_, other) in combinations(told.values(), 2))
        return pairs

    assert alike() > 1.2 * alike(warm_up=10**9)
    every = [chunk for family in families(manifest, "pyarrow") for chunk in chunks(family, needs, 0, 0)]
    fullest = [min(chunk, key=lambda one: one.subset.bit_count()) for chunk in every]
    assert sorted(asked) == sorted(one.texts[0].text for one in fullest)
    assert any(one is not chunk[0] for one, chunk in zip(fullest, every, strict=True))


def test_own_texts_may_be_original_captions(manifest: Manifest) -> None:
    for batch in read(manifest, replace(SHUFFLED, own="original"), count=20):
        assert torch.equal(batch.facts.mentions, batch.facts.named), "of dual images too, though it may be false of them"


def test_rewrites_stand_in_with_equal_chance(two: Manifest) -> None:
    found = read(two, replace(SHUFFLED, rewrites="rewrite"), count=120)
    said = Counter("#rewrite" in text for batch in found for text in batch.text_ids if "00000" in text)
    assert 0.6 < said[True] / said.total() < 0.73, "two rewrites and the caption: two thirds"
    assert all((batch.facts.kind == TextKind.OWN).all() for batch in found)
