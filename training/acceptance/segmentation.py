"""How well a segmenter finds and outlines the things in unseen scenes, run by the engine's own role.

    python -m training.acceptance segmentation --weights udfs/embedded/segmenter_objects.pt --count 500 --seed 900 --size 128

A detection is right if its mask has an IoU of 0.5 or more with a thing of its label that no better detection has taken;
detections are matched in order of their scores. Things are grouped by what makes them hard. A thing's
size is the mean side sqrt(w h) of the box of its visible part. Intervals are 95%, by bootstrap over scenes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
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
from jobs.settings import validate_settings
from training.statistics import interval
from udfs import images
from udfs.codec import CodecSettings
from udfs.errors import DualsetError
from udfs.masks import from_rle
from udfs.role import Failure, Role, Row

RIGHT = 0.5  # IoU
SCORES = (0.5, 0.15)  # least score for a label to enter a family; least score of its removed instances
SMALL, HIDDEN = 24.0, 0.2  # pixels; share of a thing's pixels


class SegmenterFailed(DualsetError):
    """The segmenter failed on a scene."""


@dataclass(frozen=True)
class Target:
    """A thing in a scene, and how it was found: ``score`` and ``iou`` are 0 if it was not."""

    scene: int
    label: str
    side: float  # pixels
    hidden: float  # share of its pixels covered by other things
    touching: bool  # another thing is visible right next to it
    score: float = 0.0
    iou: float = 0.0


@dataclass(frozen=True)
class Claim:
    """A detection."""

    scene: int
    label: str
    score: float
    right: bool
    of_unknown: bool  # it lies on a thing that detectors are not taught


# Each thing is in "all"; things of SMALL pixels or more are in "clear" or in "touching", "hidden" or both.
GROUPS: dict[str, Callable[[Target], bool]] = {
    "all": lambda t: True,
    f"{SMALL:.0f} px or more": lambda t: t.side >= SMALL,
    "  clear": lambda t: t.side >= SMALL and t.hidden <= HIDDEN and not t.touching,
    "  touching": lambda t: t.side >= SMALL and t.touching,
    f"  over {HIDDEN:.0%} hidden": lambda t: t.side >= SMALL and t.hidden > HIDDEN,
    f"under {SMALL:.0f} px": lambda t: t.side < SMALL,
}


def look(role: Role[Any, Any], scenes: Iterable[Scene], batch: int = 8) -> tuple[list[Target], list[Claim]]:
    """Run a segmenter on scenes and match its detections.

    Raises:
        SegmenterFailed: the role failed on one of them.
    """
    things: list[Target] = []
    claims: list[Claim] = []
    queue = list(enumerate(scenes))
    for start in range(0, len(queue), batch):
        group = queue[start : start + batch]
        rows = [{"image": images.encode(render(scene), CodecSettings(format="png")), "annotations": None} for _, scene in group]
        for (number, scene), answer in zip(group, role(rows), strict=True):
            if isinstance(answer, Failure):
                raise SegmenterFailed(f"scene {scene.key}: {answer.status}: {answer.error}")
            targets, claimed = compare(number, scene, answer["instances"])
            things += targets
            claims += claimed
    return things, claims


def compare(number: int, scene: Scene, instances: Sequence[Row]) -> tuple[list[Target], list[Claim]]:
    """Match the role's instances with the things that a detector is taught."""
    known = domains.load(scene.domain).known
    drawn = masks(scene)
    things, visible, unknown = [], [], np.zeros((scene.size, scene.size), bool)
    for i, thing in enumerate(scene.things):
        if thing.label not in known:
            unknown |= drawn.visible[i]
        elif drawn.visible[i].any():
            things.append(_target(number, thing.label, drawn.visible, drawn.whole[i], i))
            visible.append(drawn.visible[i])
    claims = []
    for claim in sorted(instances, key=lambda instance: -instance["score"]):
        mask = from_rle(claim["mask"])
        free = [i for i, thing in enumerate(things) if thing.label == claim["label"] and not thing.score]
        ious = {i: _iou(mask, visible[i]) for i in free}
        best = max(ious, key=lambda i: ious[i], default=-1)
        right = best >= 0 and ious[best] >= RIGHT
        if right:
            things[best] = replace(things[best], score=claim["score"], iou=ious[best])
        claims.append(Claim(number, claim["label"], claim["score"], right, _iou(mask, unknown) >= RIGHT))
    return things, claims


