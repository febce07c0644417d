"""Row groups read by Petastorm's workers.

Petastorm turns each list column of a row group into one matrix. So lists are padded to the longest in their row group in the
worker, and cut back to their own length here.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from jobs.snapshot.manifest import LISTS, NUMBERS
from training.data.family import PARALLEL, Family, Row, typed
from udfs.files import file_system

if TYPE_CHECKING:
    import pandas as pd

Pool = Literal["thread", "process", "dummy"]


def read_by_petastorm(urls: Sequence[str], seed: int, pool: Pool, workers: int) -> Iterator[list[Family]]:
    """Row groups as lists of families, handed out in the order of the seed; with several workers they arrive in any order."""
    # Petastorm uses pyarrow's legacy data set, which warns at every call. The newest pyarrow that still has it is pinned.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\.")
    from petastorm import make_batch_reader
    from petastorm.transform import TransformSpec

    with _without_warnings_in_children():
        reader = make_batch_reader(
            list(urls),
            reader_pool_type=pool,
            workers_count=workers,
            results_queue_size=2 * workers,
            num_epochs=1,
            shuffle_row_groups=True,
            seed=seed,
            transform_spec=TransformSpec(_padded),
            filesystem=_object_store(urls[0]),
        )
    with reader as batches:
        for batch in batches:
            columns = batch._asdict()
            yield [_unpadded({name: columns[name][i] for name in columns}) for i in range(len(columns["record_id"]))]


def _object_store(url: str) -> Any:
    """The file system of an object store, wrapped for the legacy data set; None for local files, which Petastorm opens itself."""
    if url.startswith("file://"):
        return None
    from pyarrow.filesystem import S3FSWrapper

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return S3FSWrapper(file_system(url)[0])


@contextmanager
def _without_warnings_in_children() -> Iterator[None]:
    """Silence the warning in a process pool's workers as well: they do not inherit this process's filters."""
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


def _padded(rows: "pd.DataFrame") -> "pd.DataFrame":
    """A row group with every list padded to the longest in its column: -1 for numbers, None for everything else."""
    import numpy as np

    for name in LISTS:
        longest = max(map(len, rows[name]), default=0)
        filler = -1 if name in NUMBERS else None
        padded = [np.concatenate([values, np.full(longest - len(values), filler)]) for values in rows[name]]
        rows[name] = [values.astype(np.int32 if name in NUMBERS else object) for values in padded]
    return rows


def _unpadded(row: Row) -> Family:
    """A row with its lists cut back. -1 may be a value, None may not: number columns get the length of their parallel columns."""
    lengths = {name: sum(value is not None for value in row[name]) for name in LISTS if name not in NUMBERS}
    for names in PARALLEL:
        lengths |= dict.fromkeys(names, next(lengths[name] for name in names if name not in NUMBERS))
    return typed({name: value[: lengths[name]] if name in LISTS else value for name, value in row.items()})
