"""How well a CLIP understands unseen scenes, run by the engine's own model class.

    python -m training.acceptance clip --model udfs/embedded/clip_objects.json --checkpoint udfs/embedded/clip_objects.safetensors
        --count 500 --seed 900

Retrieval is among the pictures and captions of one split; only the scene's own partner is right. Removals are rendered as if the
label's things had never been there, so that only the model is measured. Intervals are 95%, by bootstrap over scenes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from jobs.engine.similarity import LABEL_PROMPT
from jobs.scenes import domain as domains
from jobs.scenes.captions import Caption, tell
from jobs.scenes.dual_texts import right
from jobs.scenes.grammar import article
from jobs.scenes.scene import Scene, Split
from jobs.scenes.seeds import check
from training.embedded.clip_scenes import picture, sample
from training.statistics import interval
from udfs.embed.settings import EmbedderSettings

if TYPE_CHECKING:
    from udfs.embed.clip import ClipModel

Vectors = npt.NDArray[np.float64]
Score = tuple[str, float, float, float, int]  # name, value, low, high, of how many
SPLITS: tuple[Split, ...] = ("train", "test")
BATCH = 128


class Eyes:
    """A CLIP that returns arrays of unit vectors [n, d], computed in batches."""

    def __init__(self, clip: "ClipModel") -> None:
        self.clip = clip

    def see(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Vectors:
        """Embed RGB pictures [S, S, 3]; the same object in several places is embedded once."""
        distinct = list({id(image): image for image in pictures}.values())
        starts = range(0, len(distinct), BATCH)
        vectors = np.concatenate([np.array(self.clip.embed_images(distinct[i : i + BATCH])) for i in starts])
        row = {id(image): i for i, image in enumerate(distinct)}
        return vectors[[row[id(image)] for image in pictures]]

    def read(self, texts: Sequence[str]) -> Vectors:
        """Embed texts; equal texts are embedded once."""
        distinct = list(dict.fromkeys(texts))
        starts = range(0, len(distinct), BATCH)
        vectors = np.concatenate([np.array(self.clip.embed_texts(distinct[i : i + BATCH])) for i in starts])
        row = {text: i for i, text in enumerate(distinct)}
        return vectors[[row[text] for text in texts]]


def fullest(scene: Scene) -> Caption:
    """The caption that names the most labels; the first of several."""
    return max(tell(domains.load(scene.domain), scene), key=lambda caption: len(caption.labels))


def retrieval(eyes: Eyes, scenes: Sequence[Scene]) -> Iterator[Score]:
    """R@1 and R@5 in both directions; identical texts count as right for each other."""
    texts = [fullest(scene).text for scene in scenes]
    image_vectors, text_vectors = eyes.see([picture(scene) for scene in scenes]), eyes.read(texts)
    alike = np.array(texts)[:, None] == np.array(texts)[None]
    likeness, numbers = image_vectors @ text_vectors.T, range(len(scenes))
    for name, table, excluded in (
        ("image to text", likeness, alike),
        ("text to image", likeness.T, np.eye(len(texts), dtype=bool)),
    ):
        # The rank of the own partner among all others: 0 is the best; ties count against it.
        own_scores = np.diagonal(table)[:, None]
        places = ((table >= own_scores) & ~excluded).sum(axis=1)
        for k in (1, 5):
            yield (f"R@{k} {name}", *interval((places < k).astype(float).tolist(), numbers), len(scenes))


def zero_shot(eyes: Eyes, scenes: Sequence[Scene]) -> Iterator[Score]:
    """Name the only class in a scene, among all classes, and among all classes in all colours."""
    world = domains.load(scenes[0].domain)
    labels = [scene.labels[scene.index % len(scene.labels)] for scene in scenes]
    pictures = [picture(s, frozenset(s.labels) - {label}) for s, label in zip(scenes, labels, strict=True)]
    images, numbers = eyes.see(pictures), range(len(scenes))
    classes = list(world.kinds)
    best = (images @ eyes.read([LABEL_PROMPT.format(label) for label in classes]).T).argmax(axis=1)
    named = [classes[i] == label for i, label in zip(best, labels, strict=True)]
    yield (f"class of {len(classes)}", *interval(named, numbers), len(scenes))
    coloured = [(colour, label) for label in classes for colour in world.colours_of(label)]
    prompts = [f"{article(colour)} {colour} {label}" for colour, label in coloured]
    best = (images @ eyes.read(prompts).T).argmax(axis=1)
    colours_present = [{t.colour for t in s.things if t.label == label} for s, label in zip(scenes, labels, strict=True)]
    single = [i for i in numbers if len(colours_present[i]) == 1]
    right_both = [coloured[best[i]] == (*colours_present[i], labels[i]) for i in single]
    yield (f"class and colour of {len(coloured)}", *interval(right_both, single), len(single))


def removal(eyes: Eyes, scenes: Sequence[Scene]) -> Iterator[Score]:
    """Whether the model notices that a class was removed, by texts and by ``clip_drop``."""
    captions = [fullest(scene) for scene in scenes]
    originals = eyes.see([picture(scene) for scene in scenes])
    gone = [
        caption.labels[s.index % len(caption.labels)] if caption.labels else ""
        for s, caption in zip(scenes, captions, strict=True)
    ]
    texts = [right(caption, (label,)) if label else None for caption, label in zip(captions, gone, strict=True)]
    fit = [i for i, text in enumerate(texts) if text is not None]
    duals = eyes.see([picture(scenes[i], frozenset({gone[i]})) for i in fit])
    whole, less = eyes.read([captions[i].text for i in fit]), eyes.read([str(texts[i]) for i in fit])
    firsts = originals[fit]
    noticed, unchanged = _dot(duals, less) > _dot(duals, whole), _dot(firsts, whole) > _dot(firsts, less)
    yield ("removed: right text over original's", *interval(noticed.tolist(), fit), len(fit))
    yield ("not removed: original's text over right", *interval(unchanged.tolist(), fit), len(fit))
    yield ("both", *interval((noticed & unchanged).tolist(), fit), len(fit))
    several = [i for i, scene in enumerate(scenes) if len(scene.labels) > 1]
    labels = [scenes[i].labels[:2] for i in several]
    prompts = eyes.read([LABEL_PROMPT.format(first) for first, _ in labels])
    before = _dot(originals[several], prompts)
    drops = []
    for position in (0, 1):
        after = eyes.see([picture(scenes[i], frozenset({pair[position]})) for i, pair in zip(several, labels, strict=True)])
        drops.append(before - _dot(after, prompts))
    yield ("AUC of clip_drop, removed against other", *interval_of_auc(drops[0], drops[1], several), len(several))


def auc(yes: Vectors, no: Vectors) -> float:
    """Probability that a value of ``yes`` is above one of ``no``; ties count half."""
    order = np.sort(no)
    below, upto = np.searchsorted(order, yes, "left"), np.searchsorted(order, yes, "right")
    return float((below + upto).mean() / (2 * len(no)))


def interval_of_auc(yes: Vectors, no: Vectors, scenes: Sequence[int]) -> tuple[float, float, float]:
    """``auc`` of one value of each kind per scene, with its interval."""

    def of(rows: npt.NDArray[np.float64]) -> float:
        places = rows.astype(int)
        return auc(yes[places], no[places])

    return interval(list(range(len(scenes))), scenes, of)


def _dot(left: Vectors, right: Vectors) -> Vectors:
    return np.einsum("nd,nd->n", left, right)


PARTS: tuple[Callable[[Eyes, Sequence[Scene]], Iterator[Score]], ...] = (retrieval, zero_shot, removal)


def cost(model: Any, side: int, context: int, batch: int = 128, steps: int = 5) -> tuple[float, float, float]:
    """(CPU seconds of a fine-tuning step on one thread, MFLOPs per image, MFLOPs per text).

    A step is forward, backward and AdamW over all weights, with batch norms frozen; its time is the median of ``steps``. A
    multiply and an add are two operations. The learning rate is 0, so the model does not change.
    """
    import torch
    from open_clip import ClipLoss
    from torch.utils.flop_counter import FlopCounterMode

    rng = torch.Generator().manual_seed(0)
    pictures = torch.randn((batch, 3, side, side), generator=rng)
    tokens = torch.randint(1, 400, (batch, context), generator=rng)
    flops = []
    for encode, example in ((model.encode_image, pictures[:1]), (model.encode_text, tokens[:1])):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            encode(example)
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
    from udfs.embed.clip import load_clip

    for file in (model, checkpoint):
        if not file.is_file():
            raise typer.BadParameter(f"no file at {file}")
    check(seed, "choosing" if seed < 900 else "evaluation")
    clip = load_clip(EmbedderSettings(model=str(model), checkpoint=str(checkpoint)), "cpu")
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