def _target(number: int, label: str, visible: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_], i: int) -> Target:
    rows, columns = np.nonzero(visible[i].any(1))[0], np.nonzero(visible[i].any(0))[0]
    side = float(np.sqrt((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)))
    others = np.delete(visible, i, axis=0).any(axis=0)
    near = cv2.dilate(visible[i].astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return Target(number, label, side, 1 - float(visible[i].sum() / whole.sum()), bool((near & others).any()))


def _iou(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))


def report(things: Sequence[Target], claims: Sequence[Claim]) -> Iterator[str]:
    """The lines of the report on one split."""
    for least in SCORES:
        sure = [claim for claim in claims if claim.score >= least]
        unknown = sum(claim.of_unknown and not claim.right for claim in sure)
        precise = _percent(interval([claim.right for claim in sure], [claim.scene for claim in sure]))
        yield f"precision at score {least}: {precise} of {len(sure)} detections; {unknown} of the wrong ones on unknown things"
    yield f"{'':<18} {'things':>6}  " + "  ".join(
        [*(f"{f'recall at {s}':<20}" for s in SCORES), f"{'IoU of found, mean':<20}  {'median':<20}  missed as 0"]
    )
    for name, belongs in GROUPS.items():
        group = [thing for thing in things if belongs(thing)]
        found_things = [thing for thing in group if thing.score >= SCORES[-1]]
        recalls = [interval([t.score >= least for t in group], [t.scene for t in group]) for least in SCORES]
        ious, scenes = [t.iou for t in found_things], [t.scene for t in found_things]
        shown = [*map(_percent, recalls), _number(interval(ious, scenes)), _number(interval(ious, scenes, np.median))]
        zero = interval([t.iou for t in group], [t.scene for t in group])[0]
        yield f"{name:<18} {len(group):>6}  " + "  ".join(f"{text:<20}" for text in shown) + f"  {zero:.3f}"


def by_class(labels: Sequence[str], things: Sequence[Target], claims: Sequence[Claim]) -> Iterator[str]:
    """The lines of a table of classes."""
    heads = (*(f"recall at {s}" for s in SCORES), f"precision at {SCORES[0]}", "IoU of found")
    yield f"{'':<18} {'things':>6}  " + "  ".join(f"{head:>16}" for head in heads)
    for label in labels:
        group = [thing for thing in things if thing.label == label]
        sure = [claim.right for claim in claims if claim.label == label and claim.score >= SCORES[0]]
        ious = [thing.iou for thing in group if thing.score >= SCORES[-1]]
        shares = [[thing.score >= least for thing in group] for least in SCORES]
        numbers = [
            *(f"{100 * np.mean(s):.1f}%" if s else "-" for s in (*shares, sure)),
            f"{np.mean(ious):.3f}" if ious else "-",
        ]
        yield f"{label:<18} {len(group):>6}  " + "  ".join(f"{number:>16}" for number in numbers)


def _percent(three: tuple[float, float, float]) -> str:
    return "{:.1f}% [{:.1f}, {:.1f}]".format(*(100 * number for number in three))


def _number(three: tuple[float, float, float]) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(*three)


def main(
    weights: Annotated[Path, typer.Option(help="YOLO-seg weights, in any format that the engine loads")],
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    count: Annotated[int, typer.Option(min=1, help="scenes of each split")] = 500,
    seed: Annotated[int, typer.Option(help="of the scenes: 900 to 999; 100 to 199 while something is still being chosen")] = 900,
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the pictures in pixels")] = 128,
    image_size: Annotated[int, typer.Option(min=32, help="segmenter.image_size, what the model is given")] = 128,
) -> None:
    """Score a segmenter on scenes of both splits."""
    from udfs.segment.segmenter import Segmenter

    if not weights.exists():
        raise typer.BadParameter(f"no weights at {weights}")
    check(seed, "choosing" if seed < 900 else "evaluation")
    labels = domains.load(domain).known
    options = {"weights": str(weights), "image_size": image_size, "confidence": SCORES[-1]}
    role = Segmenter(validate_settings({"segmenter": options}), "cpu")
    typer.echo(f"{role.name} {role.version}: {domain}, seed {seed}, {size} px scenes at {image_size} px")
    totals: tuple[list[Target], list[Claim]] = ([], [])
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        things, claims = look(role, (layout.sample(domain, split, seed, index, size) for index in range(count)))
        typer.echo(f"\n{split} split, {count} scenes:")
        for line in report(things, claims):
            typer.echo(line)
        totals[0].extend(things)
        totals[1].extend(claims)
    typer.echo("\nclasses, both splits:")
    for line in by_class(labels, *totals):
        typer.echo(line)
