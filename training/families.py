"""Reading the families of a snapshot, counted against the manifest, so that a reader that loses rows is found out.

Petastorm reads, and so does plain pyarrow behind the same interface: to measure Petastorm by, and the way out if it fails.
"""

import os
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from training.snapshot import COLUMNS, PLACEBO, Manifest, SnapshotError, SnapshotFile

if TYPE_CHECKING:
    import pandas as pd

Family = dict[str, Any]
Reader = Literal["petastorm", "pyarrow"]
Pool = Literal["thread", "process", "dummy"]

LISTS = tuple(name for name, kind in COLUMNS.items() if kind.startswith("ARRAY"))
NUMBERS = tuple(name for name in LISTS if COLUMNS[name] == "ARRAY<INT>")
TOGETHER = (
    ("subsets", "images"),
    ("caption_id", "text", "text_named", "text_mentions", "text_may_mention"),
    ("variant_text", "variant_of", "variant_kind", "variant_mentions", "variant_may_mention", "variant_names"),
)
BLOBS = ("images", "placebo")


@dataclass(frozen=True)
class RowGroup:
    """What is read at once: a row group of a file, known by the record id of its first family."""

    url: str
    place: int
    first: str


@dataclass
class Held:
    """The row groups of a part that is small enough to stay in memory, by their first records, once all were read."""

    groups: dict[str, list[Family]] = field(default_factory=dict)
    whole: bool = False


@dataclass(frozen=True)
class Part:
    """One of ``shards`` equal parts of a snapshot, in row groups."""

    manifest: Manifest
    files: list[SnapshotFile]
    groups: list[RowGroup]

    @classmethod
    def of(cls, manifest: Manifest, shard: int = 0, shards: int = 1) -> Self:
        """Look the part's files up.

        Raises:
            SnapshotError: there is no such part, or a file is missing or of another size.
        """
        files = manifest.part(shard, shards)
        _check_files(manifest, files)
        return cls(manifest, files, [group for file in files for group in _groups(manifest.url(file))])

    def narrow(self) -> Iterator[Family]:
        """Every family without its images, in the files' order: next to no bytes are read."""
        columns = [name for name in COLUMNS if name not in BLOBS]
        for group in self.groups:
            yield from (_typed(row | {"images": []}) for row in _read(group, columns))

    def order(self, seed: int) -> list[int]:
        """The places of all row groups in the order of a 32-bit seed: the one in which Petastorm's ventilator hands them out."""
        import numpy as np

        places = list(range(len(self.groups)))
        np.random.RandomState(seed).shuffle(places)
        return places

    def read(
        self, seed: int, reader: Reader = "petastorm", pool: Pool = "thread", workers: int = 2, held: Held | None = None
    ) -> Iterator[Family]:
        """Every family once, row group by row group in the order of a seed.

        Petastorm's workers finish in any order. What comes early waits here, and is known by its first record. With ``held`` all
        stay there, and from the second time on come from there, in the order of that time's seed; nobody may change them.

        Raises:
            SnapshotError: after the last family, what was read differs from the manifest.
        """
        groups = [self.groups[place] for place in self.order(seed)]
        if held is not None and held.whole:
            for group in groups:
                yield from held.groups[group.first]
            return
        counted = Counted()
        plain = reader == "pyarrow"
        arriving = _pyarrow(groups, list(self.manifest.columns)) if plain else _petastorm(self.urls, seed, pool, workers)
        for rows in _in_order(arriving, [group.first for group in groups]):
            if held is not None:
                held.groups[rows[0]["record_id"]] = rows
            for family in rows:
                counted.add(family)
                yield family
        counted.compare(self.manifest, self.files)
        if held is not None:
            held.whole = True

    @property
    def urls(self) -> list[str]:
        """Of its files, never of a folder: Petastorm would unpickle what lies in a folder's _common_metadata."""
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
    """Every family of one part of a snapshot, once, in one order with either reader.

    Yields:
        record_id str; shard, n int; labels list[str] of n; subsets int32 [K] ascending; images list[bytes] of K, encoded;
        caption_id, text list[str] of T; text_named (C), text_mentions (M), text_may_mention (U) int32 [T] bit masks over labels;
        detected list[str]; variant_text, variant_kind, variant_names list[str] and variant_of (places of their sources in text),
        variant_mentions, variant_may_mention int32 of W; placebo bytes, encoded, or None.

    Raises:
        SnapshotError: a file is missing or of another size (before the first family), or what was read differs from the
            manifest (after the last).
    """
    yield from Part.of(manifest, shard, shards).read(0, reader, pool, workers)


@dataclass
class Counted:
    """What was read of a part so far."""

    families: int = 0
    images: int = 0
    texts: int = 0
    ids_crc: int = 0
    seen: "array[int]" = field(default_factory=lambda: array("q"))  # hashes, not ids: 10 million are 80 MB, not 1 GB

    def add(self, family: Family) -> None:
        """Count one more family.

        Raises:
            SnapshotError: its arrays do not fit together.
        """
        if any(len({len(family[name]) for name in names}) != 1 for names in TOGETHER):
            raise SnapshotError(f"family {family['record_id']}: arrays that belong together differ in length")
        self.families += 1
        self.images += len(family["images"])
        self.texts += len(family["text"])
        self.ids_crc += zlib.crc32(family["record_id"].encode())
        self.seen.append(hash(family["record_id"]))

    def compare(self, manifest: Manifest, files: Sequence[SnapshotFile]) -> None:
        """Compare with what the manifest says of some files.

        Raises:
            SnapshotError: they differ; it names families that are missing.
        """
        names = ("families", "images", "texts", "ids_crc")
        wrong = [
            f"{name} {found} instead of {expected}"
            for name in names
            if (found := getattr(self, name)) != (expected := sum(getattr(file, name) for file in files))
        ]
        if not wrong:
            return
        # Only now are the ids read again, in the simplest way there is.
        seen = set(self.seen)
        missing = [key for key in _record_ids([manifest.url(file) for file in files]) if hash(key) not in seen]
        again = len(self.seen) - len(seen)
        raise SnapshotError(
            f"snapshot {manifest.id}: read {', '.join(wrong)}; {len(missing)} families missing"
            f" ({', '.join(missing[:10])}), {again} read twice"
        )


