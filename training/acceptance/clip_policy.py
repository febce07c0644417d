r"""Which faults the engine's CLIP columns find, and at which thresholds; for choosing a profile's policy.

    python -m training.acceptance clip-policy --model udfs/embedded/clip_objects.json \
        --checkpoint udfs/embedded/clip_objects.safetensors

Good pairs are made by the engine with true masks and OpenCV's inpainter, and have the right text. One fault at a time is put into
each of them. A column's threshold is the value that a share ``lost`` of the good pairs fall below, on scenes of the choosing
seed; reported shares are from scenes of the evaluation seed. If a column cannot detect a fault, the table shows about ``lost``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from jobs.engine.similarity import LABEL_PROMPT
from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.captions import Caption
from jobs.scenes.dual_texts import right
from jobs.scenes.render import masks, render
from jobs.scenes.scene import Scene
from jobs.scenes.seeds import RANGES, check, generator
from jobs.settings import validate_settings
from training.acceptance.clip import SPLITS, Eyes, fullest
from training.statistics import interval
from udfs import images
from udfs.codec import CodecSettings
from udfs.embed.settings import EmbedderSettings
from udfs.errors import DualsetError
from udfs.inpaint.inpainter import Inpainter
from udfs.masks import dilate, to_rle
from udfs.role import Failure

COLUMNS = ("clip_true", "clip_drop", "clip_image")
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """A dual image with its text, and the original image."""

    fault: str  # "" if it is good
    scene: int
    removed: str
    original: Picture
    dual: Picture
    text: str


class InpaintingFailed(DualsetError):
    """The engine did not make a dual image."""


def duals(inpainter: Inpainter, scene: Scene, parts: Sequence[tuple[str, npt.NDArray[np.bool_]]]) -> list[Picture]:
    """The 2^n images that the engine makes from a scene and named masks, the original first."""
    row: Any = {
        "record_id": scene.key,
        "image": images.encode(render(scene), CodecSettings(format="png")),
        "components": [{"label": label, "masks": [to_rle(mask)]} for label, mask in parts],
    }
    [answer] = inpainter([row])
    if isinstance(answer, Failure):
        raise InpaintingFailed(f"scene {scene.key}: {answer.status}: {answer.error}")
    for dual in answer["duals"]:
        if dual["status"] != "ok":
            raise InpaintingFailed(f"scene {scene.key}, subset {dual['subset']}: {dual['status']}: {dual['error']}")
    return [images.decode(dual["image"] or b"") for dual in answer["duals"]]


def pairs(inpainter: Inpainter, scene: Scene, number: int) -> list[Pair]:
    """A good pair of a scene, and the same pair with each fault that is possible in it; empty if nothing can be removed.

    Faults of images: ``nothing removed``; ``other removed`` (another class is removed instead); ``one of several left``;
    ``one more removed``; ``grey hole`` (filled with flat grey); ``another put in`` (another class in its place). Of texts:
    ``text of original``; ``text of other`` (another class is not named); ``other colour``; ``other class`` (of something
    still named); ``word lost`` (any but the first).
    """
    caption, visible = fullest(scene), masks(scene).visible
    world, rng = domains.load(scene.domain), generator(scene.domain, scene.split, scene.seed, scene.index, "faults")
    known = [label for label in caption.labels if label in world.known and _of(scene, visible, label).any()]
    if not known:
        return []
    label = known[int(rng.integers(len(known)))]
    text = right(caption, (label,))
    if text is None:
        return []
    other_labels = [name for name in scene.labels if name != label and _of(scene, visible, name).any()]
    parts = [(name, _of(scene, visible, name)) for name in [label, *other_labels[:1]]]
    pictures = duals(inpainter, scene, parts)
    original, good = pictures[0], pictures[1]
    fresh = Pair("", number, label, original, good, text)
    collected = [fresh, replace(fresh, fault="nothing removed", dual=original), _grey(fresh, parts[0][1])]
    if other_labels:
        collected += [
            replace(fresh, fault="other removed", dual=pictures[2]),
            replace(fresh, fault="one more removed", dual=pictures[3]),
        ]
    places = [i for i, thing in enumerate(scene.things) if thing.label == label and visible[i].any()]
    if len(places) > 1:
        collected.append(
            replace(fresh, fault="one of several left", dual=duals(inpainter, scene, [(label, visible[places[0]])])[1])
        )
    if candidates := _alternatives(scene, label):
        collected.append(
            replace(fresh, fault="another put in", dual=_swapped(scene, label, candidates[int(rng.integers(len(candidates)))]))
        )
    return collected + _of_texts(fresh, caption, scene, rng)


def _of(scene: Scene, visible: npt.NDArray[np.bool_], label: str) -> npt.NDArray[np.bool_]:
    return np.asarray(visible[[thing.label == label for thing in scene.things]].any(axis=0))


def _grey(pair: Pair, mask: npt.NDArray[np.bool_]) -> Pair:
    filled = pair.dual.copy()
    filled[dilate(mask, 0.02 * len(mask))] = 128
    return replace(pair, fault="grey hole", dual=filled)


def _alternatives(scene: Scene, label: str) -> list[str]:
    """Classes that are not in the scene and have the same kind of place as the label, such as standing or hanging."""
    world = domains.load(scene.domain)
    return [name for name in world.known if name not in scene.labels and world.kinds[name].place == world.kinds[label].place]


def _swapped(scene: Scene, label: str, new_label: str) -> Picture:
    """The scene with another class in place of the removed one."""
    things = tuple(replace(t, label=new_label, mirrored=False) if t.label == label else t for t in scene.things)
    return images.decode(images.encode(render(replace(scene, things=things)), CodecSettings()))


def _of_texts(fresh: Pair, caption: Caption, scene: Scene, rng: np.random.Generator) -> list[Pair]:
    world = domains.load(scene.domain)
    collected = [replace(fresh, fault="text of original", text=caption.text)]
    remaining = [label for label in caption.labels if label != fresh.removed]
    if remaining and (other_text := right(caption, remaining[:1])) is not None:
        collected.append(replace(fresh, fault="text of other", text=other_text))
    words = fresh.text.split()
    colours = [i for i, word in enumerate(words) if word in world.colours]
    if colours:
        candidates = [colour for colour in world.colours if colour != words[colours[0]]]
        collected.append(_with(fresh, "other colour", words, colours[0], candidates[int(rng.integers(len(candidates)))]))
    classes = [i for i, word in enumerate(words) if word in world.known]
    if classes:
        candidates = [label for label in world.known if label not in scene.labels and " " not in label]
        collected.append(_with(fresh, "other class", words, classes[0], candidates[int(rng.integers(len(candidates)))]))
    if len(words) > 2:
        lost = int(rng.integers(1, len(words)))
        collected.append(replace(fresh, fault="word lost", text=" ".join(words[:lost] + words[lost + 1 :])))
    return collected


def _with(pair: Pair, fault: str, words: list[str], index: int, word: str) -> Pair:
    return replace(pair, fault=fault, text=" ".join([*words[:index], word, *words[index + 1 :]]))


def columns(eyes: Eyes, sample: Sequence[Pair]) -> dict[str, npt.NDArray[np.float64]]:
    """The engine's columns for pairs with one removed label, float64 [n] each; see ``jobs.engine.similarity.add_clip``."""
    before, after = eyes.see([pair.original for pair in sample]), eyes.see([pair.dual for pair in sample])
    texts, prompts = eyes.read([p.text for p in sample]), eyes.read([LABEL_PROMPT.format(p.removed) for p in sample])
    return {
        "clip_true": (after * texts).sum(axis=1),
        "clip_drop": ((before - after) * prompts).sum(axis=1),
        "clip_image": (after * before).sum(axis=1),
    }


