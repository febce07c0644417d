"""A contact sheet of scenes, to look at them.

python -m jobs.scenes.sheet --domain objects --split train --count 48 --output sheet.png
python -m jobs.scenes.sheet --domain objects --count 8 --removals --output removals.png     each scene, then without each label
python -m jobs.scenes.sheet --domain objects --classes --output classes.png                 each class in its typical colour
"""

from argparse import ArgumentParser
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from jobs.scenes.domain import load
from jobs.scenes.layout import sample
from jobs.scenes.render import render
from jobs.scenes.scene import Scene, Split, Thing

Picture = npt.NDArray[np.uint8]


def scenes_sheet(scenes: list[Scene], columns: int) -> Picture:
    """The scenes in rows, uint8 [h, w, 3] RGB."""
    return grid([render(scene) for scene in scenes], columns)


def removals_sheet(scenes: list[Scene]) -> Picture:
    """A row for each scene: complete, without each of its labels, and without all of them; at most six pictures."""
    rows = []
    for scene in scenes:
        subsets = [frozenset[str](), *(frozenset({label}) for label in scene.labels), frozenset(scene.labels)]
        row = [render(scene, removed) for removed in subsets]
        rows += row[:6] + [np.full_like(row[0], 255)] * (6 - len(row))
    return grid(rows, 6)


def classes_sheet(domain: str, size: int) -> Picture:
    """A scene for each class, with one thing of it in its typical colour."""
    world = load(domain)
    return grid([render(_scene_of_one(domain, label, size)) for label in world.kinds], 8)


def _scene_of_one(domain: str, label: str, size: int) -> Scene:
    world = load(domain)
    kind = world.kinds[label]
    ground = next(name for name, g in world.grounds.items() if g.walls or kind.place != "wall")
    height = 0.55 * kind.scale / kind.aspect**0.5
    thing = Thing(
        label, kind.typical, world.materials_of(label)[0], kind.sizes[-1], 0.5, 0.9, min(height, 0.88, 0.95 / kind.aspect), False
    )
    return Scene(domain, "train", 0, 0, size, ground, (0.5, -0.3), 1.0, (thing,), ())


def grid(pictures: list[Picture], columns: int, gap: int = 4) -> Picture:
    """Square pictures of equal size, in rows on white with ``gap`` pixels between."""
    side = len(pictures[0]) + gap
    sheet = np.full((-(-len(pictures) // columns) * side + gap, columns * side + gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // columns * side + gap, i % columns * side + gap
        sheet[top : top + len(picture), left : left + len(picture)] = picture
    return sheet


def main() -> None:
    """The command line."""
    parser = ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--domain", default="objects", help="built-in name or YAML file")
    parser.add_argument(
        "--split", choices=("train", "test"), default="train", help="train: correlated classes and colours; test: independent"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the data set")
    parser.add_argument("--start", type=int, default=0, help="index of the first scene")
    parser.add_argument("--count", type=int, default=48, help="number of scenes")
    parser.add_argument("--size", type=int, default=96, help="side of a picture in pixels")
    parser.add_argument("--columns", type=int, default=8, help="pictures in a row")
    parser.add_argument("--zoom", type=int, default=1, help="factor by which pictures are enlarged")
    parser.add_argument("--removals", action="store_true", help="show each scene also without each of its labels")
    parser.add_argument("--classes", action="store_true", help="show one thing of each class instead")
    parser.add_argument("--output", type=Path, required=True, help="PNG file to write")
    options = parser.parse_args()
    split: Split = options.split
    indices = range(options.start, options.start + options.count)
    if options.classes:
        sheet = classes_sheet(options.domain, options.size)
    else:
        scenes = [sample(options.domain, split, options.seed, index, options.size) for index in indices]
        sheet = removals_sheet(scenes) if options.removals else scenes_sheet(scenes, options.columns)
    large = cv2.resize(sheet, None, fx=options.zoom, fy=options.zoom, interpolation=cv2.INTER_NEAREST)
    if not cv2.imwrite(str(options.output), large[..., ::-1]):
        raise SystemExit(f"cannot write {options.output}: check the folder and the file extension")
    print(options.output)


if __name__ == "__main__":
    main()
