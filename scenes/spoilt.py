"""Faults put into good pairs of a dual image and its text, each of a kind that inpainters, detectors and rewriters are known for.

A spoiler takes what the engine made of a scene, a good pair of it and a source of random numbers, and returns the pair with a
fault, or None where the scene has no room for it. All else stays as the engine has it: the subset that it believes in, the mask
that it believes was painted, the texts' places.

Image: *not removed* - one of the components that should be gone is still there, untouched. *another removed* - another one is
gone in its place. *removed as well* - another one that the text names is gone beside it. *put back* - something is painted into
the hole: the class that was there with another look, or one that was not. *seam* - the painted part differs in brightness or
colour with a hard border.

Text: *still named* - it names, by any word for it, what is gone. *lost* - it misses a class that stayed.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np

from scenes.captions import Caption
from scenes.dual_texts import right
from scenes.grammar import Phrase, Tale, realise, without
from scenes.natural import Engine, Made, Pair
from scenes.render import masks, render
from scenes.words import words_of

LEAST_SEEN = 30  # pixels of a thing that is put back
SEAM = 40.0, 90.0  # length of the shift in RGB, in grey levels


def not_removed(engine: Engine, made: Made, pair: Pair, random: Random) -> Pair | None:
    """One component of the subset as it was."""
    bit = random.choice(_bits(pair.subset))
    return _with_image(made, pair, pair.subset & ~bit)


def another_removed(engine: Engine, made: Made, pair: Pair, random: Random) -> Pair | None:
    """One component as it was, and another gone in its place."""
    others = _bits(((1 << len(made.labels)) - 1) & ~pair.subset)
    if not others:
        return None
    return _with_image(made, pair, pair.subset & ~random.choice(_bits(pair.subset)) | random.choice(others))


def removed_as_well(engine: Engine, made: Made, pair: Pair, random: Random) -> Pair | None:
    """Another component, that the text names, gone beside those of the subset."""
    others = _bits(made.names(pair.caption) & ~pair.subset)
    return _with_image(made, pair, pair.subset | random.choice(others)) if others else None


def put_back(engine: Engine, made: Made, pair: Pair, random: Random) -> Pair | None:
    """A thing where a removed one was: of its class with another look, or, half of the time, of a class that was not there."""
    domain, scene = made.domain, made.scene
    gone = [i for i, thing in enumerate(scene.things) if thing.label in made.of(pair.subset)]
    place = random.choice(gone)
    thing = scene.things[place]
    colour = random.choice([name for name in domain.colours if name != thing.colour])
    label, kinds = thing.label, domain.kinds
    # Of what stands or hangs in such places; a domain has few that hang.
    others = [name for name in domain.known if name not in scene.labels and kinds[name].place == kinds[label].place]
    if others and random.random() < 0.5:
        label = random.choice(others)
    other = replace(
        thing, label=label, colour=colour, material=random.choice(list(domain.materials)), mirrored=not thing.mirrored
    )
    painted = replace(scene, things=(*scene.things[:place], other, *scene.things[place + 1 :]))
    drawn = masks(painted)
    shape = drawn.visible[place]
    if shape.sum() < max(LEAST_SEEN, drawn.whole[place].sum() / 2):
        return None  # others stand before it
    image = pair.image.copy()
    image[shape] = render(painted)[shape]
    return replace(pair, image=image)


def seam(engine: Engine, made: Made, pair: Pair, random: Random) -> Pair | None:
    """The painted part brighter, darker or of another tint than what is around it."""
    shift = np.array([random.gauss(0, 1) for _ in range(3)]) + random.choice((-1.0, 1.0))  # mostly brightness, always some tint
    shift *= random.uniform(*SEAM) / np.linalg.norm(shift)
    edited = made.edited(pair.subset)
    image = pair.image.astype(float)
    image[edited] += shift
    return replace(pair, image=np.clip(np.rint(image), 0, 255).astype(np.uint8))


def still_named(engine: Engine, made: Made, pair: Pair, random: Random) -> Pair | None:
    """The text of a smaller subset: something removed is named, half of the time by another of its words."""
    gone = _bits(made.names(pair.caption) & pair.subset)
    if not gone:
        return None
    left = random.choice(gone)
    told = made.captions[pair.caption]
    tale = without(told.tale, frozenset(made.of(pair.subset & ~left)))
    if random.random() < 0.5:
        tale = _reworded(made, tale, made.of(left)[0], random)
    return _with_text(engine, made, pair, realise(tale)[0])


def lost(engine: Engine, made: Made, pair: Pair, random: Random) -> Pair | None:
    """The text of a larger subset: something that is still there is no longer named."""
    kept = _bits(made.names(pair.caption) & ~pair.subset)
    return (
        _with_text(engine, made, pair, _text(made.captions[pair.caption], made.of(pair.subset | random.choice(kept))))
        if kept
        else None
    )


SPOILERS: dict[str, Callable[[Engine, Made, Pair, Random], Pair | None]] = {
    "not removed": not_removed,
    "another removed": another_removed,
    "removed as well": removed_as_well,
    "put back": put_back,
    "seam": seam,
    "still named": still_named,
    "lost": lost,
}


def spoil(engine: Engine, made: Made, good: list[Pair], random: Random) -> list[Pair]:
    """One spoilt pair of each kind that a scene has room for, made of good ones, with ``kind`` set."""
    spoilt = []
    for kind, spoiler in SPOILERS.items():
        for pair in random.sample(good, len(good)):
            if (made_bad := spoiler(engine, made, pair, random)) is not None:
                spoilt.append(replace(made_bad, kind=kind))
                break
    return spoilt


def _bits(mask: int) -> list[int]:
    return [1 << i for i in range(mask.bit_length()) if mask >> i & 1]


def _with_image(made: Made, pair: Pair, subset: int) -> Pair | None:
    image = made.duals.get(subset)
    return None if image is None else replace(pair, image=image)


def _with_text(engine: Engine, made: Made, pair: Pair, text: str | None) -> Pair | None:
    if not text:
        return None
    return replace(pair, text=text, text_ok=engine.checked(made, pair.caption, pair.subset, text))


def _text(caption: Caption, gone: tuple[str, ...]) -> str | None:
    return right(caption, gone)


def _reworded(made: Made, tale: Tale, label: str, random: Random) -> Tale:
    """The tale with another noun for a label, where there is one."""
    nouns = words_of(made.domain).nouns[label]

    def anew(phrases: tuple[Phrase, ...]) -> tuple[Phrase, ...]:
        return tuple(replace(p, noun=random.choice(nouns)) if p.name == label else p for p in phrases)

    return replace(tale, first=anew(tale.first), second=anew(tale.second))
