"""Which of the engine's CLIP columns find what faults, and at which thresholds: for the policy of a profile.

    python -m scenes.score_clip_policy --model scenes/models/clip_objects.json --checkpoint scenes/models/clip_objects.safetensors

Good pairs are what the engine makes with true masks and OpenCV's inpainter, with the right text. Into each of them one fault at a
time is put. A column's threshold is what ``lost`` of the good pairs fall below, on scenes of the choosing seed; what is told of
it is from scenes of the evaluation seed. Columns and faults that a threshold cannot part show about ``lost`` in the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from jobs.settings import Codec, Embedder, validate_settings
from jobs.similarity import LABEL_PROMPT
from scenes import domain as domains
from scenes import layout
from scenes.captions import Caption
from scenes.dual_texts import right
from scenes.render import masks, render
from scenes.scene import Scene
from scenes.score_clip import SPLITS, Eyes, fullest
from scenes.score_segmenter import interval
from scenes.seeds import RANGES, check, generator
from udfs import images
from udfs.inpaint import Inpainter
from udfs.masks import dilate, to_rle
from udfs.role import Failure

COLUMNS = ("clip_true", "clip_drop", "clip_image")
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """A dual image with its text, beside what it was made from."""

    fault: str  # "" if it is good
    scene: int
    removed: str
    original: Picture
    dual: Picture
    text: str


class InpaintingFailed(RuntimeError):
    """The engine made no dual image."""


def duals(inpainter: Inpainter, scene: Scene, parts: Sequence[tuple[str, npt.NDArray[np.bool_]]]) -> list[Picture]:
    """The 2^n images that the engine makes of a scene and named masks, the original first."""
    row = {
        "record_id": scene.key,
        "image": images.encode(render(scene), Codec(format="png")),
        "components": [{"label": label, "masks": [to_rle(mask)]} for label, mask in parts],
    }
    [made] = inpainter([row])
    if isinstance(made, Failure):
        raise InpaintingFailed(f"scene {scene.key}: {made.status}: {made.error}")
    for dual in made["duals"]:
        if dual["status"] != "ok":
            raise InpaintingFailed(f"scene {scene.key}, subset {dual['subset']}: {dual['status']}: {dual['error']}")
    return [images.decode(dual["image"]) for dual in made["duals"]]


def pairs(inpainter: Inpainter, scene: Scene, number: int) -> list[Pair]:
    """A good pair of a scene and the same with each fault that can be put into it; none if nothing can be removed.

    Faults of images: ``nothing removed``; ``other removed`` (another class is gone instead); ``one of several left``;
    ``one more removed``; ``grey hole`` (filled with flat grey); ``another put in`` (another class in its place). Of texts:
    ``text of original``; ``text of other`` (another class is not named); ``other colour``; ``other class`` (of what is still
    named); ``word lost`` (any but the first).
    """
    said, seen = fullest(scene), masks(scene).visible
    world, rng = domains.load(scene.domain), generator(scene.domain, scene.split, scene.seed, scene.index, "faults")
    known = [label for label in said.labels if label in world.known and _of(scene, seen, label).any()]
    if not known:
        return []
    label = known[int(rng.integers(len(known)))]
    text = right(said, (label,))
    if text is None:
        return []
    others = [one for one in scene.labels if one != label and _of(scene, seen, one).any()]
    parts = [(one, _of(scene, seen, one)) for one in [label, *others[:1]]]
    made = duals(inpainter, scene, parts)
    original, good = made[0], made[1]
    fresh = Pair("", number, label, original, good, text)
    found = [fresh, replace(fresh, fault="nothing removed", dual=original), _grey(fresh, parts[0][1])]
    if others:
        found += [replace(fresh, fault="other removed", dual=made[2]), replace(fresh, fault="one more removed", dual=made[3])]
    places = [i for i, thing in enumerate(scene.things) if thing.label == label and seen[i].any()]
    if len(places) > 1:
        found.append(replace(fresh, fault="one of several left", dual=duals(inpainter, scene, [(label, seen[places[0]])])[1]))
    if able := _like(scene, label):
        found.append(replace(fresh, fault="another put in", dual=_swapped(scene, label, able[int(rng.integers(len(able)))])))
    return found + _of_texts(fresh, said, scene, rng)


def _of(scene: Scene, seen: npt.NDArray[np.bool_], label: str) -> npt.NDArray[np.bool_]:
    return np.asarray(seen[[thing.label == label for thing in scene.things]].any(axis=0))


def _grey(pair: Pair, mask: npt.NDArray[np.bool_]) -> Pair:
    filled = pair.dual.copy()
    filled[dilate(mask, 0.02 * len(mask))] = 128
    return replace(pair, fault="grey hole", dual=filled)


def _like(scene: Scene, label: str) -> list[str]:
    """Classes that are not there and stand, or hang, where the label does."""
    world = domains.load(scene.domain)
    return [one for one in world.known if one not in scene.labels and world.kinds[one].place == world.kinds[label].place]


def _swapped(scene: Scene, label: str, other: str) -> Picture:
    """The scene with another class where the removed one was."""
    things = tuple(replace(t, label=other, mirrored=False) if t.label == label else t for t in scene.things)
    return images.decode(images.encode(render(replace(scene, things=things)), Codec()))


def _of_texts(fresh: Pair, said: Caption, scene: Scene, rng: np.random.Generator) -> list[Pair]:
    world = domains.load(scene.domain)
    found = [replace(fresh, fault="text of original", text=said.text)]
    left = [label for label in said.labels if label != fresh.removed]
    if left and (other := right(said, left[:1])) is not None:
        found.append(replace(fresh, fault="text of other", text=other))
    words = fresh.text.split()
    colours = [i for i, word in enumerate(words) if word in world.colours]
    if colours:
        able = [colour for colour in world.colours if colour != words[colours[0]]]
        found.append(_with(fresh, "other colour", words, colours[0], able[int(rng.integers(len(able)))]))
    classes = [i for i, word in enumerate(words) if word in world.known]
    if classes:
        able = [label for label in world.known if label not in scene.labels and " " not in label]
        found.append(_with(fresh, "other class", words, classes[0], able[int(rng.integers(len(able)))]))
    if len(words) > 2:
        lost = int(rng.integers(1, len(words)))
        found.append(replace(fresh, fault="word lost", text=" ".join(words[:lost] + words[lost + 1 :])))
    return found


def _with(pair: Pair, fault: str, words: list[str], place: int, word: str) -> Pair:
    return replace(pair, fault=fault, text=" ".join([*words[:place], word, *words[place + 1 :]]))


def columns(eyes: Eyes, some: Sequence[Pair]) -> dict[str, npt.NDArray[np.float64]]:
    """The engine's columns of pairs with one removed label, float64 [n] each; see ``jobs.similarity.add_clip``."""
    before, after = eyes.see([pair.original for pair in some]), eyes.see([pair.dual for pair in some])
    texts, prompts = eyes.read([p.text for p in some]), eyes.read([LABEL_PROMPT.format(p.removed) for p in some])
    return {
        "clip_true": (after * texts).sum(axis=1),
        "clip_drop": ((before - after) * prompts).sum(axis=1),
        "clip_image": (after * before).sum(axis=1),
    }


