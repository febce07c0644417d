"""A role at work in a process: loaded once, called on batches, its failures confined to their rows, its times measured.

It knows nothing of Spark: the benchmarks call it in a plain loop, and a stage's workers in a process beside Spark's own
(``udfs.role_process``).
"""

import gc
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from udfs import clock
from udfs.captions import vocabulary
from udfs.redact import without_secrets
from udfs.role import Failure, Role, RoleError, Row, is_fatal
from udfs.settings import RoleSettings
from udfs.weights import located

# At most one role: a stage has one model UDF, and a reused worker would otherwise pile up the models of all stages.
_held: dict[str, Role[Row, Row]] = {}


class Worker:
    """A role in this process, with its lineage.

    Args:
        role: module and class, such as ``udfs.segment.segmenter:Segmenter``.
        tree: the settings as JSON.
        assigned: the address of the GPU that Spark gave the task; "" for none.
        task: a number that tells tasks at the same time apart, so that they spread over GPUs that Spark knows nothing of.
    """

    def __init__(self, role: str, tree: str, assigned: str = "", task: int = 0) -> None:
        self.gpu, self.device = pick_device(assigned, task)
        self.vocabulary = vocabulary.load(json.loads(tree).get("lexicon", ""))
        with vocabulary.using(self.vocabulary):
            self.role = load(role, tree, self.device)

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        """Results of one micro-batch as plain rows with ``ADDED``; a row's seconds are its share of the batch's."""
        with vocabulary.using(self.vocabulary):
            results = self._results(rows)
        seconds = {part: spent / len(rows) for part, spent in clock.collect().items()}
        lineage = self.lineage() | {"seconds": seconds}
        return [finished(result) | lineage for result in results]

    def lineage(self) -> Row:
        """Which model makes the rows, and where."""
        return {"model": self.role.name, "model_version": self.role.version, "device": self.gpu or self.device}

    def _results(self, rows: Sequence[Row]) -> Sequence[Row | Failure]:
        try:
            results = self.role(rows)
        except Exception as problem:  # noqa: BLE001 - a model may raise anything; the row's error column tells what it was
            if is_fatal(problem):
                raise
            if len(rows) == 1:
                return [Failure("model_error", f"{type(problem).__name__}: {problem}")]
            return [result for row in rows for result in self._results([row])]
        if len(results) != len(rows):
            raise RoleError(f"{self.role.name} gave {len(results)} results for {len(rows)} rows")
        return results


def load(role: str, tree: str, device: str) -> Role[Row, Row]:
    """The role of this worker; loaded anew where the worker holds another role, or one with other settings."""
    key = json.dumps([role, tree, device, vocabulary.vocabulary().digest])
    if key in _held:
        return _held[key]
    if _held:
        _held.clear()
        gc.collect()
        _free_gpu_memory()
    module, _, name = role.partition(":")

    settings = RoleSettings.model_validate_json(tree)
    _limit_threads(settings.spark.threads_per_task)
    with clock.spend("load"):
        try:
            _held[key] = getattr(importlib.import_module(module), name)(located(settings), device)
        except RoleError:
            raise  # clear as it is; a judge, for one, calls its endpoint while it loads
        except Exception as problem:  # noqa: BLE001 - whatever a library raises, the stage stops with one clear line
            raise RoleError(f"cannot load {name}: {type(problem).__name__}: {problem}") from problem
    return _held[key]


def pick_device(assigned: str, task: int) -> tuple[str, str]:
    """The GPU note for lineage ("" where the device says it all), and the torch device to use.

    The GPU is chosen explicitly: a reused worker reads ``CUDA_VISIBLE_DEVICES`` only once, for its first task.
    """
    if not assigned and not _may_have_gpu():
        return "", "cpu"
    import torch

    if not torch.cuda.is_available():
        return (f"gpu {assigned} (no CUDA, ran on cpu)" if assigned else ""), "cpu"
    return "", f"cuda:{assigned or task % torch.cuda.device_count()}"


def finished(result: Row | Failure) -> Row:
    """A result as a row with its status; what an error says is cut, and holds no secret."""
    if isinstance(result, Failure):
        return {"status": result.status, "error": without_secrets(result.error)[:500]}
    return {"status": "ok", "error": None} | result


def _may_have_gpu() -> bool:
    """Whether torch must be asked. Importing it takes seconds and hundreds of megabytes."""
    devices = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA, Windows' Linux, AMD
    return sys.platform != "linux" or any(Path(device).exists() for device in devices)


def _limit_threads(threads: int) -> None:
    """For libraries that are loaded already, and by the environment for those that the role will load."""
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENCV_FOR_THREADS_NUM"] = str(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
    if cv2 := sys.modules.get("cv2"):
        cv2.setNumThreads(threads)


def _free_gpu_memory() -> None:
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.empty_cache()
