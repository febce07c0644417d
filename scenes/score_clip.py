"""How well a CLIP reads scenes that it never saw, through the engine's own model class.

    python -m scenes.score_clip --model scenes/models/clip_objects.json --checkpoint scenes/models/clip_objects.safetensors
        --count 500 --seed 900

Retrieval is among the pictures and captions of one split, strictly by pairs. Removals are rendered: the scene had the label's
things never been there, so that nothing but the model is measured. Intervals are of 95%, by bootstrap over scenes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from jobs.settings import Embedder
from jobs.similarity import LABEL_PROMPT
from scenes import domain as domains
from scenes.captions import Caption, tell
from scenes.clip_scenes import picture, sample
from scenes.dual_texts import right
from scenes.grammar import article
from scenes.scene import Scene, Split
from scenes.score_segmenter import interval
from scenes.seeds import check

if TYPE_CHECKING:
    from udfs.embed_clip import ClipModel

Vectors = npt.NDArray[np.float64]
Score = tuple[str, float, float, float, int]  # name, value, low, high, of how many
SPLITS: tuple[Split, ...] = ("train", "test")
BATCH = 128


class Eyes:
    """A CLIP whose answers are arrays of unit vectors [n, d], made in batches."""

    def __init__(self, clip: "ClipModel") -> None:
        self.clip = clip

    def see(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Vectors:
        """Of RGB pictures [S, S, 3]; one that comes several times, as the same object, is looked at once."""
        distinct = list({id(one): one for one in pictures}.values())
        starts = range(0, len(distinct), BATCH)
        found = np.concatenate([np.array(self.clip.embed_images(distinct[i : i + BATCH])) for i in starts])
        row = {id(one): i for i, one in enumerate(distinct)}
        return found[[row[id(one)] for one in pictures]]

    def read(self, texts: Sequence[str]) -> Vectors:
        """Of texts."""
        distinct = list(dict.fromkeys(texts))
        starts = range(0, len(distinct), BATCH)
        found = np.concatenate([np.array(self.clip.embed_texts(distinct[i : i + BATCH])) for i in starts])
        row = {text: i for i, text in enumerate(distinct)}
        return found[[row[text] for text in texts]]


def fullest(scene: Scene) -> Caption:
    """The caption that names most labels; the first of several."""
    return max(tell(domains.load(scene.domain), scene), key=lambda caption: len(caption.labels))


def retrieval(eyes: Eyes, scenes: Sequence[Scene]) -> Iterator[Score]:
    """R@1 and R@5 both ways; texts that are the very same count for each other."""
    texts = [fullest(scene).text for scene in scenes]
    images, words = eyes.see([picture(scene) for scene in scenes]), eyes.read(texts)
    alike = np.array(texts)[:, None] == np.array(texts)[None]
    likeness, numbers = images @ words.T, range(len(scenes))
    for name, table, same in (("image to text", likeness, alike), ("text to image", likeness.T, np.eye(len(texts), dtype=bool))):
        # The own one's place among all others: 0 is the best; what is as like as it counts against it.
        own = np.diagonal(table)[:, None]
        places = ((table >= own) & ~same).sum(axis=1)
        for k in (1, 5):
            yield (f"R@{k} {name}", *interval((places < k).astype(float).tolist(), numbers), len(scenes))


def zero_shot(eyes: Eyes, scenes: Sequence[Scene]) -> Iterator[Score]:
    """One class alone in its scene: named among all classes, and among all classes in all colours."""
    world = domains.load(scenes[0].domain)
    chosen = [scene.labels[scene.index % len(scene.labels)] for scene in scenes]
    alone = [picture(s, frozenset(s.labels) - {label}) for s, label in zip(scenes, chosen, strict=True)]
    images, numbers = eyes.see(alone), range(len(scenes))
    classes = list(world.kinds)
    best = (images @ eyes.read([LABEL_PROMPT.format(label) for label in classes]).T).argmax(axis=1)
    named = [classes[i] == label for i, label in zip(best, chosen, strict=True)]
    yield (f"class of {len(classes)}", *interval(named, numbers), len(scenes))
    coloured = [(colour, label) for label in classes for colour in world.colours_of(label)]
    prompts = [f"{article(colour)} {colour} {label}" for colour, label in coloured]
    best = (images @ eyes.read(prompts).T).argmax(axis=1)
    there = [{t.colour for t in s.things if t.label == label} for s, label in zip(scenes, chosen, strict=True)]
    one = [i for i in numbers if len(there[i]) == 1]
    both = [coloured[best[i]] == (*there[i], chosen[i]) for i in one]
    yield (f"class and colour of {len(coloured)}", *interval(both, one), len(one))


def removal(eyes: Eyes, scenes: Sequence[Scene]) -> Iterator[Score]:
    """Whether the model sees that a class is gone, by texts and by ``clip_drop``."""
    captions = [fullest(scene) for scene in scenes]
    originals = eyes.see([picture(scene) for scene in scenes])
    gone = [said.labels[s.index % len(said.labels)] if said.labels else "" for s, said in zip(scenes, captions, strict=True)]
    texts = [right(said, (label,)) if label else None for said, label in zip(captions, gone, strict=True)]
    fit = [i for i, text in enumerate(texts) if text is not None]
    duals = eyes.see([picture(scenes[i], frozenset({gone[i]})) for i in fit])
    whole, less = eyes.read([captions[i].text for i in fit]), eyes.read([str(texts[i]) for i in fit])
    firsts = originals[fit]
    seen, kept = _dot(duals, less) > _dot(duals, whole), _dot(firsts, whole) > _dot(firsts, less)
    yield ("removed: right text over original's", *interval(seen.tolist(), fit), len(fit))
    yield ("not removed: original's text over right", *interval(kept.tolist(), fit), len(fit))
    yield ("both", *interval((seen & kept).tolist(), fit), len(fit))
    several = [i for i, scene in enumerate(scenes) if len(scene.labels) > 1]
    labels = [scenes[i].labels[:2] for i in several]
    prompts = eyes.read([LABEL_PROMPT.format(first) for first, _ in labels])
    before = _dot(originals[several], prompts)
    drops = []
    for which in (0, 1):
        after = eyes.see([picture(scenes[i], frozenset({pair[which]})) for i, pair in zip(several, labels, strict=True)])
        drops.append(before - _dot(after, prompts))
    yield ("AUC of clip_drop, removed against other", *interval_of_auc(drops[0], drops[1], several), len(several))


def auc(yes: Vectors, no: Vectors) -> float:
    """Chance that a value of ``yes`` is above one of ``no``; ties count half."""
    order = np.sort(no)
    below, upto = np.searchsorted(order, yes, "left"), np.searchsorted(order, yes, "right")
    return float((below + upto).mean() / (2 * len(no)))


def interval_of_auc(yes: Vectors, no: Vectors, scenes: Sequence[int]) -> tuple[float, float, float]:
    """``auc`` of one value of each kind a scene, with its interval."""

    def of(rows: npt.NDArray[np.float64]) -> float:
        places = rows.astype(int)
        return auc(yes[places], no[places])

    return interval(list(range(len(scenes))), scenes, of)


def _dot(left: Vectors, right: Vectors) -> Vectors:
    return np.einsum("nd,nd->n", left, right)


PARTS: tuple[Callable[[Eyes, Sequence[Scene]], Iterator[Score]], ...] = (retrieval, zero_shot, removal)


def cost(model: Any, side: int, context: int, batch: int = 128, steps: int = 5) -> tuple[float, float, float]:
    """(CPU seconds of a step of fine-tuning on one thread, MFLOPs of an image, MFLOPs of a text).

    A step is forward, backward and AdamW over all weights, batch norms frozen; the middle one of ``steps``. A multiply and an add
    are two operations. The model comes back as it was.
    """
    import torch
    from open_clip import ClipLoss
    from torch.utils.flop_counter import FlopCounterMode

    rng = torch.Generator().manual_seed(0)
    pictures = torch.randn((batch, 3, side, side), generator=rng)
    tokens = torch.randint(1, 400, (batch, context), generator=rng)
    flops = []
    for encode, one in ((model.encode_image, pictures[:1]), (model.encode_text, tokens[:1])):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            encode(one)
        flops.append(counter.get_total_flops() / 1e6)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    spent = []
    for _ in range(steps):
        begun = time.process_time()
        images, texts = model.encode_image(pictures, normalize=True), model.encode_text(tokens, normalize=True)
        optimizer.zero_grad()
        ClipLoss()(images, texts, model.logit_scale.exp()).backward()
        optimizer.step()
        spent.append(time.process_time() - begun)
    torch.set_num_threads(threads)
    return float(np.median(spent)), flops[0], flops[1]


def main(
    model: Annotated[Path, typer.Option(help="open_clip config file")],
    checkpoint: Annotated[Path, typer.Option(help="its weights, safetensors")],
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    count: Annotated[int, typer.Option(min=10, help="scenes of each split")] = 500,
    seed: Annotated[int, typer.Option(help="of the scenes: 900 to 999; 100 to 199 while something is still being chosen")] = 900,
) -> None:
    """Score a CLIP on scenes of both splits."""
    from udfs.embed_clip import load_clip

    for file in (model, checkpoint):
        if not file.is_file():
            raise typer.BadParameter(f"no file at {file}")
    check(seed, "choosing" if seed < 900 else "evaluation")
    clip = load_clip(Embedder(model=str(model), checkpoint=str(checkpoint)), "cpu")
    typer.echo(f"{clip.name} {clip.version}: {domain}, seed {seed}")
    for split in SPLITS:
        scenes = [sample(domain, split, seed, index) for index in range(count)]
        typer.echo(f"\n{split} split, {count} scenes:")
        for part in PARTS:
            for name, value, low, high, of in part(Eyes(clip), scenes):
                typer.echo(f"{name:<42} {100 * value:5.1f}% [{100 * low:.1f}, {100 * high:.1f}] of {of}")
    side = clip.model.visual.image_size
    seconds, image, text = cost(clip.model, side if isinstance(side, int) else side[0], clip.model.context_length)
    typer.echo(f"\n{seconds:.2f} CPU s a step of fine-tuning with 128 pairs; {image:.0f} MFLOPs an image, {text:.0f} a text")


if __name__ == "__main__":
    typer.run(main)
