"""One of several training processes: for each job it runs a few steps on its share of the same batch.

``start`` runs it with the environment that a launcher would set; the first process writes the results.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file

from jobs.snapshot.manifest import read_manifest
from training.checkpoint import steps_of
from training.data.batch import Batch, Facts
from training.data.decode import Pixels
from training.data.held_out import held_out_batch
from training.engine import start_engine, start_processes, train_step
from training.loop import train
from training.methods import make
from training.model import WEIGHTS, build, gathered, plain_state
from training.options import make_options

IMAGES, STEPS = 8, 3


def environment(rank: int, world: int, port: int) -> dict[str, str]:
    """The variables that a launcher sets."""
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    return {**os.environ, **{name: str(value) for name, value in variables.items()}, "MASTER_ADDR": "127.0.0.1"}


def start(world: int, *arguments: str) -> None:
    """Run this file, or a module with ``-m``, in ``world`` processes; fails with the output of a process that failed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, *arguments], env=environment(rank, world, port), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for rank in range(world)
    ]
    outputs = [process.communicate()[0].decode() for process in processes]
    for process, text in zip(processes, outputs, strict=True):
        assert process.returncode == 0, text[-4000:]


def share_of(batch: Batch, rank: int, world: int) -> Batch:
    """Every ``world``-th part of a batch: images in a row, each with its texts."""
    size = len(batch.image_ids) // world
    images = torch.arange(rank * size, (rank + 1) * size)
    texts = torch.isin(batch.facts.owner, images).nonzero()[:, 0]
    of_images = ("image_family", "removed", "present")
    columns = {
        column.name: getattr(batch.facts, column.name)[images if column.name in of_images else texts]
        for column in fields(batch.facts)
    }
    facts = replace(Facts(**columns), owner=columns["owner"] - rank * size)
    ids = tuple(batch.image_ids[i] for i in images), tuple(batch.text_ids[i] for i in texts)
    return Batch(batch.pixels[images], batch.tokens[texts], facts, *ids)


def trained(job: dict[str, Any]) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses of the steps, and the weights after them."""
    options = make_options(job["options"])
    rank, world, device = start_processes(options)
    method, model = make(options.method), build(options, world)
    pixels = Pixels.of(model.network.visual, augment=False)
    batch = held_out_batch(read_manifest(options.snapshot), 1.0, method.needs, IMAGES, pixels, model.tokenize)
    engine = start_engine(model, method, options, device)
    losses = [train_step(engine, share_of(batch, rank, world), step).total.item() for step in range(STEPS)]
    with gathered(model):
        state = plain_state(model)
    engine.deepspeed.destroy()
    return losses, state


def resumed(job: dict[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Final weights of a run, and of the same run resumed from its second last checkpoint."""
    options = make_options(job["options"])
    finals = []
    for is_restart in (False, True):
        if is_restart and dist.get_rank() == 0:
            shutil.rmtree(steps_of(Path(options.output))[-1])
        if is_restart:
            dist.barrier()
        log: list[str] = []
        train(options, log.append)
        assert not is_restart or not log or any("from step" in line for line in log), log
        finals.append(load_file(Path(options.output) / "final" / WEIGHTS))
        dist.barrier()
    return finals[0], finals[1]


if __name__ == "__main__":
    jobs = json.loads(Path(sys.argv[1]).read_text())
    results = [resumed(job) if job.get("resume") else trained(job) for job in jobs]
    if int(os.environ["RANK"]) == 0:
        torch.save(results, sys.argv[2])