def collect(domain: str, seed: int, count: int, size: int) -> list[Pair]:
    """Pairs of ``count`` scenes of each split."""
    inpainter = Inpainter(validate_settings({}), "cpu")
    collected: list[Pair] = []
    for number, (split, index) in enumerate((split, index) for split in SPLITS for index in range(count)):
        collected += pairs(inpainter, layout.sample(domain, split, seed, index, size), number)
    return collected


def report(
    choosing: tuple[Sequence[Pair], dict[str, npt.NDArray[np.float64]]],
    tested: tuple[Sequence[Pair], dict[str, npt.NDArray[np.float64]]],
    lost: float,
) -> list[str]:
    """Lines: thresholds from the choosing pairs, and the shares of the tested pairs below each of them and below any."""
    good = np.array([not pair.fault for pair in choosing[0]])
    limits = {name: float(np.quantile(choosing[1][name][good], lost)) for name in COLUMNS}
    low = {name: tested[1][name] < limits[name] for name in COLUMNS}
    lines = ["; ".join(f"min_{name}: {limit:.3f}" for name, limit in limits.items())]
    lines.append(f"{'rejected of':<22} {'pairs':>6}  " + "  ".join(f"{name:>11}" for name in COLUMNS) + "  any")
    faults = list(dict.fromkeys(pair.fault for pair in tested[0]))
    for fault in faults:
        rows = [i for i, pair in enumerate(tested[0]) if pair.fault == fault]
        shares = [f"{100 * low[name][rows].mean():>10.1f}%" for name in COLUMNS]
        below_any = np.any([low[name][rows] for name in COLUMNS], axis=0)
        bounds = interval(below_any.tolist(), [tested[0][i].scene for i in rows])
        shown = "{:.1f}% [{:.1f}, {:.1f}]".format(*(100 * number for number in bounds))
        lines.append(f"{fault or 'good pairs':<22} {len(rows):>6}  " + "  ".join(shares) + f"  {shown}")
    return lines


def main(
    model: Annotated[Path, typer.Option(help="open_clip config file")],
    checkpoint: Annotated[Path, typer.Option(help="its weights, safetensors")],
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    count: Annotated[int, typer.Option(min=10, help="scenes of each split, for choosing and again for the report")] = 300,
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the scenes in pixels")] = 96,
    choosing: Annotated[int, typer.Option(help="seed of the scenes that thresholds are fixed on: 100 to 199")] = 100,
    seed: Annotated[int, typer.Option(help="seed of the scenes that are told of: 900 to 999, or another of 100 to 199")] = 900,
    lost: Annotated[list[float] | None, typer.Option(help="shares of good pairs that a threshold may reject")] = None,
) -> None:
    """Fix thresholds on some scenes, and report on others which faults they find."""
    from udfs.embed.clip import load_clip

    check(choosing, "choosing")
    check(seed, "evaluation" if seed in RANGES["evaluation"] else "choosing")
    eyes = Eyes(load_clip(EmbedderSettings(model=str(model), checkpoint=str(checkpoint)), "cpu"))
    typer.echo(
        f"{eyes.clip.name} {eyes.clip.version}: {domain}, {size} px, thresholds from seed {choosing}, shares of seed {seed}"
    )
    sets = [(sample, columns(eyes, sample)) for sample in (collect(domain, s, count, size) for s in (choosing, seed))]
    for share in lost or [0.01, 0.02, 0.05]:
        typer.echo(f"\n{share:.0%} of good pairs below each threshold:")
        for line in report(sets[0], sets[1], share):
            typer.echo(line)
