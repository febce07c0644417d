"""Families kept from training, by a hash of the record id: the same ones whatever the snapshot, the method and the seed."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from training.batch import Batch, Needs
from training.collate import Tokenize, collate
from training.decode import Pixels
from training.families import Family, Held, Part, Pool, Reader
from training.sampling import Member, chunks
from training.snapshot import Manifest, SnapshotError


def is_held_out(record_id: str, share: float) -> bool:
    """Whether a record is among the share of all records that is kept from training."""
    digest = hashlib.blake2b(record_id.encode(), digest_size=8, person=b"held-out").digest()
    return int.from_bytes(digest, "big") < share * 2**64


@dataclass(frozen=True)
class Kept(Part):
    """A part of which only those families are read that are held out, or only those that are not."""

    share: float = 0.0
    held: bool = False

    @classmethod
    def from_training(cls, manifest: Manifest, share: float, rank: int = 0, world: int = 1) -> "Kept":
        """One rank's part without what is held out."""
        return replace(cls.of(manifest, rank, world), share=share)

    def narrow(self) -> Iterator[Family]:
        """Those families without their images."""
        return (one for one in super().narrow() if is_held_out(one["record_id"], self.share) == self.held)

    def read(
        self, seed: int, reader: Reader = "petastorm", pool: Pool = "thread", workers: int = 2, held: Held | None = None
    ) -> Iterator[Family]:
        """Those families; all are counted against the manifest."""
        families = super().read(seed, reader, pool, workers, held)
        return (one for one in families if is_held_out(one["record_id"], self.share) == self.held)


def held_out_batch(manifest: Manifest, share: float, needs: Needs, images: int, pixels: Pixels, tokenize: Tokenize) -> Batch:
    """The members of the first held-out families (of all families, if the share is 1) as one batch of so many images at most.

    Raises:
        SnapshotError: there are none.
    """
    part = replace(Kept.of(manifest), share=share, held=True)
    members: list[Member] = []
    for family in part.read(0, "pyarrow"):  # to its end, so that it is counted
        for chunk in chunks(family, needs, 0, 0):
            members += chunk if len(members) < images else []
    if not members:
        total = manifest.totals.families
        raise SnapshotError(f"snapshot {manifest.id}: {share:g} of its {total} families leaves none to validate on")
    members = members[:images]
    return collate(members, [0] * len(members), 0, pixels, tokenize, manifest.vocabulary)
