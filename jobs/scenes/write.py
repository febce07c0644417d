"""Scenes as files in COCO's format (images, captions, instances), plus a file with the ground truth.

    python -m jobs.scenes.write --domain objects --split train --seed 0 --count 1000 --size 96 --output DIR

``write_block`` writes one block of scenes. It runs in the processes of this module's command, which then joins the blocks' files
into three, or in Spark workers (``jobs.sources.scenes``), which leave one file a block. The same numbers give the same bytes.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.captions import Caption, tell
from jobs.scenes.dual_texts import right, subsets
from jobs.scenes.scene import Scene, Split
from udfs.errors import DualsetError
from udfs.files import file_system

Row = dict[str, Any]
BLOCK = 100  # scenes a block, the unit of parallel work
LICENSE = {"id": 1, "name": "CC0-1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}
PARTS = ("captions", "instances", "truth")


@dataclass(frozen=True)
class Series:
    """An endless data set of scenes; its first n scenes are the same however many are written."""

    domain: str = "objects"  # a built-in name, or a definition file
    split: Split = "train"
    seed: int = 0
    size: int = 96  # pixels

    @property
    def name(self) -> str:
        """A name that is unique to the series and works as a folder's name."""
        return f"{Path(self.domain).stem}_{self.split}_s{self.seed}_p{self.size}"

    def file_name(self, index: int) -> str:
        """The path of a scene's image below the images folder, in subfolders of a thousand."""
        return f"{index // 1000:05d}/{self.name}_{index:08d}.png"


@dataclass(frozen=True)
class Block:
    """Scenes ``start`` to ``stop`` (exclusive) of a series."""

    series: Series
    start: int
    stop: int

    def file_name(self, part: str) -> str:
        """The name of the block's file for a part: ``captions``, ``instances`` or ``truth``."""
        return f"{part}_{self.start:08d}-{self.stop:08d}.json{'l' if part == 'truth' else ''}"


class SeriesError(DualsetError, ValueError):
    """A folder already holds the scenes of another series."""


def claim(series: Series, folder: str) -> None:
    """Mark a folder as belonging to a series, so that two series are never mixed in it.

    Raises:
        SeriesError: the folder belongs to another series, or the domain's definition has changed since.
    """
    fs, root = file_system(folder.rstrip("/"))
    domain = domains.load(series.domain)
    claimed = {"series": series.name, "domain": hashlib.sha256(domain.model_dump_json().encode()).hexdigest()[:16]}
    note = f"{root}/series.json"
    if not fs.exists(note):
        _put(fs, note, (_json(claimed) + "\n").encode())
    elif (held := _held(fs.cat_file(note))) != claimed:
        raise SeriesError(f"{folder} holds scenes of {held}, not of {claimed}: choose another folder")


def _held(note: bytes) -> object:
    try:
        return json.loads(note)
    except ValueError:
        return "nobody knows what, as its series.json is damaged"