def collect(domain: str, seed: int, count: int, size: int) -> list[Pair]:
    """Pairs of ``count`` scenes of each split."""
    inpainter = Inpainter(validate_settings({}), "cpu")
    found: list[Pair] = []
    for number, (split, index) in enumerate((split, index) for split in SPLITS for index in range(count)):
        found += pairs(inpainter, layout.sample(domain, split, seed, index, size), number)
    return found


def report(
    chosen: tuple[Sequence[Pair], dict[str, npt.NDArray[np.float64]]],
    tested: tuple[Sequence[Pair], dict[str, npt.NDArray[np.float64]]],
    lost: float,
) -> list[str]:
    """Lines: thresholds from the first pairs, and the shares of the second that fall below each and below any of them."""
    good = np.array([not pair.fault for pair in chosen[0]])
    limits = {name: float(np.quantile(chosen[1][name][good], lost)) for name in COLUMNS}
    low = {name: tested[1][name] < limits[name] for name in COLUMNS}
    lines = ["; ".join(f"min_{name}: {limit:.3f}" for name, limit in limits.items())]
    lines.append(f"{'rejected of':<22} {'pairs':>6}  " + "  ".join(f"{name:>11}" for name in COLUMNS) + "  any")
    faults = list(dict.fromkeys(pair.fault for pair in tested[0]))
    for fault in faults:
        rows = [i for i, pair in enumerate(tested[0]) if pair.fault == fault]
        each = [f"{100 * low[name][rows].mean():>10.1f}%" for name in COLUMNS]
        some = np.any([low[name][rows] for name in COLUMNS], axis=0)
        whole = interval(some.tolist(), [tested[0][i].scene for i in rows])
        shown = "{:.1f}% [{:.1f}, {:.1f}]".format(*(100 * number for number in whole))
        lines.append(f"{fault or 'good pairs':<22} {len(rows):>6}  " + "  ".join(each) + f"  {shown}")
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
    """Fix thresholds on some scenes and tell on others what they find."""
    from udfs.embed_clip import load_clip

    check(choosing, "choosing")
    check(seed, "evaluation" if seed in RANGES["evaluation"] else "choosing")
    eyes = Eyes(load_clip(Embedder(model=str(model), checkpoint=str(checkpoint)), "cpu"))
    typer.echo(
        f"{eyes.clip.name} {eyes.clip.version}: {domain}, {size} px, thresholds from seed {choosing}, shares of seed {seed}"
    )
    sets = [(some, columns(eyes, some)) for some in (collect(domain, s, count, size) for s in (choosing, seed))]
    for share in lost or [0.01, 0.02, 0.05]:
        typer.echo(f"\n{share:.0%} of good pairs below each threshold:")
        for line in report(sets[0], sets[1], share):
            typer.echo(line)


if __name__ == "__main__":
    typer.run(main)
