"""Further duals that the lattice makes cheap: two components exchange their colours, or their places, and the texts say so.

A family whose two removals are there apart and together (an original, without the first, without the second, the plate) holds
both as cut-outs: what each removal changed. Each exchange becomes a family of its own beside the one it is made of, with the
original's text, now false, as its negative; the original has the new text among its own negatives already (``variant_swap``).
Where a text cannot be made with certainty it is left out, and an exchange that is left without one is none: ``why`` counts.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.study.derived import PNG, Row, labels_of
from udfs.images import Rgb, decode, encode
from udfs.rewrite_chunks import Chunk
from udfs.variant_phrases import Caption, core, edited, many, spoken
from udfs.variant_words import COLOUR_WORDS

CHANGED = 24  # grey levels by which a removal changes what was a thing, and not its rim
SHADE = (0.4, 0.97, 14.0)  # a shadow leaves so large a share of the light, the same of all colours within so many grey levels
NEAR = 30.0  # in CIELAB, of what has a thing's told colour
SMALLEST = 30  # pixels of a thing
SEEN = 0.2  # of a thing that must have the colour which is told of it, before and after
# What the basic colour terms mean, as sRGB: a pixel has the nearest one's name.
BASIC = {
    "red": "d02a2a", "orange": "f08a20", "yellow": "f0d030", "green": "309a44", "blue": "2e62d4", "purple": "8038b0",
    "pink": "f090b8", "brown": "7a4a26", "white": "f2f2f0", "black": "242428", "gray": "868686",
}  # fmt: skip
POSITIONS = ("left", "right", "front", "behind", "above", "below")
VIEWS = ("photo", "picture", "photograph", "image")


@dataclass(frozen=True)
class CutOut:
    """A component as its removal shows it: bool [H, W] of its own pixels, and of all that changed, shadow and rim too."""

    thing: NDArray[np.bool_]
    hole: NDArray[np.bool_]


@dataclass(frozen=True)
class Square:
    """Two components of a family, and the four images over them."""

    first: int
    second: int
    original: Rgb
    plate: Rgb
    one: CutOut
    other: CutOut


def with_colours(row: Row, why: Counter[str]) -> list[Row]:
    """A family, and one more for each two components whose colours could be exchanged."""
    return [row, *_made(row, "colours", why)]


def with_places(row: Row, why: Counter[str]) -> list[Row]:
    """A family, and one more for each two components whose places could be exchanged."""
    return [row, *_made(row, "places", why)]


def _made(row: Row, kind: str, why: Counter[str]) -> Iterator[Row]:
    colours = _colours(row)
    for square in _squares(row, why):
        names = [row["labels"][square.first], row["labels"][square.second]]
        texts = dict(_recoloured(row, names, colours) if kind == "colours" else _turned(row, names))
        if not any(text != row["text"][place] for place, text in texts.items()):
            why[f"{kind}: no text says it"] += 1
            continue
        if kind == "colours":
            image, problem = recoloured(square, (colours[names[0]], colours[names[1]])), "the told colour is not seen"
        else:
            image, problem = moved(square), "no room"
        if image is None:
            why[f"{kind}: {problem}"] += 1
            continue
        why[f"{kind}: made"] += 1
        yield _family(row, f"{row['record_id']}-{kind}-{square.first}{square.second}", image, texts)


def cut_out(original: Rgb, without: Rgb) -> CutOut:
    """What a removal took away, told from its shadow: a shadow dims all colours alike."""
    before, after = original.astype(np.float32), without.astype(np.float32)
    difference = np.abs(before - after).max(axis=2)
    share = (before * after).sum(axis=2) / np.maximum((after**2).sum(axis=2), 1)
    rest = np.abs(before - share[:, :, None] * after).max(axis=2)
    shadow = (share > SHADE[0]) & (share < SHADE[1]) & (rest < SHADE[2])
    thing = ((difference > CHANGED) & ~shadow).astype(np.uint8)
    thing = cv2.morphologyEx(cv2.morphologyEx(thing, cv2.MORPH_OPEN, np.ones((2, 2))), cv2.MORPH_CLOSE, np.ones((5, 5)))
    return CutOut(np.asarray(thing > 0), np.asarray(difference > 0))


def recoloured(square: Square, told: tuple[str, str]) -> Rgb | None:
    """The original with the told colours of its two things exchanged; their shading and their other parts stay.

    Only what has the told colour changes: a clock's frame and not its dial. None: it is not seen in one of them, before or after.
    """
    lab = _lab(square.original)
    cuts = (square.one, square.other)
    bodies = [_has(lab, cut.thing, colour) for cut, colour in zip(cuts, told, strict=True)]
    if any(body.sum() < max(SMALLEST, SEEN * cut.thing.sum()) for body, cut in zip(bodies, cuts, strict=True)):
        return None
    main = [np.median(lab[body], axis=0) for body in bodies]
    for cut, body, old, new in zip(cuts, bodies, main, main[::-1], strict=True):
        like = np.clip(2 - np.linalg.norm(lab - old, axis=2) / NEAR, 0, 1)
        strength = np.maximum(like, body) * cv2.GaussianBlur(cut.thing.astype(np.float32), (3, 3), 0)
        lab = lab + strength[:, :, None] * (new - old)
    back = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    image = np.asarray(np.clip(np.rint(back * 255), 0, 255), np.uint8)
    seen = [_has(_lab(image), body, colour).sum() > body.sum() / 2 for body, colour in zip(bodies, told[::-1], strict=True)]
    return image if all(seen) else None


def _lab(image: Rgb) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


def _has(lab: NDArray[np.float32], within: NDArray[np.bool_], colour: str) -> NDArray[np.bool_]:
    """Which pixels of a part have the colour of a name."""
    codes = np.array([[[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in BASIC.values()]], np.uint8)
    apart = np.linalg.norm(lab[:, :, None] - _lab(codes)[0], axis=3)
    return np.asarray(within & (apart.argmin(axis=2) == list(BASIC).index(colour)))


def moved(square: Square) -> Rgb | None:
    """The plate with each thing where the other stood, by the middle of its foot, with its shadow; None: it has no room there."""
    feet = [_foot(cut.thing) for cut in (square.one, square.other)]
    image, taken = square.plate.astype(np.float32), np.zeros(square.plate.shape[:2], bool)
    light = square.original.astype(np.float32) / np.maximum(square.plate.astype(np.float32), 1)
    # What stands farther back is pasted first.
    moves = [(square.one, feet[0], feet[1]), (square.other, feet[1], feet[0])]
    for cut, foot, goal in sorted(moves, key=lambda move: move[2][0]):
        down, right = goal[0] - foot[0], goal[1] - foot[1]
        thing, hole = _shifted(cut.thing, down, right), _shifted(cut.hole, down, right)
        if thing.sum() != cut.thing.sum() or (thing & taken).any():
            return None
        taken |= thing
        shade = _shifted(np.clip(light, 0.3, 1.0), down, right)
        image = np.where((hole & ~thing)[:, :, None], image * np.where(hole[:, :, None], shade, 1), image)
        image = np.where(thing[:, :, None], _shifted(square.original.astype(np.float32), down, right), image)
    return np.asarray(np.clip(np.rint(image), 0, 255), np.uint8)


def _squares(row: Row, why: Counter[str]) -> Iterator[Square]:
    images = dict(zip(row["subsets"], row["images"], strict=True))
    for i, j in combinations(range(row["n"]), 2):
        if not {0, 1 << i, 1 << j, 1 << i | 1 << j} <= images.keys():
            why["an image of the square is missing"] += 1
            continue
        original, without, apart, plate = (decode(images[one]) for one in (0, 1 << i, 1 << j, 1 << i | 1 << j))
        one, other = cut_out(original, without), cut_out(original, apart)
        if (one.hole & other.hole).any():
            why["the two touch"] += 1
        elif min(one.thing.sum(), other.thing.sum()) < SMALLEST:
            why["too small"] += 1
        else:
            yield Square(i, j, original, plate, one, other)


def _named(phrase: Chunk) -> str:
    """The label that a noun phrase surely names; empty: none, or not surely."""
    labels = {mention["label"] for mention in phrase.mentions}
    sure = all(mention["certain"] for mention in phrase.mentions)
    return labels.pop() if len(labels) == 1 and sure else ""


def _colour(phrase: Chunk) -> tuple[int, int, str] | None:
    """Place and word of the one colour in a noun phrase."""
    found = [token for token in phrase.tokens if token.low in COLOUR_WORDS]
    return (found[0].start, found[0].end, found[0].low) if len(found) == 1 else None


def _colours(row: Row) -> dict[str, str]:
    """The colour of each label of which the original's texts name exactly one."""
    found: dict[str, set[str]] = {}
    for place in _of_original(row):
        caption = Caption.of(row["text"][place])
        for at in caption.nouns:
            if (label := _named(caption.chunks[at])) and (colour := _colour(caption.chunks[at])):
                found.setdefault(label, set()).add("gray" if colour[2] == "grey" else colour[2])
    return {label: colours.pop() for label, colours in found.items() if len(colours) == 1 and colours <= BASIC.keys()}


