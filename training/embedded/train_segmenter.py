"""Train the embedded segmenter: a small YOLO-seg by ultralytics, from scratch, on scenes.

    python -m training.embedded.train_segmenter --domain objects --size 128 --scenes 6000 --seed 1 --epochs 4 --output DIR

Renders the scenes to a temporary data set in YOLO's format, trains on the CPU and writes ``segmenter_<domain>.pt``. Half of the
scenes are from the train split and half from the test split, where classes and colours are independent; half of each are encoded
and decoded by the engine's JPEG codec. Nothing is downloaded, and no usage is reported.
"""

import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
import typer

from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.render import masks, render
from jobs.scenes.scene import Scene, Split
from jobs.scenes.seeds import check
from udfs import images
from udfs.codec import CodecSettings

NETWORK = Path(__file__).parent / "segmenter.yaml"
TRAINED_ON: tuple[Split, ...] = ("train", "test")
CHOOSING_SEED, CHOOSING_SCENES = 100, 16  # ultralytics requires a validation set, which is not scored here
BLOCK = 100  # scenes a task

# Settings of ultralytics; the others are its defaults. Scenes are plentiful, so augmentation that stretches a few photographs
# (mosaics) is off. What remains covers what scenes lack: shifts, things cut off at the edge, other distances, other light.
RECIPE: dict[str, Any] = {
    "optimizer": "AdamW", "lr0": 0.003, "lrf": 0.02, "cos_lr": True, "warmup_epochs": 0.5, "weight_decay": 0.0005,
    "batch": 16, "nbs": 16, "mask_ratio": 2, "overlap_mask": True, "mosaic": 0.0, "close_mosaic": 0,
    "hsv_h": 0.02, "hsv_s": 0.3, "hsv_v": 0.25, "translate": 0.1, "scale": 0.3, "fliplr": 0.5, "erasing": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Scenes ``start`` to ``stop`` (exclusive) of one split, as files in ``folder``/images and ``folder``/labels."""

    domain: str
    split: Split
    seed: int
    size: int
    start: int
    stop: int
    folder: str


def polygon(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The outline of a mask in YOLO's format: one ring of pixel centres, float64 [n, 2] in pixels, x then y.

    Holes and separate parts are connected to the rest at their nearest points. If the ring is filled including its line, as
    ultralytics does, the result is the mask.
    """
    from ultralytics.data.converter import merge_multi_segment

    rings, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # The largest ring first; the others are connected to it.
    parts = sorted((ring.reshape(-1, 2) for ring in rings), key=len, reverse=True)
    ring = parts[0] if len(parts) == 1 else np.concatenate(merge_multi_segment([part.tolist() for part in parts]))
    return ring + 0.5


def label_lines(scene: Scene) -> list[str]:
    """A scene in YOLO's text format: class, then x y x y ... as shares of the side, for each thing that a detector knows."""
    known = domains.load(scene.domain).known
    lines = []
    for thing, visible in zip(scene.things, masks(scene).visible, strict=True):
        if thing.label in known and visible.any():
            shares = (polygon(visible) / scene.size).ravel()
            # The reader takes two points for a box; at least three are a polygon.
            shares = np.resize(shares, max(len(shares), 6))
            lines.append(" ".join([str(known.index(thing.label)), *(f"{share:.6f}" for share in shares)]))
    return lines


def write_part(part: Part) -> None:
    """Render scenes and write them as images and label files."""
    from udfs.segment.yolo import _import_quietly

    _import_quietly(threads=1)
    for index in range(part.start, part.stop):
        scene = layout.sample(part.domain, part.split, part.seed, index, part.size)
        codec = CodecSettings() if index % 2 else CodecSettings(format="png")
        file = Path(part.folder) / "images" / f"{scene.key}.{'jpg' if index % 2 else 'png'}"
        file.write_bytes(images.encode(render(scene), codec))
        lines = label_lines(scene)
        (Path(part.folder) / "labels" / f"{scene.key}.txt").write_text("\n".join(lines), encoding="ascii")


def write_scenes(domain: str, seed: int, size: int, count: int, folder: Path, processes: int) -> None:
    """Write ``count`` scenes to a folder, half from each split."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    per_split = count // len(TRAINED_ON)
    parts = [
        Part(domain, split, seed, size, start, min(start + BLOCK, per_split), str(folder))
        for split in TRAINED_ON
        for start in range(0, per_split, BLOCK)
    ]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        list(pool.map(write_part, parts))


def train(domain: str, data: Path, size: int, epochs: int, seed: int, threads: int, folder: Path, recipe: dict[str, Any]) -> Any:
    """Train on ``data``/training and return the averaged model, in the precision of training.

    Args:
        domain: its known labels are the classes, in their order.
        data: folder with ``training`` and ``choosing``.
        size: side of the pictures in pixels, a multiple of 32.
        epochs: number of visits to every scene.
        seed: seed of weights, order and augmentation.
        threads: threads of torch.
        folder: folder for ultralytics' log and checkpoints.
        recipe: settings of ultralytics; see ``RECIPE``.
    """
    from udfs.segment.yolo import _import_quietly

    _import_quietly(threads)
    import torch
    from ultralytics.models.yolo.segment import SegmentationTrainer

    names = dict(enumerate(domains.load(domain).known))

    class Trainer(SegmentationTrainer):
        """Gets its data set directly: when ultralytics reads a data set's file, it tries to download a font."""

        def get_dataset(self) -> dict[str, Any]:
            folders = {"train": str(data / "training" / "images"), "val": str(data / "choosing" / "images")}
            return folders | {"path": str(data), "names": names, "nc": len(names), "channels": 3}

        def validate(self) -> tuple[dict[str, float], float]:
            """Skipped: nothing depends on it, and ultralytics' own assumes a mask stride of four pixels."""
            return {}, 0.0

        def final_eval(self) -> None:
            """Skipped: the weights of the last epoch are used, not the best ones."""

    fixed = {"device": "cpu", "amp": False, "pretrained": False, "val": False, "plots": False, "deterministic": True}
    places = {"model": str(NETWORK), "project": str(folder), "name": "run", "exist_ok": True}
    trainer: Any = Trainer(overrides={**recipe, **fixed, **places, "imgsz": size, "epochs": epochs, "seed": seed, "workers": 0})
    torch.set_num_threads(threads)  # ultralytics has set it to all cores but one
    trainer.add_callback("on_train_epoch_end", _report)
    trainer.train()
    return trainer.ema.ema


def _report(trainer: Any) -> None:
    losses = ", ".join(f"{name} {float(value):.3f}" for name, value in trainer.tloss.items())
    spent = time.time() - trainer.train_time_start
    typer.echo(f"epoch {trainer.epoch + 1} of {trainer.epochs}, {spent:.0f} s: {losses}")


def save(model: Any, file: Path, size: int) -> None:
    """Write a checkpoint that ultralytics loads: the model in half precision, without any paths of this machine.

    ``.pt`` is the only format here that runs at any size on any device and keeps half precision. The engine reads it without
    executing code from it (``udfs.segment.yolo``).
    """
    import torch

    args = {"task": "segment", "imgsz": size}
    model = model.cpu().half().eval()
    model.criterion, model.args = None, args
    vars(model).pop("pt_path", None)  # set on resumed models: the path of their checkpoint
    model.yaml = {key: value for key, value in model.yaml.items() if key != "yaml_file"}
    for parameter in model.parameters():
        parameter.requires_grad = False
    torch.save({"model": model, "train_args": args}, file)


def main(
    output: Annotated[Path, typer.Option(help="folder for weights and log")],
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the pictures in pixels, a multiple of 32")] = 128,
    scenes: Annotated[int, typer.Option(min=2, help="number of training scenes")] = 6000,
    seed: Annotated[int, typer.Option(help="seed of scenes and training: 1 to 99")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="number of visits to each scene")] = 4,
    threads: Annotated[int, typer.Option(min=1, help="threads of torch, and rendering processes")] = 2,
) -> None:
    """Render scenes, train a YOLO-seg on them, and write its weights."""
    check(seed, "training")
    if size % 32:
        raise typer.BadParameter(f"size must be a multiple of 32, not {size}")
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scenes_yolo_") as folder:
        data, started = Path(folder), time.perf_counter()
        write_scenes(domain, seed, size, scenes, data / "training", threads)
        write_scenes(domain, CHOOSING_SEED, size, CHOOSING_SCENES, data / "choosing", threads)
        rendered = time.perf_counter()
        typer.echo(f"{scenes} scenes rendered in {rendered - started:.0f} s")
        model = train(domain, data, size, epochs, seed, threads, output, RECIPE)
    file = output / f"segmenter_{Path(domain).stem}.pt"
    save(model, file, size)
    spent = time.perf_counter() - rendered
    typer.echo(f"{scenes * epochs} pictures in {spent:.0f} s, {scenes * epochs / spent:.1f} a second")
    typer.echo(f"{file}: {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
