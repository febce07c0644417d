"""The same run, started from Spark: ``DeepspeedTorchDistributor`` gives each process its place and its GPU.

On a cluster every node needs this environment and the paths of snapshot, weights and output. On one machine with ``device`` cpu
the processes share its cores.
"""

import os
from collections.abc import Callable
from typing import Any

from training.options import Options


def train_by_spark(options: Options, processes: int, nodes: int = 1, say: Callable[[str], None] = print) -> None:
    """Train in ``processes`` processes on each of ``nodes`` workers, started by the active Spark session.

    Raises:
        RuntimeError: a process failed; its output says why.
    """
    from pyspark.ml.deepspeed.deepspeed_distributor import DeepspeedTorchDistributor

    distributor = DeepspeedTorchDistributor(
        numGpus=processes, nnodes=nodes, localMode=nodes == 1, useGpu=options.device != "cpu", deepspeedConfig={}
    )
    say(f"{processes} processes on each of {nodes} nodes, by Spark")
    distributor.run(run_here, options.model_dump_json())


def run_here(options: str) -> dict[str, Any]:
    """One process's part of a run; ``options`` as JSON."""
    from training.loop import train

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return train(Options.model_validate_json(options))
