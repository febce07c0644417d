"""The demo's few steps of training."""

from collections.abc import Callable

from training.options import make_options

OPTIONS = {
    "method": "powerset", "model": "embedded:clip_objects.json", "checkpoint": "embedded:clip_objects.safetensors",
    "batch_size": 64, "lr": 1e-4, "warmup": 5, "held_out": 0.25, "eval_every": 15, "device": "cpu",
}  # fmt: skip


def train_briefly(snapshot: str, output: str, steps: int, log: Callable[[str], None]) -> None:
    """Train on a snapshot for a few steps, to show that it can be done."""
    from training.loop import train

    log(f"training for {steps} steps, to show that it can be done; so few steps on so few scenes teach little:")
    train(make_options(OPTIONS | {"snapshot": snapshot, "output": output, "steps": steps}), log)
