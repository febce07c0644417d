"""Does a model see that something was inpainted? Edited scenes compared with untouched ones of the same content.

    python -m training.study.artefacts --weights runs/study/NAME/runs/weights --output training/study/results/artefacts.json

There are two kinds of pairs, on uniform scenes used only here. *Placebo*: a scene, and the same scene with an empty place
inpainted. *Removal*: one label's hole filled with what is really behind it, and the same hole inpainted; the thing's shadow
outside the hole stays in both. Holes are filled by the inpainter that made the study's data, and by two that no method has seen.
Masks are those of a perfect segmenter. Three things are measured for a model, with captions that name the label:

- kept: the share of placebo pairs whose captions fit the untouched scene better than the edited one, by mean cosine; ties count
  half. At 50% the edit favours neither side, though the model may still see it; below 50% the edited scene fits better.
- moved: how much a placebo changes these cosines, as a share of the change by really removing the label, with its shadow.
- probe: the share of pairs in which a linear model on the image features recognises the edited scene. It is fitted on other
  scenes' pairs of the first inpainter only, so for the other inpainters it measures transfer.

Intervals are over scenes, with the probe fixed; values are averaged over a model's seeds first.
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

from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.captions import tell
from jobs.scenes.render import masks, render
from jobs.scenes.scene import Scene
from training.benchmarks.encode import OpenClip, embed_texts
from training.embedded.inpainting_data import components
from training.study.arms import START
from training.study.data import SIZE, Size, StudyData
from training.study.values import RUNS, WEIGHTS, Embed, Points, Value, load, mean, ratio, weights_of
from training.study.world import OBJECTS
from udfs.role import Failure, Row

SEED = 961  # of uniform scenes that no question uses
FOLDS = 5
KNOWN = "diffusion"  # the inpainter of the study's data
GAN = {"kind": "torchscript", "weights": "embedded:gan_inpainter_objects.pt", "size": 64}
OTHERS: dict[str, dict[str, Any]] = {"gan": GAN, "opencv": {"kind": "opencv", "method": "ns"}}
INPAINTERS = (KNOWN, *OTHERS)
KINDS = ("placebo", "removal")


class Seen(BaseModel):
    """What one arm's models see, by inpainter; ``probe`` is by kind of pair and inpainter. ``by_removal``: how much a real
    removal changes the cosine; ``moved`` is a share of it.
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
    """A scene with both kinds of edits, as encoded images; edits are by inpainter.

    ``removed``: the scene rendered without a label. ``behind``: the untouched scene, with ``removed`` inside the hole only.
    ``captions``: captions that name the label.
    """

    untouched: bytes
    removed: bytes
    behind: bytes
    placebo: dict[str, bytes]
    removal: dict[str, bytes]
    captions: tuple[str, ...]


def edited(count: int, log: Callable[[str], None]) -> list[Edited]:
    """The first ``count`` scenes in which a label named by a caption can be removed and its shape fits into an empty place."""
    from jobs.settings import load_settings
    from udfs.inpaint.inpainter import Inpainter
    from udfs.weights import located

    changes = {KNOWN: ()} | {
        name: [f"inpainter.{key}={value}" for key, value in options.items()] for name, options in OTHERS.items()
    }
    all_settings = {name: located(load_settings(OBJECTS.profile, change)) for name, change in changes.items()}
    painters = {name: (settings, Inpainter(settings, "cpu")) for name, settings in all_settings.items()}
    edits: list[Edited] = []
    looked = 0
    for looked in range(20 * count):
        edit = _edited(layout.sample(OBJECTS.domain, "test", SEED, looked, SIZE), painters)
        edits += [edit] if edit is not None else []
        if len(edits) == count:
            break
    log(f"{len(edits)} of {looked + 1} scenes have a thing to remove that a caption names, and an empty place of its shape")
    return edits


