"""Checkpoints of a run: written completely or not at all, and resumed to the same weights.

``<output>/checkpoints/step-00000100`` has DeepSpeed's files (weights and optimiser, one part per process), a small file per
process (random state, logit scale, the method's buffers) and ``state.json``. Only tensors and plain values are unpickled.
"""

import json
import shutil
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import torch
import torch.distributed as dist
from torch import Tensor

from training.engine import Engine
from training.gather import world
from training.model import settle
from training.options import OptionsError

TAG = "deepspeed"
STATE = "state.json"


class RunState(TypedDict):
    """How far a run is: the content of ``state.json``."""

    run: str  # hash of options, snapshot and model
    step: int  # steps done
    spent: dict[str, Any]  # fields of ``training.track.Spent``
    best: dict[str, float]  # step and measures of the best validation; empty before the first
    world: NotRequired[int]  # processes
    zero: NotRequired[int]  # ZeRO stage


class ProcessState(TypedDict):
    """What DeepSpeed does not save, of one process."""

    random: Tensor
    cuda_random: Tensor | None
    log_scale: Tensor
    scale_optimizer: dict[str, Any]
    method: dict[str, Any]


def save(engine: Engine, output: Path, state: RunState, keep: int) -> Path:
    """Write a checkpoint, in all processes together, and delete all but the last ``keep``."""
    folder = output / "checkpoints" / f"step-{state['step']:08d}"
    partial = folder.with_name(f".{folder.name}.partial")
    if dist.get_rank() == 0:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    dist.barrier()
    _tensors_only(engine).save_checkpoint(str(partial), tag=TAG, save_latest=False)
    torch.save(_process_state(engine), partial / f"process-{dist.get_rank()}.pt")
    dist.barrier()
    if dist.get_rank() == 0:
        (partial / STATE).write_text(json.dumps({**state, **_shape(engine)}), encoding="utf-8")
        settle(partial, folder)
        for old in steps_of(output)[:-keep]:
            shutil.rmtree(old)
    dist.barrier()
    return folder


def load(engine: Engine, output: Path, run: str) -> RunState | None:
    """Restore the last checkpoint of a run's folder; None if there is none. ``run``: the hash that the state must have.

    Raises:
        OptionsError: it belongs to another run, or to another number of processes or ZeRO stage.
    """
    checkpoints = steps_of(output)
    if not checkpoints:
        return None
    folder = checkpoints[-1]
    state: RunState = json.loads((folder / STATE).read_text(encoding="utf-8"))
    if state["run"] != run:
        raise OptionsError(f"{output} has a run with other options ({state['run']}, now {run}): choose another --output")
    if {"world": state["world"], "zero": state["zero"]} != _shape(engine):
        before, now = (f"{shape['world']} processes and ZeRO {shape['zero']}" for shape in (state, _shape(engine)))
        raise OptionsError(f"{folder} was written with {before}, this is {now}: resume with the same")
    _tensors_only(engine).load_checkpoint(str(folder), tag=TAG)
    _restore(engine, torch.load(folder / f"process-{dist.get_rank()}.pt", map_location="cpu", weights_only=True))
    return state


def steps_of(output: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    return sorted((output / "checkpoints").glob("step-*"))


def _shape(engine: Engine) -> dict[str, int]:
    return {"world": world(), "zero": engine.options.zero}


def _process_state(engine: Engine) -> ProcessState:
    cuda = torch.cuda.get_rng_state(engine.device) if engine.device.type == "cuda" else None
    return {
        "random": torch.get_rng_state(),
        "cuda_random": cuda,
        "log_scale": engine.model.log_scale.detach().cpu(),
        "scale_optimizer": engine.scale_optimizer.state_dict(),
        "method": engine.method.state_dict(),
    }


def _restore(engine: Engine, saved: ProcessState) -> None:
    with torch.no_grad():
        engine.model.log_scale.copy_(saved["log_scale"])
    engine.scale_optimizer.load_state_dict(saved["scale_optimizer"])
    engine.method.load_state_dict(saved["method"])
    torch.set_rng_state(saved["random"])
    if saved["cuda_random"] is not None:
        torch.cuda.set_rng_state(saved["cuda_random"], engine.device)


def _tensors_only(engine: Engine) -> Any:
    """The DeepSpeed engine, reading files with an unpickler that allows only tensors and a few of DeepSpeed's own classes."""
    from deepspeed.runtime.checkpoint_engine import TorchCheckpointEngine

    class TensorsOnly(TorchCheckpointEngine):
        def load(self, path: str, map_location: Any = None) -> Any:
            with torch.serialization.safe_globals(_allowed_classes()):
                return torch.load(path, map_location=map_location, weights_only=True)

    files = TensorsOnly()
    files.zipfile_serialization = True
    engine.deepspeed.checkpoint_engine = files
    return engine.deepspeed


def _allowed_classes() -> list[Any]:
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [LossScaler, ZeroStageEnum, fragment_address]
