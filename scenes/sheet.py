"""A contact sheet of scenes, for the eye.

python -m scenes.sheet --domain objects --split train --count 48 --output sheet.png
python -m scenes.sheet --domain objects --count 8 --removals --output removals.png     each scene, then without each label
python -m scenes.sheet --domain objects --classes --output classes.png                 each class in its typical colour
"""

from argparse import ArgumentParser
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from scenes.domain import load
from scenes.layout import sample
from scenes.render import render
from scenes.scene import Scene, Split, Thing

Picture = npt.NDArray[np.uint8]


def scenes_sheet(scenes: list[Scene], columns: int) -> Picture:
    """The pictures in rows, uint8 [h, w, 3] RGB."""
    return grid([render(scene) for scene in scenes], columns)


def removals_sheet(scenes: list[Scene]) -> Picture:
    """A row for each scene: as it is, without each of its labels, and without all of them."""
    rows = []
    for scene in scenes:
        subsets = [frozenset[str](), *(frozenset({label}) for label in scene.labels), frozenset(scene.labels)]
        row = [render(scene, removed) for removed in subsets]
        rows += row[:6] + [np.full_like(row[0], 255)] * (6 - len(row))
    return grid(rows, 6)


def classes_sheet(domain: str, size: int) -> Picture:
    """One scene for each class, alone in its typical colour."""
    world = load(domain)
    return grid([render(_alone(domain, label, size)) for label in world.kinds], 8)


def _alone(domain: str, label: str, size: int) -> Scene:
    world = load(domain)
    kind = world.kinds[label]
    ground = next(name for name, g in world.grounds.items() if g.walls or kind.place != "wall")
    height = 0.55 * kind.scale / kind.aspect**0.5
    thing = Thing(
        label, kind.typical, world.materials_of(label)[0], kind.sizes[-1], 0.5, 0.9, min(height, 0.88, 0.95 / kind.aspect), False
    )
    return Scene(domain, "train", 0, 0, size, ground, (0.5, -0.3), 1.0, (thing,), ())


def grid(pictures: list[Picture], columns: int, gap: int = 4) -> Picture:
    """Pictures of one size in rows on white."""
    side = len(pictures[0]) + gap
    sheet = np.full((-(-len(pictures) // columns) * side + gap, columns * side + gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // columns * side + gap, i % columns * side + gap
        sheet[top : top + len(picture), left : left + len(picture)] = picture
    return sheet


def main() -> None:
    """The command."""
    parser = ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--domain", default="objects", help="built-in name or YAML file")
    parser.add_argument("--split", choices=("train", "test"), default="train", help="which statistics")
    parser.add_argument("--seed", type=int, default=0, help="of the data set")
    parser.add_argument("--start", type=int, default=0, help="first scene")
    parser.add_argument("--count", type=int, default=48, help="scenes")
    parser.add_argument("--size", type=int, default=96, help="side in pixels")
    parser.add_argument("--columns", type=int, default=8, help="pictures in a row")
    parser.add_argument("--zoom", type=int, default=1, help="times larger on the sheet")
    parser.add_argument("--removals", action="store_true", help="each scene also without each of its labels")
    parser.add_argument("--classes", action="store_true", help="each class alone instead")
    parser.add_argument("--output", type=Path, required=True, help="PNG file")
    options = parser.parse_args()
    split: Split = options.split
    numbers = range(options.start, options.start + options.count)
    if options.classes:
        sheet = classes_sheet(options.domain, options.size)
    else:
        scenes = [sample(options.domain, split, options.seed, index, options.size) for index in numbers]
        sheet = removals_sheet(scenes) if options.removals else scenes_sheet(scenes, options.columns)
    large = cv2.resize(sheet, None, fx=options.zoom, fy=options.zoom, interpolation=cv2.INTER_NEAREST)
    if not cv2.imwrite(str(options.output), large[..., ::-1]):
        raise SystemExit(f"cannot write {options.output}")
    print(options.output)


if __name__ == "__main__":
    main()