def _of_original(row: Row) -> list[int]:
    """Places of the texts that are exact for the original: they name all that their captions name."""
    return [place for place, named in enumerate(row["text_named"]) if not named & ~row["text_mentions"][place]]


def _recoloured(row: Row, names: list[str], colours: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Texts of the original with the two labels' colours exchanged: (place of the text, the new one)."""
    if not all(name in colours for name in names) or colours[names[0]] == colours[names[1]]:
        return
    new = {names[0]: colours[names[1]], names[1]: colours[names[0]]}
    for place in _of_original(row):
        caption = Caption.of(row["text"][place])
        phrases = [caption.chunks[at] for at in caption.nouns]
        if any(_colour(phrase) and not _named(phrase) for phrase in phrases):
            continue  # "a red thing": which of them?
        edits = [
            (colour[0], colour[1], new[name])
            for phrase in phrases
            if (name := _named(phrase)) in new and (colour := _colour(phrase))
        ]
        yield place, edited(caption.text, edits)


def _turned(row: Row, names: list[str]) -> Iterator[tuple[int, str]]:
    """Texts of the original that say where the two are to each other, exchanged; and those that say nothing of any place.

    A third thing, or a ground, is where it was: what is said of it and one of the two may be false now.
    """
    for place in _of_original(row):
        caption = Caption.of(row["text"][place])
        pieces = [piece for piece in caption.chunks if not (piece.kind == "I" and piece.low in ("of", "with"))]
        if not any(piece.kind == "I" or piece.low == "it" or set(piece.low.split()) & set(POSITIONS) for piece in pieces):
            yield place, caption.text
            continue
        nouns = [caption.chunks[at] for at in caption.nouns if caption.chunks[at].head not in VIEWS]
        said = " ".join(piece.low for piece in caption.chunks).split()
        if len(nouns) != 2 or {_named(one) for one in nouns} != set(names) or not set(said) & set(POSITIONS):
            continue
        one, other = nouns
        if many(one) == many(other) and not {"it", "them"} & set(said):
            first, second = core(one), core(other)
            swap = [(*first, spoken(caption.text, *second)), (*second, spoken(caption.text, *first))]
            yield place, edited(caption.text, swap)


def _family(row: Row, record_id: str, image: Rgb, texts: dict[int, str]) -> Row:
    """An exchange's row: one image, its texts, and each original text that is now false as the negative of its own."""
    places = list(texts)
    false = [at for at, place in enumerate(places) if texts[place] != row["text"][place]]
    column = {name: [row[name][place] for place in places] for name in ("text_named", "text_mentions", "text_may_mention")}
    return row | column | {
        "record_id": record_id,
        "subsets": [0],
        "images": [encode(image, PNG)],
        "caption_id": [f"{row['caption_id'][place]}-{record_id.rpartition('-')[2]}" for place in places],
        "text": [texts[place] for place in places],
        "variant_of": false,
        "variant_text": [row["text"][places[at]] for at in false],
        "variant_kind": ["swap"] * len(false),
        "variant_mentions": [column["text_mentions"][at] for at in false],
        "variant_may_mention": [column["text_may_mention"][at] for at in false],
        "variant_names": ["|".join(sorted(labels_of(row, column["text_mentions"][at]))) for at in false],
    }  # fmt: skip


def _foot(thing: NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column of the middle of a thing's foot."""
    rows, columns = np.nonzero(thing)
    return int(rows.max()), int((columns.min() + columns.max()) // 2)


def _shifted(values: NDArray, down: int, right: int) -> NDArray:
    """Values [H, W, ...] moved, with zeros where nothing comes from."""
    height, width = values.shape[:2]
    made = np.zeros_like(values)
    rows = slice(max(0, down), min(height, height + down)), slice(max(0, -down), min(height, height - down))
    columns = slice(max(0, right), min(width, width + right)), slice(max(0, -right), min(width, width - right))
    made[rows[0], columns[0]] = values[rows[1], columns[1]]
    return made
