"""Train the embedded segmenter: a small YOLO-seg by ultralytics, from nothing, on scenes.

    python -m scenes.train_segmenter --domain objects --size 128 --scenes 6000 --seed 1 --epochs 4 --output DIR

Renders the scenes to a temporary data set in YOLO's format, trains on the CPU and writes ``segmenter_<domain>.pt``. One half of
the scenes has the statistics of the train split and one of the test split, where classes and colours keep no company; one half
of each has been through the engine's JPEG codec. Nothing is downloaded and nothing reports usage.
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

from jobs.settings import Codec
from scenes import domain as domains
from scenes import layout
from scenes.render import masks, render
from scenes.scene import Scene, Split
from scenes.seeds import check
from udfs import images

NETWORK = Path(__file__).parent / "models" / "segmenter.yaml"
LEARNT_ON: tuple[Split, ...] = ("train", "test")
CHOOSING_SEED, CHOOSING_SCENES = 100, 16  # ultralytics wants to see some, and is not asked to score them
BLOCK = 100  # scenes a task

# What ultralytics is told; all else is its default. Scenes are plenty, so that what would stretch a few photographs (mosaics) is
# off, but for what scenes never are: shifted, cut off at the edge, seen from nearer or farther, in other light.
RECIPE: dict[str, Any] = {
    "optimizer": "AdamW", "lr0": 0.003, "lrf": 0.02, "cos_lr": True, "warmup_epochs": 0.5, "weight_decay": 0.0005,
    "batch": 16, "nbs": 16, "mask_ratio": 2, "overlap_mask": True, "mosaic": 0.0, "close_mosaic": 0,
    "hsv_h": 0.02, "hsv_s": 0.3, "hsv_v": 0.25, "translate": 0.1, "scale": 0.3, "fliplr": 0.5, "erasing": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Scenes ``start`` to ``stop`` of one split, as files in ``folder``/images and ``folder``/labels."""

    domain: str
    split: Split
    seed: int
    size: int
    start: int
    stop: int
    folder: str


