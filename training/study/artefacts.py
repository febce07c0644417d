"""Does a model see that something was inpainted? Edited scenes beside untouched ones of the same content.

    python -m training.study.artefacts --weights runs/study/NAME/runs/weights --output study/artefacts.json

Two kinds of pairs, on uniform scenes of their own: *placebo*, a scene, and the same with an empty place inpainted; *removal*, one
label's hole filled with what is really behind it, and the same hole inpainted: the thing's shadow outside the hole stays in both.
Filled by the inpainter that the study's data were made with, and by two that no method has seen. Masks are those of a perfect
segmenter. What is measured of a model, with captions that name the label:

- kept: the share of placebo pairs in which they fit the untouched scene better than the edited one, by mean cosine; ties count as
  half. At 50% the edit moves it to neither side, which is not to say that it is not seen; below, the edited scene fits better.
- moved: how much a placebo changes these cosines, as a share of how much really removing the label does (shadow and all).
- probe: the share of pairs in which a linear model of the image features tells the edited one, fitted on other scenes' pairs of
  the first inpainter alone: what it knows of the others it knows from that one.

Intervals are over scenes, the probe being fixed; a model's seeds are averaged first.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from scenes import domain as domains
from scenes import layout
from scenes.captions import tell
from scenes.inpainting_data import components
from scenes.render import masks, render
from scenes.scene import Scene
from training.benchmarks.encode import OpenClip, embed_texts
from training.study.arms import START
from training.study.data import SIZE, Made, Size
from training.study.values import RUNS, WEIGHTS, Embed, Points, Value, load, mean, ratio, weights_of
from training.study.world import OBJECTS
from udfs.role import Failure, Row

SEED = 961  # of uniform scenes, asked about by no question
FOLDS = 5
KNOWN = "diffusion"  # what the study's removals were painted by
GAN = {"kind": "torchscript", "weights": "embedded:gan_inpainter_objects.pt", "size": 64}
OTHERS: dict[str, dict[str, Any]] = {"gan": GAN, "opencv": {"kind": "opencv", "method": "ns"}}
INPAINTERS = (KNOWN, *OTHERS)
KINDS = ("placebo", "removal")


class Seen(BaseModel):
    """What one arm's models see, by inpainter; ``probe`` by kind of pair and inpainter. ``by_removal`` is how much a real removal
    changes the cosine, what ``moved`` is a share of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seeds: list[int]
    kept: dict[str, Value]
    moved: dict[str, Value]
    by_removal: Value
    probe: dict[str, dict[str, Value]]


