"""What is in a batch: images, texts and what is known of them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import snapshots
import torch
from read_batches import RICH, SHUFFLED, WHOLE, embed, manifest, members, read, two

from training.batch import Needs, TextKind
from training.collate import normalised
from training.sampling import TRUE_KINDS
from training.snapshot import Manifest, SnapshotError
from udfs.images import ImageError
from udfs.variants import POSITIVE

__all__ = ["manifest", "two"]  # fixtures


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


def test_a_family_comes_once_a_batch(manifest: Manifest) -> None:
    pairs = replace(SHUFFLED, members=2)
    most = Counter[int]()
    for batch in read(manifest, pairs, count=60):
        most[max(Counter(name.split("/")[0] for name in batch.image_ids).values())] += 1
    assert most[2] > 40, "pairs, but where few families are left at an epoch's end"


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
