"""The picture in the README: one drawn scene, its outlines, all its dual images and a dual text under each.

    python -m jobs.look.lattice_picture --output jobs/look/lattice.png

The scene goes through the roles of the stages, with the models of the profile ``embedded``: no Spark, no download, seconds.
``--index`` takes another scene. The default was picked by eye, so it shows a good family, not a typical one.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udfs.errors import DualsetError
from udfs.masks import Rle

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

    from jobs.settings import Settings

PROFILE = "embedded"
SEED, INDEX = 990, 298  # the demo's seed: no model of the project learned from these scenes or was chosen on them
PIXELS = 128  # a scene's side; the size that the embedded segmenter was trained at
ACROSS = 4  # pictures in a line
SIDE, GAP, HEAD, MARGIN = 190, 14, 26, 14  # pixels
TITLE, BODY, LEADING = 16, 15, 19  # sizes of type and distance of lines, in pixels
PAPER, INK, GREY = (255, 255, 255), (31, 35, 40), (101, 109, 118)
# The outlines' colours, darkened to be read as type on white.
TYPE = ((200, 40, 40), (30, 140, 40), (50, 85, 220))


class NoFamily(DualsetError, ValueError):
    """The scene gives no family of three components with a text for each subset."""


@dataclass(frozen=True)
class Cell:
    """One image of the lattice: ``subset`` is the bit mask of what was removed, ``image`` its encoded bytes."""

    subset: int
    image: bytes
    text: str


@dataclass(frozen=True)
class Family:
    """``labels`` in bit order, for each label its masks (COCO RLE at the image's size), and 2^n cells by subset."""

    labels: list[str]
    masks: list[list[Rle]]
    cells: list[Cell]


def make_family(settings: "Settings", domain: str, seed: int, index: int, size: int) -> Family:
    """Draw a scene and run the roles of extract, segment, plan, rewrite and inpaint on it.

    Args:
        settings: as loaded from a profile.
        domain: of the scene, a built-in name or a YAML file.
        seed: of the series of scenes.
        index: of the scene in it.
        size: side of the scene in pixels, 64 to 256.

    Raises:
        NoFamily: there are not three components, or no caption has a text for every subset of them.
    """
    from jobs.scenes.write import Series, make
    from udfs.plan.planner import to_rewrite
    from udfs.worker import Worker

    tree = settings.model_dump_json()

    def run(role: str, row: dict[str, Any]) -> Any:
        return Worker(role, tree)([row])[0]

    image, rows = make(Series(domain=domain, seed=seed, size=size), index)
    captions: Any = [{"caption_id": str(row["id"]), "caption": row["caption"], "status": "ok"} for row in rows["captions"]]
    parsed = run("udfs.extract.rules:RulesExtractor", {"captions": captions})["captions"]
    instances = run("udfs.segment.segmenter:Segmenter", {"image": image, "annotations": None})["instances"]
    plan = run("udfs.plan.planner:Planner", {"captions": parsed, "texts": captions, "instances": instances})
    labels = [component["name"] for component in plan["components"]]
    if len(labels) != 3:
        raise NoFamily(f"scene {index} has {len(labels)} components ({', '.join(labels) or plan['reason']}); try another --index")
    texts = run("udfs.rewrite.rewriter:Rewriter", to_rewrite(plan, parsed, captions))["texts"]
    by_subset = _complete(captions, texts, 2 ** len(labels), index)
    masks = [[instances[i]["mask"] for i in (*part["instances"], *part["attached"])] for part in plan["components"]]
    components = [{"label": label, "masks": rles} for label, rles in zip(labels, masks, strict=True)]
    images = run("udfs.inpaint.inpainter:Inpainter", {"record_id": f"{seed}:{index}", "image": image, "components": components})
    return Family(labels, masks, [Cell(dual["subset"], dual["image"], by_subset[dual["subset"]]) for dual in images["duals"]])


def draw(family: Family) -> "Image.Image":
    """The lattice as one picture: the original and the subsets of one component, then those of two and of all three."""
    from PIL import Image, ImageDraw, ImageFont

    title, body = ImageFont.load_default(size=TITLE), ImageFont.load_default(size=BODY)
    order = sorted(family.cells, key=lambda cell: (cell.subset.bit_count(), cell.subset))
    rows = [[(cell, _fit(body, cell.text)) for cell in order[start : start + ACROSS]] for start in range(0, len(order), ACROSS)]
    heights = [HEAD + SIDE + GAP + LEADING * max(len(lines) for _, lines in row) for row in rows]
    sheet = Image.new("RGB", (2 * MARGIN + ACROSS * SIDE + (ACROSS - 1) * GAP, MARGIN + sum(heights) + GAP), PAPER)
    pen, top = ImageDraw.Draw(sheet), MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, (cell, lines) in enumerate(row):
            left = MARGIN + column * (SIDE + GAP)
            _write_title(pen, title, (left, top), family.labels, cell.subset)
            sheet.paste(_tile(family, cell), (left, top + HEAD))
            for number, line in enumerate(lines):
                pen.text((left, top + HEAD + SIDE + 5 + LEADING * number), line, fill=INK, font=body)
        top += height
    return sheet


def _complete(captions: list[dict[str, Any]], texts: list[dict[str, Any]], subsets: int, index: int) -> dict[int, str]:
    """By subset, the first caption that has a text for each of them, and those texts; the caption itself is subset 0's."""
    for caption in captions:
        duals = {
            text["subset"]: text["caption"]
            for text in texts
            if text["caption_id"] == caption["caption_id"] and text["status"] == "ok"
        }
        if len(duals) == subsets - 1:
            return {0: caption["caption"], **duals}
    raise NoFamily(f"scene {index} has no caption with a text for every subset; try another --index")


def _tile(family: Family, cell: Cell) -> "Image.Image":
    from PIL import Image

    from udfs.thumbnail import thumbnail

    # Enlarged first: outlines drawn on the large picture are sharp. The formats are named so that no other parser is tried.
    large = Image.open(io.BytesIO(cell.image), formats=["PNG"]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    large.save(buffer, format="PNG")
    outlined = family.masks if cell.subset == 0 else []
    return Image.open(io.BytesIO(thumbnail(buffer.getvalue(), SIDE, outlined)), formats=["JPEG"])


def _write_title(pen: "ImageDraw.ImageDraw", font: Any, place: tuple[int, int], labels: list[str], subset: int) -> None:
    """``original``, or ``without`` what was removed, each label in the colour of its outline."""
    left, top = place
    removed = [(label, TYPE[bit]) for bit, label in enumerate(labels) if subset >> bit & 1]
    if len(removed) == len(labels):
        removed = [("all three", INK)]
    for word, colour in [("without " if removed else "original", GREY), *removed]:
        if colour != GREY and (word, colour) != removed[0]:
            pen.text((left, top), ", ", fill=GREY, font=font)
            left += int(pen.textlength(", ", font=font))
        pen.text((left, top), word, fill=colour, font=font)
        left += int(pen.textlength(word, font=font))


def _fit(font: Any, text: str) -> list[str]:
    """Break a text into lines as wide as a picture."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= SIDE or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def main(
    output: Annotated[Path, typer.Option(help="PNG file to write")],
    domain: Annotated[
        str, typer.Option(help="a built-in domain or a definition file, in the lexicon of the profile")
    ] = "objects",
    seed: Annotated[int, typer.Option(min=0, help="of the scenes")] = SEED,
    index: Annotated[int, typer.Option(min=0, help="which scene; it must have three components")] = INDEX,
) -> None:
    """Draw the lattice of one scene: the original with its outlines, all seven dual images, a text under each."""
    from jobs.settings import load_settings

    try:
        family = make_family(load_settings(PROFILE), domain, seed, index, PIXELS)
    except NoFamily as problem:
        raise typer.BadParameter(str(problem)) from None
    draw(family).save(output, optimize=True)
    typer.echo(f"{output}: {', '.join(family.labels)}")


if __name__ == "__main__":
    typer.run(main)
