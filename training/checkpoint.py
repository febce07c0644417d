"""Checkpoints of a run: written whole or not at all, and resumed to the same weights.

``<output>/checkpoints/step-00000100`` holds DeepSpeed's files (weights and optimiser, a part a process), one small file a process
(random state, logit scale, what the method keeps) and ``state.json``. Only tensors and plain values are unpickled.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from training.engine import Engine
from training.gather import world
from training.model import settle
from training.options import OptionsError

TAG = "deepspeed"
STATE = "state.json"


def save(engine: Engine, output: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write a checkpoint after ``step`` steps, in all processes at once, and drop all but the last ``keep``."""
    folder = output / "checkpoints" / f"step-{step:08d}"
    partial = folder.with_name(f".{folder.name}.partial")
    if dist.get_rank() == 0:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    dist.barrier()
    _tensors_only(engine).save_checkpoint(str(partial), tag=TAG, save_latest=False)
    torch.save(_of_process(engine), partial / f"process-{dist.get_rank()}.pt")
    dist.barrier()
    if dist.get_rank() == 0:
        (partial / STATE).write_text(json.dumps(state | {"step": step} | _shape(engine)), encoding="utf-8")
        settle(partial, folder)
        for old in steps_of(output)[:-keep]:
            shutil.rmtree(old)
    dist.barrier()
    return folder


def load(engine: Engine, output: Path, run: str) -> dict[str, Any] | None:
    """Take up the last checkpoint of a folder; None if there is none. ``run`` is the hash that its state must have.

    Raises:
        OptionsError: it is of another run, or was written by another number of processes or ZeRO stage.
    """
    found = steps_of(output)
    if not found:
        return None
    folder = found[-1]
    state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
    if state["run"] != run:
        raise OptionsError(f"{output} has a run with other options ({state['run']}, now {run}): give another output")
    if any(state[name] != value for name, value in _shape(engine).items()):
        was = f"{state['world']} processes at ZeRO {state['zero']}"
        raise OptionsError(f"{folder} was written by {was}, now {world()} at {engine.options.zero}: resume it as it was")
    _tensors_only(engine).load_checkpoint(str(folder), tag=TAG)
    _take_up(engine, torch.load(folder / f"process-{dist.get_rank()}.pt", map_location="cpu", weights_only=True))
    return state


def steps_of(output: Path) -> list[Path]:
    """The finished checkpoints of a run, the oldest first."""
    return sorted((output / "checkpoints").glob("step-*"))


def _shape(engine: Engine) -> dict[str, Any]:
    return {"world": world(), "zero": engine.options.zero}


def _of_process(engine: Engine) -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state(engine.device) if engine.device.type == "cuda" else None
    return {
        "random": torch.get_rng_state(),
        "cuda_random": cuda,
        "log_scale": engine.model.log_scale.detach().cpu(),
        "scale_optimizer": engine.scale_optimizer.state_dict(),
        "method": engine.method.state_dict(),
    }


def _take_up(engine: Engine, saved: dict[str, Any]) -> None:
    with torch.no_grad():
        engine.model.log_scale.copy_(saved["log_scale"])
    engine.scale_optimizer.load_state_dict(saved["scale_optimizer"])
    engine.method.load_state_dict(saved["method"])
    torch.set_rng_state(saved["random"])
    if saved["cuda_random"] is not None:
        torch.cuda.set_rng_state(saved["cuda_random"], engine.device)


def _tensors_only(engine: Engine) -> Any:
    """The DeepSpeed engine, with files read by the unpickler that knows tensors and a few of DeepSpeed's own records only."""
    from deepspeed.runtime.checkpoint_engine import TorchCheckpointEngine

    class TensorsOnly(TorchCheckpointEngine):
        def load(self, path: str, map_location: Any = None) -> Any:
            with torch.serialization.safe_globals(_records()):
                return torch.load(path, map_location=map_location, weights_only=True)

    files = TensorsOnly()
    files.zipfile_serialization = True
    engine.deepspeed.checkpoint_engine = files
    return engine.deepspeed


def _records() -> list[Any]:
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [LossScaler, ZeroStageEnum, fragment_address]