class Artefacts(BaseModel):
    """The file that the report reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenes: int
    arms: dict[str, Seen]


@dataclass(frozen=True)
class Edited:
    """A scene with both kinds of edits, as encoded images; the edits by inpainter.

    ``removed`` is the scene really rendered without a label, ``behind`` the untouched one with that in the hole alone;
    ``captions`` name the label.
    """

    untouched: bytes
    removed: bytes
    behind: bytes
    placebo: dict[str, bytes]
    removal: dict[str, bytes]
    captions: tuple[str, ...]


def edited(count: int, say: Callable[[str], None]) -> list[Edited]:
    """The first ``count`` scenes in which a named label can be removed and an empty place is found for its shape."""
    from jobs.settings import load_settings
    from udfs.inpaint import Inpainter
    from udfs.weights import located

    changes = {KNOWN: ()} | {name: [f"inpainter.{key}={value}" for key, value in one.items()] for name, one in OTHERS.items()}
    every = {name: located(load_settings(OBJECTS.profile, change)) for name, change in changes.items()}
    painters = {name: (settings, Inpainter(settings, "cpu")) for name, settings in every.items()}
    found: list[Edited] = []
    looked = 0
    for looked in range(20 * count):
        one = _edited(layout.sample(OBJECTS.domain, "test", SEED, looked, SIZE), painters)
        found += [one] if one is not None else []
        if len(found) == count:
            break
    say(f"{len(found)} of {looked + 1} scenes have a thing to remove that a caption names, and an empty place of its shape")
    return found


def _edited(scene: Scene, painters: dict[str, tuple[Any, Any]]) -> Edited | None:
    from udfs import images
    from udfs.masks import dilate, to_rle
    from udfs.placebo import Placebos

    told = [one for one in tell(domains.load(scene.domain), scene) if one.monotone]
    seen = components(scene)
    label = next((name for name in seen if any(name in one.labels for one in told)), None)
    if label is None:
        return None
    picture = render(scene)
    # Shadows and reflections are no empty place either.
    bare = render(scene, frozenset(scene.labels))
    taken = (picture != bare).any(axis=2) | masks(scene).whole.any(axis=0)
    codec = painters[KNOWN][0].codec
    original = images.encode(picture, codec)
    row: Row = {
        "record_id": scene.key,
        "image": original,
        "components": [{"label": label, "masks": [to_rle(seen[label])], "boxes": []}],
        "taken": [to_rle(taken)],
    }
    placebo: dict[str, bytes] = {}
    removal: dict[str, bytes] = {}
    for name, (settings, painter) in painters.items():
        moved, gone = _done(Placebos(settings, "cpu", painter)([row])[0]), _done(painter([row])[0])
        dual = _done(gone["duals"][1]) if gone else None
        if moved is None or dual is None:
            return None
        placebo[name], removal[name] = moved["image"], dual["image"]
    removed = render(scene, frozenset({label}))
    hole = dilate(seen[label], painters[KNOWN][0].inpainter.dilate * scene.size)
    behind = np.where(hole[..., None], removed, picture)
    whole, part = (images.encode(one, codec) for one in (removed, behind))
    return Edited(original, whole, part, placebo, removal, tuple(one.text for one in told if label in one.labels))


def _done(result: Row | Failure) -> Row | None:
    """A result, or none where the scene has no place for it; any other failure is a mistake."""
    failed = result.status if isinstance(result, Failure) else result.get("status", "ok")
    if failed not in ("ok", "no_free_place", "mask_covers_image"):
        raise RuntimeError(str(result))
    return result if isinstance(result, dict) and failed == "ok" else None


@dataclass(frozen=True)
class Looked:
    """What one model sees in each of N scenes, float64: of placebos [inpainters, N], of real removals [N], and the probe's
    answers [kinds, inpainters, N]; inpainters and kinds in their order.
    """

    kept: NDArray[np.float64]
    placebo_moves: NDArray[np.float64]
    removal_moves: NDArray[np.float64]
    probe: NDArray[np.float64]


def look(some: Sequence[Edited], clip: OpenClip, embed: Embed) -> Looked:
    """Embed all, and compare."""
    vectors = embed_texts(clip, [text for one in some for text in one.captions])
    captions = np.stack([np.mean([vectors[text] for text in one.captions], axis=0) for one in some])
    untouched, removed, behind = (embed([getattr(one, which) for one in some]) for which in ("untouched", "removed", "behind"))
    placebo = {name: embed([one.placebo[name] for one in some]) - untouched for name in INPAINTERS}
    removal = {name: embed([one.removal[name] for one in some]) - behind for name in INPAINTERS}
    changes = np.stack([(placebo[name] * captions).sum(axis=1, dtype=np.float64) for name in INPAINTERS])
    return Looked(
        (changes < 0) + 0.5 * (changes == 0),
        np.abs(changes),
        np.abs(((removed - untouched) * captions).sum(axis=1, dtype=np.float64)),
        np.stack([list(probed(pairs).values()) for pairs in (placebo, removal)]),
    )


def probed(pairs: dict[str, Points]) -> dict[str, NDArray[np.float64]]:
    """Whether a linear model tells the edited one of each pair, 0, 0.5 or 1 [N], by inpainter.

    Args:
        pairs: the edited scene's features less the untouched one's [N, D], of the same N scenes for every inpainter. The model is
            fitted on the first inpainter's, in ``FOLDS`` parts, and asked about the scenes that it was not fitted on.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold

    known = next(iter(pairs.values()))
    told = {name: np.empty(len(known)) for name in pairs}
    for train, held in KFold(FOLDS, shuffle=True, random_state=0).split(known):
        scale = np.sqrt((known[train].astype(np.float64) ** 2).mean(axis=0)) + 1e-12
        # A difference and its reverse say the same to a model without an intercept; the fit wants both labels.
        rows = np.concatenate([known[train], -known[train]]) / scale
        labels = np.repeat([1, 0], len(train))
        weights = LogisticRegression(C=0.1, fit_intercept=False, solver="liblinear").fit(rows, labels).coef_[0]
        for name, differences in pairs.items():
            scores = differences[held] / scale @ weights
            told[name][held] = (scores > 0) + 0.5 * (scores == 0)
    return told