def _edited(scene: Scene, painters: dict[str, tuple[Any, Any]]) -> Edited | None:
    from udfs import images
    from udfs.inpaint.placebo import Placebos
    from udfs.masks import dilate, to_rle

    captions = [caption for caption in tell(domains.load(scene.domain), scene) if caption.monotone]
    visible = components(scene)
    label = next((name for name in visible if any(name in caption.labels for caption in captions)), None)
    if label is None:
        return None
    picture = render(scene)
    # Shadows and reflections count as taken, too.
    bare = render(scene, frozenset(scene.labels))
    taken = (picture != bare).any(axis=2) | masks(scene).whole.any(axis=0)
    codec = painters[KNOWN][0].codec
    original = images.encode(picture, codec)
    row: Any = {
        "record_id": scene.key,
        "image": original,
        "components": [{"label": label, "masks": [to_rle(visible[label])], "boxes": []}],
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
    hole = dilate(visible[label], painters[KNOWN][0].inpainter.dilate * scene.size)
    behind = np.where(hole[..., None], removed, picture)
    removed_bytes, behind_bytes = (images.encode(rgb, codec) for rgb in (removed, behind))
    return Edited(
        original,
        removed_bytes,
        behind_bytes,
        placebo,
        removal,
        tuple(caption.text for caption in captions if label in caption.labels),
    )


def _done(result: Any) -> Row | None:
    """The result, or None if the scene has no room for the edit.

    Raises:
        RuntimeError: the role failed for any other reason.
    """
    failed = result.status if isinstance(result, Failure) else result.get("status", "ok")
    if failed not in ("ok", "no_free_place", "mask_covers_image"):
        raise RuntimeError(str(result))
    return result if isinstance(result, dict) and failed == "ok" else None


@dataclass(frozen=True)
class Looked:
    """What one model sees in each of N scenes, float64: placebos [inpainters, N], real removals [N], and the probe's answers
    [kinds, inpainters, N]; in the order of ``INPAINTERS`` and ``KINDS``.
    """

    kept: NDArray[np.float64]
    placebo_moves: NDArray[np.float64]
    removal_moves: NDArray[np.float64]
    probe: NDArray[np.float64]


def look(edits: Sequence[Edited], clip: OpenClip, embed: Embed) -> Looked:
    """Embed all images and captions of the scenes, and compare them."""
    vectors = embed_texts(clip, [text for edit in edits for text in edit.captions])
    captions = np.stack([np.mean([vectors[text] for text in edit.captions], axis=0) for edit in edits])
    untouched, removed, behind = (
        embed([getattr(edit, attribute) for edit in edits]) for attribute in ("untouched", "removed", "behind")
    )
    placebo = {name: embed([edit.placebo[name] for edit in edits]) - untouched for name in INPAINTERS}
    removal = {name: embed([edit.removal[name] for edit in edits]) - behind for name in INPAINTERS}
    changes = np.stack([(placebo[name] * captions).sum(axis=1, dtype=np.float64) for name in INPAINTERS])
    return Looked(
        (changes < 0) + 0.5 * (changes == 0),
        np.abs(changes),
        np.abs(((removed - untouched) * captions).sum(axis=1, dtype=np.float64)),
        np.stack([list(probed(pairs).values()) for pairs in (placebo, removal)]),
    )


def probed(pairs: dict[str, Points]) -> dict[str, NDArray[np.float64]]:
    """Whether a linear model recognises the edited scene of each pair: 0, 0.5 or 1 [N], by inpainter.

    Args:
        pairs: features of the edited scene minus those of the untouched one [N, D], for the same N scenes by each inpainter. The
            model is fitted on the first inpainter's pairs by cross-validation with ``FOLDS`` folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold

    known = next(iter(pairs.values()))
    detected = {name: np.empty(len(known)) for name in pairs}
    for train, held in KFold(FOLDS, shuffle=True, random_state=0).split(known):
        scale = np.sqrt((known[train].astype(np.float64) ** 2).mean(axis=0)) + 1e-12
        # To a model without an intercept a difference and its negative are the same example; the fit needs both labels.
        rows = np.concatenate([known[train], -known[train]]) / scale
        labels = np.repeat([1, 0], len(train))
        weights = LogisticRegression(C=0.1, fit_intercept=False, solver="liblinear").fit(rows, labels).coef_[0]
        for name, differences in pairs.items():
            scores = differences[held] / scale @ weights
            detected[name][held] = (scores > 0) + 0.5 * (scores == 0)
    return detected


def together(models: dict[int, Looked]) -> Seen:
    """Combine what an arm's models see; a scene's values are averaged over the seeds."""
    kept, moves, below, probe = (
        np.mean([getattr(model, part.name) for model in models.values()], axis=0) for part in fields(Looked)
    )

    def named(values: Iterable[NDArray[np.float64]]) -> dict[str, Value]:
        return {name: mean(by_scene) for name, by_scene in zip(INPAINTERS, values, strict=True)}

    return Seen(
        seeds=list(models),
        kept=named(kept),
        moved={name: ratio(changes, below) for name, changes in zip(INPAINTERS, moves, strict=True)},
        by_removal=mean(below),
        probe={kind: named(values) for kind, values in zip(KINDS, probe, strict=True)},
    )


def section(file: Path) -> list[tuple[str, list[Any]]]:
    """The report's section on a file that ``main`` wrote; empty if there is none."""
    if not file.is_file():
        return []
    result = Artefacts.model_validate_json(file.read_text(encoding="utf-8"))
    head = (
        *("arm", "seeds"),
        *(f"kept, {name}" for name in INPAINTERS),
        "a real removal",
        *(f"moved, {name}" for name in INPAINTERS),
        *(f"probe, {kind}, {name}" for kind in KINDS for name in INPAINTERS),
    )
    rows = []
    for arm, seen in result.arms.items():
        kept, moved, *probe = (
            [values[name].cell() for name in INPAINTERS]
            for values in (seen.kept, seen.moved, *(seen.probe[kind] for kind in KINDS))
        )
        seeds = ", ".join(map(str, seen.seeds))
        rows.append((arm, seeds, *kept, seen.by_removal.cell(), *moved, *(cell for cells in probe for cell in cells)))
    note = (
        f"Percent, over {result.scenes} uniform scenes; intervals over scenes, the probe being fixed. *Kept*: how often captions"
        " fit the untouched scene better than the same with an empty place inpainted; at 50 that moves the model to neither side,"
        " below 50 it likes the edited one better. *A real removal*: how much it changes the cosine with captions that name what"
        " goes, times 100; *moved*: how much inpainting an empty place does, as a share of that. *Probe*: how often a linear"
        " model of the image features tells the inpainted one of two with the same content; it was fitted on other scenes' fills"
        f" of {KNOWN}, which the study's removals were painted by, and knows {' and '.join(OTHERS)} from those alone. *Placebo*:"
        " an empty place was inpainted; *removal*: a thing's hole, beside the same hole with what is really behind it."
    )
    return [("Do the models see that something was inpainted?", [note, (head, rows)])]


def main(
    data: Annotated[Path, typer.Option(help="the study's data: the folder of a regime under dualset study's --work")],
    arms: Annotated[str, typer.Option(help="which arms, divided by commas, beside the start")] = "clip,powerset",
    scenes: Annotated[int, typer.Option(min=FOLDS * 4)] = 1000,
    output: Annotated[Path, typer.Option(help="the file that the report reads")] = Path("training/study/results/artefacts.json"),
) -> None:
    """Measure the start and the arms, and write the file that the report reads."""
    StudyData(data, Size(), typer.echo).check()
    folders = {arm: weights_of(data / RUNS / WEIGHTS, arm) for arm in arms.split(",")}
    edits = edited(scenes, typer.echo)
    seen = {START.name: together({0: look(edits, *load(**OBJECTS.start))})}
    for arm, paths in folders.items():
        seen[arm] = together({seed: look(edits, *load(str(path), "")) for seed, path in paths.items()})
        typer.echo(f"{arm}: {seen[arm].model_dump()}")
    result = Artefacts(scenes=len(edits), arms=seen)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result.model_dump(), indent=1) + "\n", encoding="utf-8")
    typer.echo(f"written: {output}")


if __name__ == "__main__":
    typer.run(main)
