"""The row groups of Parquet files: what is read at once, and pyarrow as the plain way to read it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from training.data.family import Family, Row, typed


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file, identified by the record id of its first family."""

    url: str
    place: int
    first: str


def row_groups(url: str) -> list[RowGroup]:
    """The row groups of a file, in the file's order."""
    import fsspec
    import pyarrow.parquet as pq

    with fsspec.open(url) as handle:
        file = pq.ParquetFile(handle)
        first = [file.read_row_group(i, columns=["record_id"]).column(0)[0].as_py() for i in range(file.num_row_groups)]
    return [RowGroup(url, place, record_id) for place, record_id in enumerate(first)]


def read_rows(group: RowGroup, columns: Sequence[str]) -> list[Row]:
    """The rows of one group, with the given columns only."""
    import fsspec
    import pyarrow.parquet as pq

    with fsspec.open(group.url) as handle:
        return cast("list[Row]", pq.ParquetFile(handle).read_row_group(group.place, columns=list(columns)).to_pylist())


def read_by_pyarrow(groups: Iterable[RowGroup], columns: Sequence[str]) -> Iterator[list[Family]]:
    """Row groups as lists of families, in the given order."""
    for group in groups:
        yield [typed(row) for row in read_rows(group, columns)]


def record_ids(urls: Sequence[str]) -> Iterator[str]:
    """The record ids of whole files, in their order."""
    import fsspec
    import pyarrow.parquet as pq

    for url in urls:
        with fsspec.open(url) as handle:
            yield from pq.read_table(handle, columns=["record_id"]).column(0).to_pylist()