def blocks(series: Series, count: int) -> list[Block]:
    """The first ``count`` scenes in blocks; all blocks but the last are the same for every larger count."""
    return [Block(series, start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]


def write_block(block: Block, folder: str) -> None:
    """Write a block's images to ``folder``/images and its three files to ``folder``/parts, unless they exist.

    The captions file is written last: if it exists, the block is complete. Each file gets its final name only when it is
    complete, so two processes may write the same block at once.
    """
    fs, root = file_system(folder.rstrip("/"))
    last = f"{root}/parts/{block.file_name('captions')}"
    if fs.exists(last):
        return
    parts: dict[str, list[Row]] = {"images": [], "captions": [], "instances": [], "truth": []}
    for index in range(block.start, block.stop):
        data, scene_rows = make(block.series, index)
        _put(fs, f"{root}/images/{block.series.file_name(index)}", data)
        for name, rows in scene_rows.items():
            parts[name] += rows
    heads = {"captions": (parts["images"], parts["captions"], None), "instances": (parts["images"], parts["instances"], block)}
    _put(fs, f"{root}/parts/{block.file_name('truth')}", _lines(parts["truth"]))
    for part in ("instances", "captions"):
        images, annotations, categories = heads[part]
        tree = _head(block.series, categories is not None) | {"images": images, "annotations": annotations}
        _put(fs, f"{root}/parts/{block.file_name(part)}", (_json(tree) + "\n").encode())
    for stale in fs.glob(f"{root}/parts/*_{block.start:08d}-*"):
        # Left by a run with a smaller count, in which this block was the last and not full.
        if f"-{block.stop:08d}." not in stale:
            fs.rm(stale)


def make(series: Series, index: int) -> tuple[bytes, dict[str, list[Row]]]:
    """A scene's image as PNG, and its rows for the parts images, captions, instances and truth."""
    from PIL import Image

    from jobs.scenes.render import render

    scene = layout.sample(series.domain, series.split, series.seed, index, series.size)
    buffer = io.BytesIO()
    Image.fromarray(render(scene)).save(buffer, format="PNG")
    name = series.file_name(index)
    scene_captions = tell(domains.load(series.domain), scene)
    image = {"id": index, "file_name": name, "width": scene.size, "height": scene.size, "license": LICENSE["id"]}
    captions = [{"id": 10 * index + i, "image_id": index, "caption": caption.text} for i, caption in enumerate(scene_captions)]
    truths = [{"id": row["id"]} | truth(caption) for row, caption in zip(captions, scene_captions, strict=True)]
    return buffer.getvalue(), {
        "images": [image],
        "captions": captions,
        "instances": instances(scene),
        "truth": [{"file_name": name, "scene": asdict(scene) | {"domain": Path(scene.domain).stem}, "captions": truths}],
    }


def instances(scene: Scene) -> list[Row]:
    """COCO annotations of the visible parts of a scene's things, without classes that no detector is trained on."""
    import numpy as np
    from pycocotools import mask as coco_mask

    from jobs.scenes.render import masks

    world = domains.load(scene.domain)
    annotations = []
    for i, (thing, visible) in enumerate(zip(scene.things, masks(scene).visible, strict=True)):
        if thing.label not in world.known or not visible.any():
            continue
        rle = coco_mask.encode(np.asfortranarray(visible.astype(np.uint8)))
        annotations.append(
            {
                "id": 100 * scene.index + i,
                "image_id": scene.index,
                "category_id": _categories(scene.domain)[thing.label],
                "bbox": [float(side) for side in coco_mask.toBbox(rle)],
                "area": int(visible.sum()),
                "segmentation": {"size": [scene.size, scene.size], "counts": rle["counts"].decode("ascii")},
                "iscrowd": 0,
            }
        )
    return annotations


def truth(caption: Caption) -> Row:
    """The ground truth of a caption, as JSON: its meaning, its mentions, and its right dual texts."""
    duals = [{"removed": list(removed), "caption": right(caption, removed)} for removed in subsets(caption)]
    return {
        "caption": caption.text,
        "form": caption.form,
        "forms": caption.forms,
        "monotone": caption.monotone,
        "mentions": [asdict(mention) for mention in caption.mentions],
        "meaning": asdict(caption.meaning),
        "dual_texts": duals if caption.monotone else [],
    }


def join(folder: str, parts: Sequence[Block]) -> list[str]:
    """Join the blocks' files into captions.json, instances.json and truth.jsonl, and delete them; returns the three paths.

    Only one block at a time is held in memory.
    """
    fs, root = file_system(folder.rstrip("/"))
    joined = []
    for part in PARTS:
        files = [f"{root}/parts/{block.file_name(part)}" for block in parts]
        joined.append(f"{root}/{part}.json{'l' if part == 'truth' else ''}")
        with fs.open(joined[-1], "wb") as target:
            if part == "truth":
                for file in files:
                    target.write(fs.cat_file(file))
            else:
                _join_trees(fs, files, parts[0].series, part == "instances", cast(IO[bytes], target))
    fs.rm(f"{root}/parts", recursive=True)
    return joined


def _join_trees(fs: Any, files: list[str], series: Series, categories: bool, target: IO[bytes]) -> None:
    target.write(_json(_head(series, categories)).encode()[:-1])
    for name in ("images", "annotations"):
        target.write(f',"{name}":['.encode())
        first = True
        for file in files:
            for row in json.loads(fs.cat_file(file))[name]:
                target.write((b"" if first else b",\n") + _json(row).encode())
                first = False
        target.write(b"]")
    target.write(b"}\n")


def _head(series: Series, categories: bool) -> Row:
    head: Row = {"info": {"description": f"dualset scenes: {series.name}"}, "licenses": [LICENSE]}
    if categories:
        head["categories"] = [{"id": place, "name": label} for label, place in _categories(series.domain).items()]
    return head


def _categories(domain: str) -> dict[str, int]:
    return {label: i + 1 for i, label in enumerate(domains.load(domain).known)}


def _json(tree: Any) -> str:
    return json.dumps(tree, ensure_ascii=True, separators=(",", ":"))


def _lines(rows: list[Row]) -> bytes:
    return "".join(_json(row) + "\n" for row in rows).encode()


def _put(fs: Any, path: str, data: bytes) -> None:
    import uuid

    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    with fs.open(temporary, "wb") as file:
        file.write(data)
    fs.mv(temporary, path)


def _work(job: tuple[Block, str]) -> None:
    write_block(*job)


def write(series: Series, count: int, folder: str, processes: int) -> Iterator[int]:
    """Write the first ``count`` scenes; yields the number of scenes written so far, block by block."""
    from multiprocessing import get_context

    claim(series, folder)
    todo = blocks(series, count)
    with get_context("spawn").Pool(processes) as pool:
        done = 0
        for block, _ in zip(todo, pool.imap(_work, [(block, folder) for block in todo]), strict=True):
            done += block.stop - block.start
            yield done
    join(folder, todo)


def main() -> None:
    """The command line."""
    import os
    from typing import Annotated

    import typer

    def command(
        count: Annotated[int, typer.Option(min=1, help="number of scenes, each with five captions")],
        output: Annotated[str, typer.Option(help="folder to write to")],
        domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
        split: Annotated[str, typer.Option(help="train: classes and colours are correlated; test: independent")] = "train",
        seed: Annotated[int, typer.Option(min=0, help="seed of the scenes; another seed gives other scenes")] = 0,
        size: Annotated[int, typer.Option(min=64, max=256, help="side of the images in pixels")] = 96,
        processes: Annotated[int, typer.Option(help="number of processes; 0: one a core")] = 0,
    ) -> None:
        """Write scenes as images with captions.json, instances.json (COCO) and truth.jsonl."""
        if split not in ("train", "test"):
            raise typer.BadParameter(f"split must be train or test, not {split!r}")
        try:
            domains.load(domain)
        except domains.DomainError as problem:
            raise typer.BadParameter(str(problem)) from None
        series = Series(domain, cast(Split, split), seed, size)
        try:
            for done in write(series, count, output, processes or os.cpu_count() or 1):
                if done % (10 * BLOCK) == 0 or done == count:
                    typer.echo(f"{done} scenes")
        except SeriesError as problem:
            raise typer.BadParameter(str(problem)) from None
        typer.echo(f"wrote images, captions.json, instances.json and truth.jsonl to {output}")

    typer.run(command)


if __name__ == "__main__":
    main()
