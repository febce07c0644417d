"""Turns a role into a pandas UDF. This is the only module in ``udfs`` that knows Spark.

The factory does what all roles need: it loads the model once for each worker, on the task's GPU, cuts the rows into
micro-batches, confines a failure to its own row, also one that hangs or kills its process, and measures times.
"""

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from udfs import role_process
from udfs.role import Row
from udfs.settings import RoleSettings

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column


# The fields that the factory adds to every result; they are named as the lineage columns are.
ADDED = (
    "status STRING, error STRING, model STRING, model_version STRING, device STRING,"
    " seconds STRUCT<load: DOUBLE, decode: DOUBLE, model: DOUBLE, encode: DOUBLE>"
)


def model_udf(role: str, settings: "RoleSettings", returns: str, batch_size: int) -> "Callable[[Column], Column]":
    """A UDF from a struct column to a struct of the role's result plus ``ADDED``.

    Args:
        role: module and class, such as ``udfs.segment.segmenter:Segmenter``.
        settings: passed to the class, in the worker.
        returns: the result's fields, in DDL.
        batch_size: rows passed to the role at a time.

    The UDF is marked as not deterministic: otherwise Spark would run the model a second time for a filter on its status.
    """
    from pyspark.sql.functions import pandas_udf
    from pyspark.sql.types import StructType

    tree, deadline_s = settings.model_dump_json(), settings.spark.row_deadline_s
    names = cast(StructType, StructType.fromDDL(f"{returns}, {ADDED}")).names

    def apply(batches: Iterator["pd.DataFrame"]) -> Iterator["pd.DataFrame"]:
        import pandas as pd

        worker = role_process.opened(role, tree, *_task(), deadline_s)
        for batch in batches:
            rows = [plain(row) for row in batch.to_dict("records")]
            results: list[Row] = []
            for start in range(0, len(rows), batch_size):
                results += worker(rows[start : start + batch_size])
            # As objects: pandas would write the missing fields of a failed row as NaN, which is no array, struct or string.
            yield pd.DataFrame({name: pd.Series([result.get(name) for result in results], dtype=object) for name in names})

    # pandas_udf reads the kind of UDF from the annotations; as strings they could not be resolved in the worker.
    import pandas as pd

    apply.__annotations__ = {"batches": Iterator[pd.DataFrame], "return": Iterator[pd.DataFrame]}
    return pandas_udf(apply, returnType=f"{returns}, {ADDED}").asNondeterministic()  # type: ignore[call-overload]


def plain(value: Any) -> Any:
    """pandas and NumPy containers as dicts, lists and Python scalars, NaN as None; bytes and strings stay as they are."""
    import numpy as np

    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and value != value else value


def _task() -> tuple[str, int]:
    """The address of the GPU that Spark assigned to this task ("" for none), and the task's number in its stage."""
    from pyspark import TaskContext

    context = TaskContext.get()
    resources = context.resources() if context else {}
    return (
        resources["gpu"].addresses[0] if "gpu" in resources else "",
        context.partitionId() if context else os.getpid(),
    )
