"""A training run started by Spark: ``DeepspeedTorchDistributor`` gives each process its rank and its GPU.

On a cluster every node needs this Python environment and access to the paths of snapshot, weights and output. On one machine with
``device`` cpu the processes share its cores.
"""

import os
from collections.abc import Callable

from training.options import Options
from training.track import RunRecord


def train_by_spark(options: Options, processes: int, nodes: int = 1, log: Callable[[str], None] = print) -> None:
    """Train in ``processes`` processes on each of ``nodes`` Spark workers, started by the active Spark session.

    Raises:
        RuntimeError: a process failed; its output has the reason.
    """
    from pyspark.ml.deepspeed.deepspeed_distributor import DeepspeedTorchDistributor

    distributor = DeepspeedTorchDistributor(
        numGpus=processes, nnodes=nodes, localMode=nodes == 1, useGpu=options.device != "cpu", deepspeedConfig={}
    )
    log(f"{processes} processes on each of {nodes} nodes, by Spark")
    distributor.run(run_here, options.model_dump_json())


def run_here(options: str) -> RunRecord:
    """Run one process's part of a training; ``options`` is JSON."""
    from training.loop import train

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return train(Options.model_validate_json(options))
