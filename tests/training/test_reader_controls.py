"""What the study's controls ask of the reader: some of the duals, only dual texts, placebos, whole mined families."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.snapshot.manifest import Manifest
from tests.support import snapshots
from tests.support.read_batches import ONE_OUT, SHUFFLED, TEXTS_ONLY, WHOLE, embed, manifest, members, read, two, with_placebos
from training.data.batch import Needs, TextKind
from training.data.families import families
from training.data.sampling import chunks
from training.methods import make

__all__ = ["manifest", "two"]  # fixtures


def test_leave_one_out(manifest: Manifest) -> None:
    all_members, one_out = members(manifest, WHOLE), members(manifest, ONE_OUT)
    assert one_out == [name for name in all_members if int(name.split("/")[1]).bit_count() <= 1], (
        "the originals, and the duals with one thing gone"
    )
    assert len(members(manifest, Needs())) < len(one_out) < len(all_members)


def test_dual_texts_without_dual_images(two: Manifest) -> None:
    """An original with any text of its family: its captions and its dual texts."""
    assert members(two, TEXTS_ONLY) == members(two, Needs())
    batches = read(two, TEXTS_ONLY, count=80, batch_size=2)
    assert all((batch.facts.removed == 0).all() for batch in batches)
    facts = Counter(
        (int(batch.facts.named[i]), int(batch.facts.mentions[i]))
        for batch in batches
        for i, name in enumerate(batch.image_ids)
        if name == "record-00000/0"
    )
    assert set(facts) == {(3, 0), (3, 1), (3, 2), (3, 3), (1, 0), (1, 1)}, "of both captions"
    assert all(batch.facts.kind.eq(TextKind.OWN).all() for batch in batches)


def test_placebos_stand_in_for_originals(tmp_path: Path) -> None:
    manifest = snapshots.write(tmp_path / "placebos", with_placebos(20))
    plain, mixed = read(manifest, WHOLE, count=40), read(manifest, replace(WHOLE, placebo=0.5), count=40)
    assert [[name.removesuffix("p") for name in batch.image_ids] for batch in mixed] == [list(batch.image_ids) for batch in plain]
    assert [batch.text_ids for batch in mixed] == [batch.text_ids for batch in plain], (
        "the text is the same, and so are the facts"
    )
    assert all(
        torch.equal(plain_batch.facts.removed, mixed_batch.facts.removed)
        for plain_batch, mixed_batch in zip(plain, mixed, strict=True)
    )
    sizes = {f"{row['record_id']}/0": row["n"] for row in snapshots.drawn(20)}
    drawn = [
        name for batch in mixed for name in batch.image_ids if name.removesuffix("p") in sizes and sizes[name.removesuffix("p")]
    ]
    assert 0.35 < sum(name.endswith("/0p") for name in drawn) / len(drawn) < 0.65
    for before, after in zip(plain, mixed, strict=True):
        for i, name in enumerate(after.image_ids):
            same = torch.allclose(before.pixels[i], after.pixels[i], atol=0.05)
            assert same != name.endswith("p"), name


def test_a_snapshot_without_placebos(two: Manifest) -> None:
    assert read(two, Needs(), count=1) and not two.has_placebos
    with pytest.raises(ValueError, match="snapshot two has no placebos: dualset run --stages placebos"):
        read(two, Needs(placebo=0.1))


def test_every_original_may_be_a_placebo(tmp_path: Path) -> None:
    manifest = snapshots.write(tmp_path / "placebos", with_placebos(9))
    drawn = [name for batch in read(manifest, Needs(placebo=1.0), count=9, batch_size=1) for name in batch.image_ids]
    assert sorted(drawn) == [f"{row['record_id']}/0" + "p" * (row["n"] > 0) for row in snapshots.drawn(9)]


def test_whole_families_are_mined(manifest: Manifest) -> None:
    """As powerset+negclip asks: batches keep their size, and join chunks whose fullest images have similar texts."""
    needs = make("powerset+negclip", members=2).needs
    assert needs.mined == make("negclip").needs.mined == 0.5
    embedded: list[str] = []

    def recording_embed(texts: list[str]) -> np.ndarray:
        embedded.extend(texts)
        return embed(texts)

    batches = read(manifest, needs, count=3, neighbours=recording_embed)
    assert [len(batch.image_ids) for batch in batches] == [8, 8, 8]

    def near_pairs(**more: Any) -> int:
        """Pairs of families of one batch whose fullest images have texts that name equally many things."""
        pairs = 0
        for seed in range(10):
            (batch,) = read(manifest, needs, count=1, seed=seed, neighbours=embed, **more)
            named, removed = batch.facts.labels.sum(1).tolist(), batch.facts.removed.tolist()
            fullest_by_family: dict[int, tuple[int, int]] = {}
            for i, family in enumerate(batch.facts.image_family.tolist()):
                fullest_by_family[family] = min(
                    fullest_by_family.get(family, (9, 0)), (removed[i].bit_count(), named[i]), key=lambda entry: entry[0]
                )
            pairs += sum(count == other_count for (_, count), (_, other_count) in combinations(fullest_by_family.values(), 2))
        return pairs

    assert near_pairs() > 1.2 * near_pairs(warm_up=10**9)
    all_chunks = [chunk for family in families(manifest, "pyarrow") for chunk in chunks(family, needs, 0, 0)]
    fullest = [min(chunk, key=lambda member: member.subset.bit_count()) for chunk in all_chunks]
    assert sorted(embedded) == sorted(member.texts[0].text for member in fullest)
    assert any(member is not chunk[0] for member, chunk in zip(fullest, all_chunks, strict=True))


def test_own_texts_may_be_original_captions(manifest: Manifest) -> None:
    for batch in read(manifest, replace(SHUFFLED, own="original"), count=20):
        assert torch.equal(batch.facts.mentions, batch.facts.named), (
            "for dual images too, though the caption may be false of them"
        )


def test_rewrites_stand_in_with_equal_chance(two: Manifest) -> None:
    batches = read(two, replace(SHUFFLED, rewrites="rewrite"), count=120)
    is_rewrite = Counter("#rewrite" in text for batch in batches for text in batch.text_ids if "00000" in text)
    assert 0.6 < is_rewrite[True] / is_rewrite.total() < 0.73, "two rewrites and the caption: two thirds"
    assert all((batch.facts.kind == TextKind.OWN).all() for batch in batches)
