"""Makes a pandas UDF of a role: one load a worker, its GPU, micro-batches, failures a row at a time, timings.

This is the only module in ``udfs`` that knows Spark.
"""

import gc
import importlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from udfs import clock, vocabulary
from udfs.role import Failure, Role, RoleError, Row, is_fatal
from udfs.weights import located

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column

    from jobs.settings import Settings

# What the factory adds to every result; the names are those of the lineage columns.
ADDED = (
    "status STRING, error STRING, model STRING, model_version STRING, device STRING,"
    " seconds STRUCT<load: DOUBLE, decode: DOUBLE, model: DOUBLE, encode: DOUBLE>"
)

# One role a worker: a stage has one model UDF, and a reused worker would otherwise pile up the models of all stages.
_held: dict[str, Role] = {}


def model_udf(role: str, settings: "Settings", returns: str, batch_size: int) -> "Callable[[Column], Column]":
    """A UDF from a struct column to a struct of the role's result plus ``ADDED``.

    Args:
        role: where the class is, such as ``udfs.segmenter:Segmenter``.
        settings: given to the class, in the worker.
        returns: the result's fields, in DDL.
        batch_size: rows given to the role at a time.

    The UDF is marked as not deterministic: a filter on its status would otherwise run the model once more.
    """
    from pyspark.sql.functions import pandas_udf
    from pyspark.sql.types import StructType

    tree = settings.model_dump_json()
    names = cast(StructType, StructType.fromDDL(f"{returns}, {ADDED}")).names

    def apply(batches: Iterator["pd.DataFrame"]) -> Iterator["pd.DataFrame"]:
        import pandas as pd

        worker = Worker(role, tree)
        for batch in batches:
            rows = [plain(row) for row in batch.to_dict("records")]
            done: list[Row] = []
            for start in range(0, len(rows), batch_size):
                done += worker(rows[start : start + batch_size])
            # As objects: pandas would write what a failed row lacks as NaN, which is no array, no struct and no string.
            yield pd.DataFrame({name: pd.Series([row.get(name) for row in done], dtype=object) for name in names})

    # pandas_udf reads the kind of UDF from these; as strings they could not be resolved in the worker.
    import pandas as pd

    apply.__annotations__ = {"batches": Iterator[pd.DataFrame], "return": Iterator[pd.DataFrame]}
    return pandas_udf(apply, returnType=f"{returns}, {ADDED}").asNondeterministic()  # type: ignore[call-overload]


class Worker:
    """A role in this process, with its lineage. Usable without Spark: the bare loop of the benchmarks."""

    def __init__(self, role: str, tree: str) -> None:
        self.gpu, self.device = pick_device()
        self.words = vocabulary.load(json.loads(tree).get("lexicon", ""))
        with vocabulary.using(self.words):
            self.role = load(role, tree, self.device)

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        """Results of one micro-batch as plain rows with ``ADDED``; a row's seconds are its share of the batch."""
        with vocabulary.using(self.words):
            results = self._results(rows)
        seconds = {part: spent / len(rows) for part, spent in clock.collect().items()}
        lineage = {
            "model": self.role.name,
            "model_version": self.role.version,
            "device": self.gpu or self.device,
            "seconds": seconds,
        }
        return [_finish(result) | lineage for result in results]

    def _results(self, rows: Sequence[Row]) -> Sequence[Row | Failure]:
        try:
            results = self.role(rows)
        except Exception as problem:  # noqa: BLE001 - any model may raise anything; the row says what it was
            if is_fatal(problem):
                raise
            if len(rows) == 1:
                return [Failure("model_error", f"{type(problem).__name__}: {problem}")]
            return [result for row in rows for result in self._results([row])]
        if len(results) != len(rows):
            raise RoleError(f"{self.role.name} gave {len(results)} results for {len(rows)} rows")
        return results


def load(role: str, tree: str, device: str) -> Role:
    """The role held by this worker, loaded if it is another one or has other settings."""
    key = json.dumps([role, tree, device, vocabulary.vocabulary().digest])
    if key in _held:
        return _held[key]
    if _held:
        _held.clear()
        gc.collect()
        _free_gpu_memory()
    module, _, name = role.partition(":")
    from jobs.settings import Settings

    settings = Settings.model_validate_json(tree)
    _limit_threads(settings.spark.threads_per_task)
    with clock.spend("load"):
        try:
            _held[key] = getattr(importlib.import_module(module), name)(located(settings), device)
        except RoleError:
            raise  # it says what is wrong: an endpoint is asked while its judge loads
        except Exception as problem:  # noqa: BLE001 - whatever a library raises, the stage stops with one clear line
            raise RoleError(f"cannot load {name}: {type(problem).__name__}: {problem}") from problem
    return _held[key]


def pick_device() -> tuple[str, str]:
    """(the GPU address that Spark assigned to this task or "", the torch device to use).

    The device is set explicitly: in a reused worker ``CUDA_VISIBLE_DEVICES`` is read once, by the first task.
    """
    from pyspark import TaskContext

    context = TaskContext.get()
    resources = context.resources() if context else {}
    assigned = resources["gpu"].addresses[0] if "gpu" in resources else ""
    import torch

    if not torch.cuda.is_available():
        return (f"gpu {assigned} (no CUDA, ran on cpu)" if assigned else ""), "cpu"
    if assigned:
        return "", f"cuda:{assigned}"
    place = context.partitionId() if context else os.getpid()
    return "", f"cuda:{place % torch.cuda.device_count()}"


def plain(value: Any) -> Any:
    """pandas and numpy containers as dicts, lists and Python scalars; bytes and strings untouched."""
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


def _finish(result: Row | Failure) -> Row:
    if isinstance(result, Failure):
        return {"status": result.status, "error": result.error[:500]}
    return {"status": "ok", "error": None} | result


def _limit_threads(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _free_gpu_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
