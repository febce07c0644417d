"""Reading a published snapshot: whole families, counted against the manifest, so that a reader that loses rows is found out.

A snapshot is a folder of Parquet files and, written last, ``manifest.json``. A row is a family: everything that training needs of
one record. ``jobs.publish`` writes it; this module defines its columns and its manifest.
"""

import hashlib
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

if TYPE_CHECKING:
    import pandas as pd

Family = dict[str, Any]
Reader = Literal["petastorm", "pyarrow"]

# Parallel arrays, not arrays of structs, which Petastorm does not read: ``subsets`` with ``images``, and the five of the texts.
COLUMNS = {
    "record_id": "STRING",
    "shard": "INT",
    "n": "INT",
    "labels": "ARRAY<STRING>",
    "subsets": "ARRAY<INT>",
    "images": "ARRAY<BINARY>",
    "caption_id": "ARRAY<STRING>",
    "text": "ARRAY<STRING>",
    "text_named": "ARRAY<INT>",
    "text_mentions": "ARRAY<INT>",
    "text_may_mention": "ARRAY<INT>",
}
LISTS = tuple(name for name, kind in COLUMNS.items() if kind.startswith("ARRAY"))
NUMBERS = tuple(name for name in LISTS if COLUMNS[name] == "ARRAY<INT>")
SCHEMA_HASH = hashlib.sha256(str(COLUMNS).encode()).hexdigest()[:16]
MANIFEST = "manifest.json"


class SnapshotError(RuntimeError):
    """A snapshot is incomplete or damaged, or what was read is not what its manifest says."""


class _Node(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SnapshotFile(_Node):
    """One Parquet file: its path from the snapshot's folder, and what it holds."""

    path: str
    shard: int
    bytes: int
    families: int
    images: int
    texts: int
    ids_crc: int = Field(description="sum of CRC-32 over the record ids: finds a row lost and another read twice")

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        if path.startswith("/") or "://" in path or ".." in PurePosixPath(path).parts:
            raise ValueError("a file of a snapshot is inside its folder")
        return path


class TableVersion(_Node):
    """The state of a Delta table that was read; ``id`` differs when a table was dropped and made again."""

    version: int
    id: str


class StageFacts(_Node):
    """What made a table's rows, from ``runs``."""

    models: list[str]
    settings_hashes: list[str]


class LatticeRow(_Node):
    """Of families of ``n`` components, images with ``removed`` of them removed: how many are there, how many were kept."""

    n: int
    removed: int
    made: int
    kept: int


class Totals(_Node):
    """Over the whole snapshot; ``pairs`` are kept pairs of an image and the text that is exact for it."""

    families: int
    images: int
    texts: int
    pairs: int
    left_out: int = Field(description="families of which no image or no caption can be used")


class Manifest(_Node):
    """What a snapshot holds and what it was made from."""

    format: Literal[1] = 1
    id: str
    made_at: str = Field(description="UTC, ISO 8601")
    schema_hash: str
    columns: dict[str, str]
    tables: dict[str, TableVersion]
    stages: dict[str, StageFacts]
    shards: int
    seed: int
    files: list[SnapshotFile]
    totals: Totals
    lattice: list[LatticeRow]
    policy: str
    settings: dict[str, Any]
    folder: str = Field("", exclude=True, description="where it was read from")

    def part(self, shard: int, shards: int) -> list[SnapshotFile]:
        """The files of one of ``shards`` equal parts: those of the snapshot's shards s with s % shards == shard.

        Raises:
            SnapshotError: the snapshot's own number of shards is no multiple of ``shards``: parts would be unequal.
        """
        if self.shards % shards or not 0 <= shard < shards:
            raise SnapshotError(f"snapshot {self.id} has {self.shards} shards: no part {shard} of {shards} equal ones")
        return [file for file in self.files if file.shard % shards == shard]

    def url(self, file: SnapshotFile) -> str:
        """Where a file is, with a scheme."""
        path = f"{self.folder}/{file.path}"
        return path if "://" in path else f"file://{path}"


def read_manifest(path: str) -> Manifest:
    """Read the manifest of a snapshot, given its folder or the manifest itself.

    Raises:
        SnapshotError: none is there, or it is of another version of this project.
    """
    import fsspec

    files, name = fsspec.core.url_to_fs(path if path.endswith(".json") else f"{path.rstrip('/')}/{MANIFEST}")
    try:
        text = files.cat_file(name)
    except FileNotFoundError:
        raise SnapshotError(f"{path} has no {MANIFEST}: not a snapshot, or one that was not finished; publish again") from None
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as problem:
        raise SnapshotError(f"{path} is not a manifest of this version: {problem.errors()[0]['msg']}") from problem
    if manifest.schema_hash != SCHEMA_HASH:
        raise SnapshotError(f"{path} has other columns ({manifest.schema_hash}, now {SCHEMA_HASH}): publish again")
    local = "file" in files.protocol
    folder = name if local else files.unstrip_protocol(name)
    return manifest.model_copy(update={"folder": folder.rpartition("/")[0]})


def families(
    manifest: Manifest,
    reader: Reader = "petastorm",
    *,
    shard: int = 0,
    shards: int = 1,
    workers: int = 2,
) -> Iterator[Family]:
    """Every family of one part of a snapshot, once; the order is the files' with ``pyarrow``, any with ``petastorm``.

    Yields:
        record_id str; shard, n int; labels list[str] of n; subsets int32 [K] ascending; images list[bytes] of K, encoded;
        caption_id, text list[str] of T; text_named (C), text_mentions (M), text_may_mention (U) int32 [T] bit masks over labels.

    Raises:
        SnapshotError: a file is missing or of another size (before the first family), or what was read differs from the
            manifest (after the last).
    """
    files = manifest.part(shard, shards)
    _check_files(manifest, files)
    counted = _Counted()
    read = {"petastorm": _petastorm, "pyarrow": _pyarrow}[reader]
    for family in read([manifest.url(file) for file in files], workers):
        counted.add(family)
        yield family
    counted.compare(manifest, files)


@dataclass
class _Counted:
    families: int = 0
    images: int = 0
    texts: int = 0
    ids_crc: int = 0
    seen: "array[int]" = field(default_factory=lambda: array("q"))  # hashes, not ids: 10 million are 80 MB, not 1 GB

    def add(self, family: Family) -> None:
        if len(family["images"]) != len(family["subsets"]) or len({len(family[name]) for name in LISTS if "text" in name}) != 1:
            raise SnapshotError(f"family {family['record_id']}: arrays that belong together differ in length")
        self.families += 1
        self.images += len(family["images"])
        self.texts += len(family["text"])
        self.ids_crc += zlib.crc32(family["record_id"].encode())
        self.seen.append(hash(family["record_id"]))

    def compare(self, manifest: Manifest, files: Sequence[SnapshotFile]) -> None:
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


def _pyarrow(urls: Sequence[str], workers: int) -> Iterator[Family]:  # noqa: ARG001 - one thread is enough to compare with
    import fsspec
    import pyarrow.parquet as pq

    for url in urls:
        with fsspec.open(url) as handle:
            file = pq.ParquetFile(handle)
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, columns=list(COLUMNS))
                yield from (_typed(row) for row in rows.to_pylist())