def polygon(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Outline a mask as YOLO's format wants it: one ring of pixel centres [n, 2] in pixels, x then y.

    Holes and loose pieces are tied to the rest at their nearest points. Filled with both sides of the line included, as
    ultralytics does, the ring gives the mask back.
    """
    from ultralytics.data.converter import merge_multi_segment

    rings, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # The largest first: what is tied to it follows.
    parts = sorted((ring.reshape(-1, 2) for ring in rings), key=len, reverse=True)
    ring = parts[0] if len(parts) == 1 else np.concatenate(merge_multi_segment([part.tolist() for part in parts]))
    return ring + 0.5


def label_lines(scene: Scene) -> list[str]:
    """A scene in YOLO's text format: class, then x y x y ... as shares of the side, for each thing a detector is taught."""
    known = domains.load(scene.domain).known
    lines = []
    for thing, visible in zip(scene.things, masks(scene).visible, strict=True):
        if thing.label in known and visible.any():
            shares = (polygon(visible) / scene.size).ravel()
            # Two points are a box to the reader, three at least are a polygon.
            shares = np.resize(shares, max(len(shares), 6))
            lines.append(" ".join([str(known.index(thing.label)), *(f"{share:.6f}" for share in shares)]))
    return lines


def write_part(part: Part) -> None:
    """Render scenes and write them as images and label files."""
    from udfs.segment_yolo import _import_quietly

    _import_quietly(threads=1)
    for index in range(part.start, part.stop):
        scene = layout.sample(part.domain, part.split, part.seed, index, part.size)
        codec = Codec() if index % 2 else Codec(format="png")
        file = Path(part.folder) / "images" / f"{scene.key}.{'jpg' if index % 2 else 'png'}"
        file.write_bytes(images.encode(render(scene), codec))
        lines = label_lines(scene)
        (Path(part.folder) / "labels" / f"{scene.key}.txt").write_text("\n".join(lines), encoding="ascii")


def write_scenes(domain: str, seed: int, size: int, count: int, folder: Path, processes: int) -> None:
    """Write ``count`` scenes to a folder, the splits in equal parts."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    each = count // len(LEARNT_ON)
    parts = [
        Part(domain, split, seed, size, start, min(start + BLOCK, each), str(folder))
        for split in LEARNT_ON
        for start in range(0, each, BLOCK)
    ]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        list(pool.map(write_part, parts))


def train(domain: str, data: Path, size: int, epochs: int, seed: int, threads: int, folder: Path, recipe: dict[str, Any]) -> Any:
    """Train on ``data``/training and return the averaged model, in training's precision.

    Args:
        domain: whose known labels are the classes, in their order.
        data: with the folders ``training`` and ``choosing``.
        size: side of the pictures, a multiple of 32.
        epochs: times that every scene is seen.
        seed: of weights, order and augmentation.
        threads: of torch.
        folder: for ultralytics' own log and checkpoints.
        recipe: settings of ultralytics; see ``RECIPE``.
    """
    from udfs.segment_yolo import _import_quietly

    _import_quietly(threads)
    import torch
    from ultralytics.models.yolo.segment import SegmentationTrainer

    names = dict(enumerate(domains.load(domain).known))

    class Trainer(SegmentationTrainer):
        """Given its data set as it is: to read a data set's file, ultralytics looks for a font to download."""

        def get_dataset(self) -> dict[str, Any]:
            folders = {"train": str(data / "training" / "images"), "val": str(data / "choosing" / "images")}
            return folders | {"path": str(data), "names": names, "nc": len(names), "channels": 3}

        def validate(self) -> tuple[dict[str, float], float]:
            """Nothing is chosen by it, and ultralytics' own takes the masks' stride for four pixels."""
            return {}, 0.0

        def final_eval(self) -> None:
            """The weights are those of the last epoch, not of the best."""

    fixed = {"device": "cpu", "amp": False, "pretrained": False, "val": False, "plots": False, "deterministic": True}
    places = {"model": str(NETWORK), "project": str(folder), "name": "run", "exist_ok": True}
    trainer: Any = Trainer(overrides={**recipe, **fixed, **places, "imgsz": size, "epochs": epochs, "seed": seed, "workers": 0})
    torch.set_num_threads(threads)  # it has taken all cores but one
    trainer.add_callback("on_train_epoch_end", _tell)
    trainer.train()
    return trainer.ema.ema


def _tell(trainer: Any) -> None:
    losses = ", ".join(f"{name} {float(value):.3f}" for name, value in trainer.tloss.items())
    spent = time.time() - trainer.train_time_start
    typer.echo(f"epoch {trainer.epoch + 1} of {trainer.epochs}, {spent:.0f} s: {losses}")


def save(model: Any, file: Path, size: int) -> None:
    """Write a checkpoint that ultralytics loads: the model in half precision, and nothing of the machine it came from.

    A ``.pt`` file, because it is the only format here that runs at any size on any device and keeps half precision; the engine
    reads it without running code from it (``udfs.segment_yolo``).
    """
    import torch

    args = {"task": "segment", "imgsz": size}
    model = model.cpu().half().eval()
    model.criterion, model.args = None, args
    vars(model).pop("pt_path", None)  # of a model that was taken up again: where that was
    model.yaml = {key: value for key, value in model.yaml.items() if key != "yaml_file"}
    for parameter in model.parameters():
        parameter.requires_grad = False
    torch.save({"model": model, "train_args": args}, file)


def main(
    output: Annotated[Path, typer.Option(help="folder for the weights and the log")],
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the pictures in pixels, a multiple of 32")] = 128,
    scenes: Annotated[int, typer.Option(min=2, help="different scenes to learn from")] = 6000,
    seed: Annotated[int, typer.Option(help="of the scenes and the training: 1 to 99")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="times that each scene is seen")] = 4,
    threads: Annotated[int, typer.Option(min=1, help="of torch, and processes that render")] = 2,
) -> None:
    """Render scenes, train a YOLO-seg on them, write its weights."""
    check(seed, "training")
    if size % 32:
        raise typer.BadParameter(f"size must be a multiple of 32, not {size}")
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scenes_yolo_") as folder:
        data, begun = Path(folder), time.perf_counter()
        write_scenes(domain, seed, size, scenes, data / "training", threads)
        write_scenes(domain, CHOOSING_SEED, size, CHOOSING_SCENES, data / "choosing", threads)
        rendered = time.perf_counter()
        typer.echo(f"{scenes} scenes rendered in {rendered - begun:.0f} s")
        model = train(domain, data, size, epochs, seed, threads, output, RECIPE)
    file = output / f"segmenter_{Path(domain).stem}.pt"
    save(model, file, size)
    spent = time.perf_counter() - rendered
    typer.echo(f"{scenes * epochs} pictures in {spent:.0f} s, {scenes * epochs / spent:.1f} a second")
    typer.echo(f"{file}: {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
