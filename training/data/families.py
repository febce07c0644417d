"""Reading the families of a snapshot, with every family counted against the manifest.

Petastorm reads by default. Plain pyarrow does the same behind the same interface: it is the yardstick for Petastorm's speed, and
the fallback if Petastorm fails.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from jobs.snapshot.manifest import COLUMNS, Manifest, SnapshotFile
from training.data.by_petastorm import Pool, read_by_petastorm
from training.data.count import Count, check_files
from training.data.family import IMAGE_COLUMNS, Family, typed
from training.data.row_groups import RowGroup, read_by_pyarrow, read_rows, row_groups

Reader = Literal["petastorm", "pyarrow"]


@dataclass
class Cache:
    """The row groups of a part that fits in memory, by the record ids of their first families."""

    groups: dict[str, list[Family]] = field(default_factory=dict)
    complete: bool = False  # all row groups have been read


@dataclass(frozen=True)
class Part:
    """One of ``shards`` equal parts of a snapshot, as a list of row groups."""

    manifest: Manifest
    files: list[SnapshotFile]
    groups: list[RowGroup]

    @classmethod
    def of(cls, manifest: Manifest, shard: int = 0, shards: int = 1) -> Self:
        """Look up the files of a part and their row groups.

        Raises:
            SnapshotError: there is no such part, or a file is missing or has another size.
        """
        files = manifest.part(shard, shards)
        check_files(manifest, files)
        return cls(manifest, files, [group for file in files for group in row_groups(manifest.url(file))])

    def without_images(self) -> Iterator[Family]:
        """All families without their images, in the files' order. This reads hardly any bytes."""
        columns = [name for name in COLUMNS if name not in IMAGE_COLUMNS]
        for group in self.groups:
            yield from (typed(row | {"images": []}) for row in read_rows(group, columns))

    def order(self, seed: int) -> list[int]:
        """The row groups' places in the order of a 32-bit seed: the order in which Petastorm's ventilator hands them out."""
        import numpy as np

        places = list(range(len(self.groups)))
        np.random.RandomState(seed).shuffle(places)
        return places

    def read(
        self, seed: int, reader: Reader = "petastorm", pool: Pool = "thread", workers: int = 2, cache: Cache | None = None
    ) -> Iterator[Family]:
        """All families once, row group by row group in the order of a seed.

        Petastorm's workers finish in any order, so early row groups wait here until it is their turn. With ``cache`` all row
        groups stay in memory: later calls read them from there, each in the order of its own seed. Do not modify them.

        Raises:
            SnapshotError: after the last family, if what was read differs from the manifest.
        """
        groups = [self.groups[place] for place in self.order(seed)]
        if cache is not None and cache.complete:
            for group in groups:
                yield from cache.groups[group.first]
            return
        count = Count()
        if reader == "pyarrow":
            arriving = read_by_pyarrow(groups, list(self.manifest.columns))
        else:
            arriving = read_by_petastorm(self.urls, seed, pool, workers)
        for families in _in_order(arriving, [group.first for group in groups]):
            if cache is not None:
                cache.groups[families[0]["record_id"]] = families
            for family in families:
                count.add(family)
                yield family
        count.compare(self.manifest, self.files)
        if cache is not None:
            cache.complete = True

    @property
    def urls(self) -> list[str]:
        """The part's files. Never a folder: Petastorm would unpickle the _common_metadata in it."""
        return [self.manifest.url(file) for file in self.files]


def families(
    manifest: Manifest,
    reader: Reader = "petastorm",
    *,
    shard: int = 0,
    shards: int = 1,
    workers: int = 2,
    pool: Pool = "thread",
) -> Iterator[Family]:
    """All families of one part of a snapshot, once, in the same order with either reader.

    Raises:
        SnapshotError: a file is missing or has another size (before the first family), or what was read differs from the
            manifest (after the last).
    """
    yield from Part.of(manifest, shard, shards).read(0, reader, pool, workers)


def _in_order(arriving: Iterable[list[Family]], first: Sequence[str]) -> Iterator[list[Family]]:
    """Row groups in the order of their first records. One that never arrives is skipped; the count will notice."""
    waiting: dict[str, list[Family]] = {}
    expected = iter(first)
    record_id = next(expected, "")
    for families in arriving:
        waiting[families[0]["record_id"]] = families
        while record_id in waiting:
            yield waiting.pop(record_id)
            record_id = next(expected, "")
    yield from waiting.values()