def together(models: dict[int, Looked]) -> Seen:
    """What an arm's models see, by seed; a scene's values are averaged over them."""

    kept, moves, below, probe = (np.mean([getattr(one, part.name) for one in models.values()], axis=0) for part in fields(Looked))

    def named(values: Iterable[NDArray[np.float64]]) -> dict[str, Value]:
        return {name: mean(one) for name, one in zip(INPAINTERS, values, strict=True)}

    return Seen(
        seeds=list(models),
        kept=named(kept),
        moved={name: ratio(one, below) for name, one in zip(INPAINTERS, moves, strict=True)},
        by_removal=mean(below),
        probe={kind: named(values) for kind, values in zip(KINDS, probe, strict=True)},
    )


def section(file: Path) -> list[tuple[str, list[Any]]]:
    """What the report shows of a file, if it is there."""
    if not file.is_file():
        return []
    made = Artefacts.model_validate_json(file.read_text(encoding="utf-8"))
    head = (
        *("arm", "seeds"),
        *(f"kept, {name}" for name in INPAINTERS),
        "a real removal",
        *(f"moved, {name}" for name in INPAINTERS),
        *(f"probe, {kind}, {name}" for kind in KINDS for name in INPAINTERS),
    )
    rows = []
    for arm, one in made.arms.items():
        kept, moved, *probe = (
            [values[name].cell() for name in INPAINTERS] for values in (one.kept, one.moved, *(one.probe[kind] for kind in KINDS))
        )
        seeds = ", ".join(map(str, one.seeds))
        rows.append((arm, seeds, *kept, one.by_removal.cell(), *moved, *(cell for cells in probe for cell in cells)))
    said = (
        f"Percent, over {made.scenes} uniform scenes; intervals over scenes, the probe being fixed. *Kept*: how often captions"
        " fit the untouched scene better than the same with an empty place inpainted; at 50 that moves the model to neither side,"
        " below 50 it likes the edited one better. *A real removal*: how much it changes the cosine with captions that name what"
        " goes, times 100; *moved*: how much inpainting an empty place does, as a share of that. *Probe*: how often a linear"
        " model of the image features tells the inpainted one of two with the same content; it was fitted on other scenes' fills"
        f" of {KNOWN}, which the study's removals were painted by, and knows {' and '.join(OTHERS)} from those alone. *Placebo*:"
        " an empty place was inpainted; *removal*: a thing's hole, beside the same hole with what is really behind it."
    )
    return [("Do the models see that something was inpainted?", [said, (head, rows)])]


def main(
    data: Annotated[Path, typer.Option(help="the study's data: the folder of a regime under dualset study's --work")],
    arms: Annotated[str, typer.Option(help="which arms, divided by commas, beside the start")] = "clip,powerset",
    scenes: Annotated[int, typer.Option(min=FOLDS * 4)] = 1000,
    output: Annotated[Path, typer.Option(help="the file that the report reads")] = Path("study/artefacts.json"),
) -> None:
    """Measure, and write what the report shows."""
    Made(data, Size(), typer.echo).check()
    folders = {arm: weights_of(data / RUNS / WEIGHTS, arm) for arm in arms.split(",")}
    some = edited(scenes, typer.echo)
    seen = {START.name: together({0: look(some, *load(**OBJECTS.start))})}
    for arm, found in folders.items():
        seen[arm] = together({seed: look(some, *load(str(one), "")) for seed, one in found.items()})
        typer.echo(f"{arm}: {seen[arm].model_dump()}")
    made = Artefacts(scenes=len(some), arms=seen)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(made.model_dump(), indent=1) + "\n", encoding="utf-8")
    typer.echo(f"written: {output}")


if __name__ == "__main__":
    typer.run(main)