def _check_files(manifest: Manifest, files: Sequence[SnapshotFile]) -> None:
    import fsspec

    for file in files:
        system, name = fsspec.core.url_to_fs(manifest.url(file))
        try:
            size = system.size(name)
        except FileNotFoundError:
            lost = f"{file.path} is missing, and with it {file.families} families"
            raise SnapshotError(f"snapshot {manifest.id}: {lost}") from None
        if size != file.bytes:
            raise SnapshotError(f"snapshot {manifest.id}: {file.path} has {size} bytes instead of {file.bytes}")


def _groups(url: str) -> list[RowGroup]:
    import fsspec
    import pyarrow.parquet as pq

    with fsspec.open(url) as handle:
        file = pq.ParquetFile(handle)
        first = [file.read_row_group(i, columns=["record_id"]).column(0)[0].as_py() for i in range(file.num_row_groups)]
    return [RowGroup(url, place, record) for place, record in enumerate(first)]


def _record_ids(urls: Sequence[str]) -> Iterator[str]:
    import fsspec
    import pyarrow.parquet as pq

    for url in urls:
        with fsspec.open(url) as handle:
            yield from pq.read_table(handle, columns=["record_id"]).column(0).to_pylist()


def _read(group: RowGroup, columns: Sequence[str]) -> list[Family]:
    import fsspec
    import pyarrow.parquet as pq

    with fsspec.open(group.url) as handle:
        return cast("list[Family]", pq.ParquetFile(handle).read_row_group(group.place, columns=list(columns)).to_pylist())


def _pyarrow(groups: Iterable[RowGroup], columns: Sequence[str]) -> Iterator[list[Family]]:
    for group in groups:
        yield [_typed(row) for row in _read(group, columns)]


def _petastorm(urls: Sequence[str], seed: int, pool: Pool, workers: int) -> Iterator[list[Family]]:
    import warnings

    # It is built on pyarrow's old data set, and says so at every call; the newest pyarrow it runs on is pinned for it.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\.")
    from petastorm import make_batch_reader
    from petastorm.transform import TransformSpec

    with _quiet_children():
        started = make_batch_reader(
            list(urls),
            reader_pool_type=pool,
            workers_count=workers,
            results_queue_size=2 * workers,
            num_epochs=1,
            shuffle_row_groups=True,
            seed=seed,
            transform_spec=TransformSpec(_padded),
        )
    with started as batches:
        for batch in batches:
            columns = batch._asdict()
            yield [_unpadded({name: columns[name][i] for name in columns}) for i in range(len(columns["record_id"]))]


@contextmanager
def _quiet_children() -> Iterator[None]:
    """A process pool's workers warn as this process would, but know nothing of its filters."""
    before = os.environ.get("PYTHONWARNINGS")
    ours = "ignore::FutureWarning:petastorm.arrow_reader_worker"
    os.environ["PYTHONWARNINGS"] = f"{before},{ours}" if before else ours
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _in_order(arriving: Iterable[list[Family]], first: Sequence[str]) -> Iterator[list[Family]]:
    """Row groups in the order of their first records. One that never comes is left out, for the count to find."""
    waiting: dict[str, list[Family]] = {}
    wanted = iter(first)
    key = next(wanted, "")
    for rows in arriving:
        waiting[rows[0]["record_id"]] = rows
        while key in waiting:
            yield waiting.pop(key)
            key = next(wanted, "")
    yield from waiting.values()


def _padded(rows: "pd.DataFrame") -> "pd.DataFrame":
    """A row group whose lists are all as long as its longest: Petastorm makes a matrix of each list column."""
    import numpy as np

    for name in LISTS:
        longest = max(map(len, rows[name]), default=0)
        filler = -1 if name in NUMBERS else None
        padded = [np.concatenate([values, np.full(longest - len(values), filler)]) for values in rows[name]]
        rows[name] = [values.astype(np.int32 if name in NUMBERS else object) for values in padded]
    return rows


def _unpadded(row: Family) -> Family:
    lengths = {name: sum(value is not None for value in row[name]) for name in LISTS if name not in NUMBERS}
    for names in TOGETHER:
        lengths |= dict.fromkeys(names, next(lengths[name] for name in names if name not in NUMBERS))
    return _typed({name: value[: lengths[name]] if name in LISTS else value for name, value in row.items()})


def _typed(row: Family) -> Family:
    import numpy as np

    plain: Family = {"record_id": str(row["record_id"]), "shard": int(row["shard"]), "n": int(row["n"])}
    for name in LISTS:
        plain[name] = np.asarray(row[name], dtype=np.int32) if name in NUMBERS else list(cast("Sequence[Any]", row[name]))
    (placebo,) = PLACEBO
    return {name: plain[name] for name in COLUMNS} | {placebo: row.get(placebo)}
