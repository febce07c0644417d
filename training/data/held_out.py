"""Held-out families, chosen by a hash of the record id: the same for every snapshot, method and seed."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from jobs.snapshot.manifest import Manifest, SnapshotError
from training.data.batch import Batch, Needs
from training.data.by_petastorm import Pool
from training.data.collate import Tokenize, collate
from training.data.decode import Pixels
from training.data.families import Cache, Part, Reader
from training.data.family import Family
from training.data.sampling import Member, chunks


def is_held_out(record_id: str, share: float) -> bool:
    """Whether a record belongs to the held-out share of all records."""
    digest = hashlib.blake2b(record_id.encode(), digest_size=8, person=b"held-out").digest()
    return int.from_bytes(digest, "big") < share * 2**64


@dataclass(frozen=True)
class Split(Part):
    """A part restricted to its training families, or to its held-out ones (``held_out``)."""

    share: float = 0.0
    held_out: bool = False

    @classmethod
    def training(cls, manifest: Manifest, share: float, rank: int = 0, world: int = 1) -> "Split":
        """One rank's part without the held-out families."""
        return replace(cls.of(manifest, rank, world), share=share)

    def without_images(self) -> Iterator[Family]:
        """The split's families without their images."""
        return self._of_split(super().without_images())

    def read(
        self, seed: int, reader: Reader = "petastorm", pool: Pool = "thread", workers: int = 2, cache: Cache | None = None
    ) -> Iterator[Family]:
        """The split's families; all families of the part are read and counted against the manifest."""
        return self._of_split(super().read(seed, reader, pool, workers, cache))

    def _of_split(self, families: Iterator[Family]) -> Iterator[Family]:
        return (family for family in families if is_held_out(family["record_id"], self.share) == self.held_out)


def held_out_batch(manifest: Manifest, share: float, needs: Needs, images: int, pixels: Pixels, tokenize: Tokenize) -> Batch:
    """One batch of at most ``images`` members, of the first held-out families (of all families if the share is 1).

    Raises:
        SnapshotError: no family is held out.
    """
    part = replace(Split.of(manifest), share=share, held_out=True)
    members: list[Member] = []
    for family in part.read(0, "pyarrow"):  # to the end, so that all families are counted
        for chunk in chunks(family, needs, 0, 0):
            members += chunk if len(members) < images else []
    if not members:
        total = manifest.totals.families
        raise SnapshotError(f"snapshot {manifest.id}: {share:g} of its {total} families leaves none to validate on")
    members = members[:images]
    return collate(members, [0] * len(members), 0, pixels, tokenize, manifest.vocabulary)
