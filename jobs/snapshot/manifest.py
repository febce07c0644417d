"""A published snapshot: its columns and its manifest.

A snapshot is a folder of Parquet files and, written last, ``manifest.json``. A row is a family: everything that training needs of
one record. ``jobs.publish`` writes it, ``training.data.families`` reads and counts it.
"""

import hashlib
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from udfs.errors import DualsetError
from udfs.files import file_errors, file_system

# Parallel arrays, as Petastorm does not read arrays of structs: ``subsets`` with ``images``, the five columns of the texts, and
# the six of the variants. Each of ``variant_names`` has all labels that a variant surely names, joined by ``JOINT``. ``detected``
# has the labels of which the detector saw an instance that removal would have taken.
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
    "detected": "ARRAY<STRING>",
    "variant_text": "ARRAY<STRING>",
    "variant_of": "ARRAY<INT>",
    "variant_kind": "ARRAY<STRING>",
    "variant_mentions": "ARRAY<INT>",
    "variant_may_mention": "ARRAY<INT>",
    "variant_names": "ARRAY<STRING>",
}
# A column only of snapshots with placebos: the original with an object-free region inpainted, or null.
PLACEBO = {"placebo": "BINARY"}
LISTS = tuple(name for name, kind in COLUMNS.items() if kind.startswith("ARRAY"))
NUMBERS = tuple(name for name in LISTS if COLUMNS[name] == "ARRAY<INT>")
JOINT = "|"
SCHEMA_HASH = hashlib.sha256(str(COLUMNS).encode()).hexdigest()[:16]
MANIFEST = "manifest.json"


class SnapshotError(DualsetError):
    """A snapshot is incomplete or damaged, or its files contradict its manifest."""


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
    """The state of a Delta table that was read; ``id`` differs after a table was dropped and created again."""

    version: int
    id: str


class StageFacts(_Node):
    """The models and settings that made a table's rows, from ``runs``."""

    models: list[str]
    settings_hashes: list[str]


class LatticeRow(_Node):
    """Images of families of ``n`` components with ``removed`` of them removed: how many were made, and how many are here.

    ``passed`` is how many the policy kept; balancing may have left some of them out. Null in snapshots older than balancing.
    """

    n: int
    removed: int
    made: int
    passed: int | None = None
    kept: int


class Totals(_Node):
    """Over the whole snapshot; ``pairs`` are kept pairs of an image and the text that is exact for it."""

    families: int
    images: int
    texts: int
    pairs: int
    placebos: int = 0
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
    vocabulary: list[str] = Field(
        description="all labels of components, detections and variants, sorted; facts count their places"
    )
    lattice: list[LatticeRow]
    balance: str = Field("none", description="how the lattice was balanced: publish.balance")
    policy: str
    settings: dict[str, Any]
    folder: str = Field("", exclude=True, description="where it was read from")

    @property
    def has_placebos(self) -> bool:
        """Whether originals come with placebos."""
        return PLACEBO.keys() <= self.columns.keys()

    def part(self, shard: int, shards: int) -> list[SnapshotFile]:
        """The files of one of ``shards`` equal parts: those of the snapshot's shards s with s % shards == shard.

        Raises:
            SnapshotError: the snapshot's own number of shards is no multiple of ``shards``: parts would be unequal.
        """
        if self.shards % shards or not 0 <= shard < shards:
            raise SnapshotError(f"snapshot {self.id} has {self.shards} shards: no part {shard} of {shards} equal ones")
        return [file for file in self.files if file.shard % shards == shard]

    def url(self, file: SnapshotFile) -> str:
        """Where a file is, with a scheme.

        Raises:
            SnapshotError: the folder's name has a character that means something else in an address, which Petastorm reads.
        """
        path = f"{self.folder}/{file.path}"
        if set(path) & set("#?"):
            raise SnapshotError(f"training cannot read {self.folder}: give folders names without # and ?")
        return path if "://" in path else f"file://{path}"


def read_manifest(path: str) -> Manifest:
    """Read the manifest of a snapshot; ``path`` is its folder or the manifest.

    Raises:
        SnapshotError: there is none, it cannot be reached, or it belongs to another version of this project.
    """
    file = path if path.endswith(".json") else f"{path.rstrip('/')}/{MANIFEST}"
    try:
        files, name = file_system(file)
        text = files.cat_file(name)
    except (FileNotFoundError, NotADirectoryError):
        raise SnapshotError(f"{path} has no {MANIFEST}: no snapshot, or an unfinished one; publish again") from None
    except file_errors(ValueError, ImportError) as problem:  # no permission; a protocol that is unknown or not installed
        raise SnapshotError(f"{path} cannot be read: {problem}") from problem
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as problem:
        raise SnapshotError(f"{path} is not a manifest of this version: {problem.errors()[0]['msg']}") from problem
    if manifest.schema_hash != SCHEMA_HASH:
        raise SnapshotError(f"{path} has other columns ({manifest.schema_hash}, now {SCHEMA_HASH}): publish again")
    folder = name if "file" in files.protocol else file
    return manifest.model_copy(update={"folder": folder.rpartition("/")[0]})
