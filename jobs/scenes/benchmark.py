"""Benchmarks of composition on scenes that no model was trained on, with classes and colours drawn independently.

    python -m jobs.scenes.benchmark --count 2000 --seed 950 --size 64 --output DIR

Writes ``images/`` and ``items.json``, a list of {key, group, rule, images, texts}, which ``dualset evaluate --benchmark scenes``
reads. Rules: ``first``, only the first text is right; ``pairs``, image i belongs to text i (Winoground's form); ``order``, the
first text is true and says less, the second says more and is partly false. Every right text holds in its scene, and every wrong
one does not (``truth.holds`` checks). Groups:

    replace-*, swap-*       a caption against the same caption with one edit (``hard_negatives``)
    add-obj, add-att        a caption with one more class or colour that is in the scene, against one that is not
    count                   two things of a class called three, or three called two, equally often
    wino-colour, wino-place two scenes that differ in which thing has which colour, or stands where
    half-truth              part of a caption, against that part plus something that is not in the scene
    half-truth-even         two or three things, all in the scene, against three or two, one of which is not
    existence               a scene, and the same scene without one class: the caption and its dual text
    level, equal-area       the same scene without A and without B: edits of the same kind, or also of the same size
    single, single-colour   one thing on its own, against all classes, or all classes in all colours
    retrieval               a picture and a caption of it, for ranking over the group

Always preferring the shorter text, or the longer, is right for half of a group's items (``training.benchmarks.blind``). The one
exception is ``half-truth``, which is about length: the shorter text is right, so a model can score 100% by length alone.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer

from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.benchmark_items import (
    Item,
    Picture,
    Source,
    counted,
    edited,
    half_truth,
    half_truth_even,
    removed,
    retrieval,
    single,
    swapped_colours,
    swapped_places,
)  # fmt: skip
from jobs.scenes.captions import tell
from jobs.scenes.domain import DomainError
from jobs.scenes.hard_negatives import EDITS
from jobs.scenes.render import render
from jobs.scenes.seeds import check
from jobs.scenes.truth import holds

PATIENCE = 5000  # scenes after which a group without a single item is given up
Maker = Callable[[Source], Item | None]
MAKERS: dict[str, Maker] = {
    **dict.fromkeys(EDITS, edited), "count": counted,
    "wino-colour": swapped_colours, "wino-place": swapped_places,
    "half-truth": half_truth, "half-truth-even": half_truth_even,
    **dict.fromkeys(("existence", "level", "equal-area"), removed),
    **dict.fromkeys(("single", "single-colour"), single),
    "retrieval": retrieval,
}  # fmt: skip


def items(domain_name: str, seed: int, size: int, count: int, groups: list[str]) -> Iterator[tuple[str, Item]]:
    """Yield ``count`` items of each group with their keys; a scene gives at most one item to a group.

    Raises:
        DomainError: the first ``PATIENCE`` scenes of the domain gave no item at all for one of the groups.
    """
    domain = domains.load(domain_name)
    made: Counter[str] = Counter()  # items so far, by group
    for index in itertools.count():
        open_groups = [group for group in groups if made[group] < count]
        if not open_groups:
            return
        if index == PATIENCE and (empty := [group for group in open_groups if not made[group]]):
            raise DomainError(f"{domain_name}: no item of {', '.join(empty)} in {PATIENCE} scenes; leave them out with --groups")
        scene = layout.sample(domain_name, "test", seed, index, size)
        captions = [
            caption for caption in tell(domain, scene, "train") if caption.monotone and holds(caption.meaning, scene, domain)
        ]
        for group in open_groups if captions else ():
            source = Source(group, made[group], scene, domain, captions, Random(f"{group} {seed} {index}"))
            item = MAKERS[group](source)
            if item is not None and len(set(item.texts)) == len(item.texts) and all(item.texts):
                made[group] += 1
                yield f"{group}_{index:06d}", item


def write(domain: str, seed: int, size: int, count: int, groups: list[str], folder: Path) -> list[dict[str, Any]]:
    """Write the images and ``items.json``, and return its rows. A picture that several items use is written once."""
    from PIL import Image

    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows, names = [], dict[Picture, str]()
    for key, item in items(domain, seed, size, count, groups):
        for scene, gone in item.pictures:
            if (scene, gone) not in names:
                names[scene, gone] = f"{len(names):06d}.png"
                Image.fromarray(render(scene, gone)).save(folder / "images" / names[scene, gone])
        images = [names[picture] for picture in item.pictures]
        rows.append({"key": key, "group": item.group, "rule": item.rule, "images": images, "texts": item.texts})
    (folder / "items.json").write_text(json.dumps(rows), encoding="utf-8")
    return rows


def main(
    output: Annotated[Path, typer.Option(help="folder to write to")],
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    count: Annotated[int, typer.Option(min=1, help="items of each group")] = 2000,
    seed: Annotated[int, typer.Option(help="seed of the scenes: 900 to 999; 100 to 199 while you are still choosing")] = 950,
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the pictures in pixels")] = 64,
    groups: Annotated[str, typer.Option(help="groups to write, separated by commas; empty: all")] = "",
) -> None:
    """Write the scene benchmarks."""
    check(seed, "choosing" if seed < 900 else "evaluation")
    chosen = groups.split(",") if groups else list(MAKERS)
    if unknown := sorted(set(chosen) - set(MAKERS)):
        raise typer.BadParameter(f"unknown group {', '.join(unknown)}; choose from {', '.join(MAKERS)}")
    try:
        rows = write(domain, seed, size, count, chosen, output)
    except DomainError as problem:
        raise typer.BadParameter(str(problem)) from None
    pictures = len({image for row in rows for image in row["images"]})
    typer.echo(f"{output}: {len(rows)} items of {len(chosen)} groups over {pictures} pictures")


if __name__ == "__main__":
    typer.run(main)
