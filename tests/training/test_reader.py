"""What a batch contains: images, texts, and the facts about them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.snapshot.manifest import Manifest, SnapshotError
from tests.support import snapshots
from tests.support.read_batches import RICH, SHUFFLED, WHOLE, embed, manifest, members, read, two
from training.data.batch import Needs, TextKind
from training.data.collate import normalised
from training.data.sampling import TRUE_KINDS
from udfs.images import ImageError
from udfs.variants.generator import POSITIVE

__all__ = ["manifest", "two"]  # fixtures


def test_a_batch_and_its_facts(two: Manifest) -> None:
    (batch,) = read(two, replace(WHOLE, variants=(("swap", 1),)), count=1, batch_size=5)
    facts, column_of = batch.facts, {label: i for i, label in enumerate(two.vocabulary)}
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
        visible = {"zebra"} | ({"dog"} - ({"dog"} if gone & 1 else set()) if "00000" in name else set())
        visible |= {"cat"} if "00000" in name and not gone & 2 else set()
        assert {label for label, column in column_of.items() if facts.present[i, column]} == visible
        mentioned = {label for bit, label in enumerate(("dog", "cat")) if facts.mentions[i] >> bit & 1}
        assert {label for label, column in column_of.items() if facts.labels[i, column]} == mentioned
    for text_id, source in zip(batch.text_ids[5:], batch.text_ids[:5], strict=True):
        assert text_id == f"{source}#swap"


def test_equal_strings_have_one_key(two: Manifest) -> None:
    assert normalised(" A  dog\nruns. ") == normalised("a dog runs") != normalised("a dog, runs")
    batches = read(two, WHOLE, count=20, batch_size=5)
    keys = {(text, key) for batch in batches for text, key in zip(batch.text_ids, batch.facts.text_key.tolist(), strict=True)}
    assert len({key for _, key in keys}) == 5, "both captions say the same of the dog and of the ground"


def test_a_family_comes_once_a_batch(manifest: Manifest) -> None:
    pairs = replace(SHUFFLED, members=2)
    largest = Counter[int]()
    for batch in read(manifest, pairs, count=60):
        largest[max(Counter(name.split("/")[0] for name in batch.image_ids).values())] += 1
    assert largest[2] > 40, "pairs, except where few families are left at an epoch's end"


def test_variants_follow_their_text(manifest: Manifest) -> None:
    (batch,) = read(manifest, RICH, count=1)
    facts = batch.facts
    for image in range(8):
        texts = (facts.owner == image).nonzero().flatten().tolist()
        assert [int(facts.variant[i]) for i in texts] == [-1, 0, 0, 1]
        assert [int(facts.kind[i]) for i in texts] == [TextKind.OWN, TextKind.NEGATIVE, TextKind.NEGATIVE, TextKind.POSITIVE]
        own = batch.text_ids[texts[0]].removesuffix("#rewrite")
        assert [batch.text_ids[i] for i in texts[1:]] == [f"{own}#swap", f"{own}#swap", f"{own}#paraphrase"]
    assert len(set(facts.text_key.tolist())) > 16, "the two swaps differ"


def test_a_generated_negative_has_its_own_facts(tmp_path: Path) -> None:
    row = snapshots.family(0, 2, [3])
    source = row["text_mentions"].index(3)
    row |= {"variant_of": [source], "variant_kind": ["replace_noun"], "variant_text": ["A dog and an emu."]}
    row |= {"variant_mentions": [1], "variant_may_mention": [0], "variant_names": ["dog|emu"]}
    manifest = snapshots.write(tmp_path / "emu", [row], shards=1)
    (batch,) = read(manifest, Needs(variants=(("replace_noun", 1),)), count=1, batch_size=1)
    assert batch.facts.named.tolist() == [3, 3] and batch.facts.mentions.tolist() == [3, 1]
    named = [[manifest.vocabulary[i] for i in row.nonzero().flatten()] for row in batch.facts.labels]
    assert named == [["cat", "dog"], ["dog", "emu"]]


def test_true_kinds_are_those_of_the_variants_stage() -> None:
    assert set(TRUE_KINDS) == POSITIVE


@pytest.mark.parametrize("needs", [Needs(neighbours=True), Needs(mined=0.75)], ids=["neighbours", "mined"])
def test_batches_of_near_neighbours(manifest: Manifest, needs: Needs) -> None:
    def near_pairs(**more: Any) -> int:
        """Pairs of texts that are near each other, in the first batches of ten orders."""
        batches = [read(manifest, needs, count=1, seed=seed, neighbours=embed, **more)[0] for seed in range(10)]
        named = [batch.facts.labels.sum(1) for batch in batches]
        return sum(int((counts[:, None] == counts[None, :]).sum()) for counts in named)

    assert near_pairs() > 1.2 * near_pairs(warm_up=10**9), "no neighbours are asked for at the start of the warm-up"
    drawn = read(manifest, needs, count=5, batch_size=4, neighbours=embed)
    assert sorted(name for batch in drawn for name in batch.image_ids) == sorted(members(manifest, needs)), (
        "each member still comes once"
    )
    with pytest.raises(ValueError, match="a function from texts to vectors"):
        read(manifest, needs)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    row = snapshots.family(7, 1, [1])
    row["images"][1] = row["images"][1][:-40]
    with pytest.raises(ImageError, match="undecodable_image: image record-00007/1"):
        read(snapshots.write(tmp_path / "damaged", [row], shards=1), SHUFFLED)


def test_impossible_needs_are_refused(manifest: Manifest, tmp_path: Path) -> None:
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
