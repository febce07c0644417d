"""Faults for good pairs of a dual image and its text, of the kinds that inpainters, detectors and rewriters typically make.

A spoiler takes the engine's output for a scene, a good pair and a source of random numbers. It returns the pair with a fault, or
None if the fault is not possible in the scene. Everything else stays as the engine recorded it: the subset, the mask of the edit,
and which caption the text belongs to.

Image: *not removed* - a component that should be removed is still there, untouched. *another removed* - another component is
removed instead. *removed as well* - another component that the text names is removed, too. *put back* - something is painted into
the hole: the removed class with another look, or a class that was not in the scene. *seam* - the painted part differs in
brightness or colour, with a hard border.

Text: *still named* - it names something removed, by any of its words. *lost* - it omits a class that stayed.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np

from jobs.scenes.captions import Caption
from jobs.scenes.dual_texts import right
from jobs.scenes.grammar import Phrase, Tale, realise, without
from jobs.scenes.render import masks, render
from jobs.scenes.vocabulary import words_of
from training.acceptance.engine import Engine, EngineOutput, Pair

LEAST_SEEN = 30  # least visible pixels of a thing that is put back
SEAM = 40.0, 90.0  # length of the shift in RGB, in grey levels


def not_removed(engine: Engine, output: EngineOutput, pair: Pair, random: Random) -> Pair | None:
    """Leave one component of the subset in the image."""
    bit = random.choice(_bits(pair.subset))
    return _with_image(output, pair, pair.subset & ~bit)


def another_removed(engine: Engine, output: EngineOutput, pair: Pair, random: Random) -> Pair | None:
    """Leave one component in the image, and remove another one instead."""
    others = _bits(((1 << len(output.labels)) - 1) & ~pair.subset)
    if not others:
        return None
    return _with_image(output, pair, pair.subset & ~random.choice(_bits(pair.subset)) | random.choice(others))


def removed_as_well(engine: Engine, output: EngineOutput, pair: Pair, random: Random) -> Pair | None:
    """Remove another component that the text names, in addition to the subset."""
    others = _bits(output.names(pair.caption) & ~pair.subset)
    return _with_image(output, pair, pair.subset | random.choice(others)) if others else None


def put_back(engine: Engine, output: EngineOutput, pair: Pair, random: Random) -> Pair | None:
    """Paint a thing where a removed one was: its class with another look or, half of the time, a class not in the scene."""
    domain, scene = output.domain, output.scene
    gone = [i for i, thing in enumerate(scene.things) if thing.label in output.of(pair.subset)]
    index = random.choice(gone)
    thing = scene.things[index]
    colour = random.choice([name for name in domain.colours if name != thing.colour])
    label, kinds = thing.label, domain.kinds
    # Classes for the same kind of place; a domain has few that hang.
    others = [name for name in domain.known if name not in scene.labels and kinds[name].place == kinds[label].place]
    if others and random.random() < 0.5:
        label = random.choice(others)
    replacement = replace(
        thing, label=label, colour=colour, material=random.choice(list(domain.materials)), mirrored=not thing.mirrored
    )
    painted = replace(scene, things=(*scene.things[:index], replacement, *scene.things[index + 1 :]))
    drawn = masks(painted)
    shape = drawn.visible[index]
    if shape.sum() < max(LEAST_SEEN, drawn.whole[index].sum() / 2):
        return None  # other things cover it
    image = pair.image.copy()
    image[shape] = render(painted)[shape]
    return replace(pair, image=image)


def seam(engine: Engine, output: EngineOutput, pair: Pair, random: Random) -> Pair | None:
    """Make the painted part brighter, darker or of another tint than its surroundings."""
    shift = np.array([random.gauss(0, 1) for _ in range(3)]) + random.choice((-1.0, 1.0))  # mostly brightness, always some tint
    shift *= random.uniform(*SEAM) / np.linalg.norm(shift)
    edited = output.edited(pair.subset)
    image = pair.image.astype(float)
    image[edited] += shift
    return replace(pair, image=np.clip(np.rint(image), 0, 255).astype(np.uint8))


def still_named(engine: Engine, output: EngineOutput, pair: Pair, random: Random) -> Pair | None:
    """Use the text of a smaller subset: something removed is named, half of the time by another of its words."""
    gone = _bits(output.names(pair.caption) & pair.subset)
    if not gone:
        return None
    remaining = random.choice(gone)
    caption = output.captions[pair.caption]
    tale = without(caption.tale, frozenset(output.of(pair.subset & ~remaining)))
    if random.random() < 0.5:
        tale = _reworded(output, tale, output.of(remaining)[0], random)
    return _with_text(engine, output, pair, realise(tale)[0])


def lost(engine: Engine, output: EngineOutput, pair: Pair, random: Random) -> Pair | None:
    """Use the text of a larger subset: something that stayed is not named."""
    kept = _bits(output.names(pair.caption) & ~pair.subset)
    return (
        _with_text(engine, output, pair, _text(output.captions[pair.caption], output.of(pair.subset | random.choice(kept))))
        if kept
        else None
    )


SPOILERS: dict[str, Callable[[Engine, EngineOutput, Pair, Random], Pair | None]] = {
    "not removed": not_removed,
    "another removed": another_removed,
    "removed as well": removed_as_well,
    "put back": put_back,
    "seam": seam,
    "still named": still_named,
    "lost": lost,
}


def spoil(engine: Engine, output: EngineOutput, good: list[Pair], random: Random) -> list[Pair]:
    """One spoilt pair of each kind that is possible in a scene, made from good pairs, with ``kind`` set."""
    spoilt = []
    for kind, spoiler in SPOILERS.items():
        for pair in random.sample(good, len(good)):
            if (corrupted := spoiler(engine, output, pair, random)) is not None:
                spoilt.append(replace(corrupted, kind=kind))
                break
    return spoilt


def _bits(mask: int) -> list[int]:
    return [1 << i for i in range(mask.bit_length()) if mask >> i & 1]


def _with_image(output: EngineOutput, pair: Pair, subset: int) -> Pair | None:
    image = output.duals.get(subset)
    return None if image is None else replace(pair, image=image)


def _with_text(engine: Engine, output: EngineOutput, pair: Pair, text: str | None) -> Pair | None:
    if not text:
        return None
    return replace(pair, text=text, text_ok=engine.checked(output, pair.caption, pair.subset, text))


def _text(caption: Caption, gone: tuple[str, ...]) -> str | None:
    return right(caption, gone)


def _reworded(output: EngineOutput, tale: Tale, label: str, random: Random) -> Tale:
    """The tale with a randomly chosen noun for a label."""
    nouns = words_of(output.domain).nouns[label]

    def anew(phrases: tuple[Phrase, ...]) -> tuple[Phrase, ...]:
        return tuple(replace(p, noun=random.choice(nouns)) if p.name == label else p for p in phrases)

    return replace(tale, first=anew(tale.first), second=anew(tale.second))
