"""Counting what was read against the manifest, so that a reader that loses rows is noticed."""

import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.snapshot.manifest import Manifest, SnapshotError, SnapshotFile
from training.data.family import Family, is_consistent
from training.data.row_groups import record_ids
from udfs.files import file_system


@dataclass
class Count:
    """What has been read of a part so far."""

    families: int = 0
    images: int = 0
    texts: int = 0
    ids_crc: int = 0
    hashes: "array[int]" = field(default_factory=lambda: array("q"))  # of record ids: 80 MB for 10 million, where ids take 1 GB

    def add(self, family: Family) -> None:
        """Count one more family.

        Raises:
            SnapshotError: arrays that belong together differ in length.
        """
        if not is_consistent(family):
            raise SnapshotError(f"family {family['record_id']}: arrays that belong together differ in length")
        self.families += 1
        self.images += len(family["images"])
        self.texts += len(family["text"])
        self.ids_crc += zlib.crc32(family["record_id"].encode())
        self.hashes.append(hash(family["record_id"]))

    def compare(self, manifest: Manifest, files: Sequence[SnapshotFile]) -> None:
        """Compare with the manifest's numbers for these files.

        Raises:
            SnapshotError: they differ; the message names missing families.
        """
        names = ("families", "images", "texts", "ids_crc")
        differing = [
            f"{name} {actual} instead of {expected}"
            for name in names
            if (actual := getattr(self, name)) != (expected := sum(getattr(file, name) for file in files))
        ]
        if not differing:
            return
        # Only on an error are the ids read again, by pyarrow alone.
        known = set(self.hashes)
        missing = [record_id for record_id in record_ids([manifest.url(file) for file in files]) if hash(record_id) not in known]
        repeated = len(self.hashes) - len(known)
        raise SnapshotError(
            f"snapshot {manifest.id}: read {', '.join(differing)}; {len(missing)} families missing"
            f" ({', '.join(missing[:10])}), {repeated} read twice"
        )


def check_files(manifest: Manifest, files: Sequence[SnapshotFile]) -> None:
    """Check that files exist and have the manifest's sizes.

    Raises:
        SnapshotError: a file is missing or has another size.
    """
    for file in files:
        system, name = file_system(manifest.url(file))
        try:
            size = system.size(name)
        except FileNotFoundError:
            lost = f"{file.path} is missing, and with it {file.families} families"
            raise SnapshotError(f"snapshot {manifest.id}: {lost}") from None
        if size != file.bytes:
            raise SnapshotError(f"snapshot {manifest.id}: {file.path} has {size} bytes instead of {file.bytes}")