def _record_ids(urls: Sequence[str]) -> Iterator[str]:
    import fsspec
    import pyarrow.parquet as pq

    for url in urls:
        with fsspec.open(url) as handle:
            yield from pq.read_table(handle, columns=["record_id"]).column(0).to_pylist()


def _petastorm(urls: Sequence[str], workers: int) -> Iterator[Family]:
    import warnings

    # It is built on pyarrow's old data set, and says so at every call; the newest pyarrow it runs on is pinned for it.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\.")
    from petastorm import make_batch_reader
    from petastorm.transform import TransformSpec

    # A list of files, never a folder: in a folder it would unpickle what lies in _common_metadata.
    with make_batch_reader(
        list(urls),
        reader_pool_type="thread",
        workers_count=workers,
        results_queue_size=2 * workers,
        num_epochs=1,
        shuffle_row_groups=False,
        transform_spec=TransformSpec(_padded),
    ) as batches:
        for batch in batches:
            columns = batch._asdict()
            for i in range(len(columns["record_id"])):
                yield _unpadded({name: columns[name][i] for name in COLUMNS})


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
    images, texts = int((row["subsets"] >= 0).sum()), int((row["text_named"] >= 0).sum())
    lengths = dict.fromkeys(LISTS, texts) | {"labels": int(row["n"]), "subsets": images, "images": images}
    return _typed({name: row[name][: lengths[name]] if name in LISTS else row[name] for name in COLUMNS})


def _typed(row: Family) -> Family:
    import numpy as np

    plain: Family = {"record_id": str(row["record_id"]), "shard": int(row["shard"]), "n": int(row["n"])}
    for name in LISTS:
        plain[name] = np.asarray(row[name], dtype=np.int32) if name in NUMBERS else list(cast("Sequence[Any]", row[name]))
    return {name: plain[name] for name in COLUMNS}
