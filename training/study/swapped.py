"""Further duals that the lattice makes cheap: two components exchange their colours or their places, and the texts follow.

A family with both removals of two components, one by one and together (the original, without the first, without the second,
the plate without both), contains each component as a cut-out: what its removal changed. Each exchange becomes a family of its
own next to its source, with the original's text, now false, as its negative; the original already has the new text among its own
negatives (``variant_swap``). A text that cannot be written with certainty is left out, and so is an exchange without any text:
``why`` counts the reasons.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.study.derived import PNG, Row, labels_of
from udfs.captions.chunks import Chunk
from udfs.images import Rgb, decode, encode
from udfs.variants.phrases import Caption, core, edited, is_plural_phrase, uncapitalised
from udfs.variants.substitutions import COLOUR_WORDS

CHANGED = 24  # grey levels; a removal changes a thing by more than this, and its rim by less
# Least and largest share of the light that a shadow leaves; by how many grey levels the colours may differ in it.
SHADE = (0.4, 0.97, 14.0)
NEAR = 30.0  # distance in CIELAB to a thing's named colour
SMALLEST = 30  # pixels; least size of a thing
SEEN = 0.2  # least share of a thing that has its named colour, before and after
# The basic colour terms in sRGB: a pixel gets the name of the nearest.
BASIC = {
    "red": "d02a2a", "orange": "f08a20", "yellow": "f0d030", "green": "309a44", "blue": "2e62d4", "purple": "8038b0",
    "pink": "f090b8", "brown": "7a4a26", "white": "f2f2f0", "black": "242428", "gray": "868686",
}  # fmt: skip
POSITIONS = ("left", "right", "front", "behind", "above", "below")
VIEWS = ("photo", "picture", "photograph", "image")


@dataclass(frozen=True)
class CutOut:
    """A component as its removal reveals it: masks bool [H, W] of its own pixels, and of all that changed, shadow and rim too."""

    thing: NDArray[np.bool_]
    hole: NDArray[np.bool_]


@dataclass(frozen=True)
class Square:
    """Two components of a family, with the original, the plate without both, and a cut-out of each."""

    first: int
    second: int
    original: Rgb
    plate: Rgb
    first_cut: CutOut
    second_cut: CutOut


def with_colours(row: Row, why: Counter[str]) -> list[Row]:
    """A family, and another one for each pair of components whose colours could be exchanged."""
    return [row, *_exchanged(row, "colours", why)]


def with_places(row: Row, why: Counter[str]) -> list[Row]:
    """A family, and another one for each pair of components whose places could be exchanged."""
    return [row, *_exchanged(row, "places", why)]


def _exchanged(row: Row, kind: str, why: Counter[str]) -> Iterator[Row]:
    colours = _colours(row)
    for square in _squares(row, why):
        names = [row["labels"][square.first], row["labels"][square.second]]
        texts = dict(_recoloured(row, names, colours) if kind == "colours" else _turned(row, names))
        if not any(text != row["text"][position] for position, text in texts.items()):
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
    """The thing that a removal took away, without its shadow, which dims all colours alike."""
    before, after = original.astype(np.float32), without.astype(np.float32)
    difference = np.abs(before - after).max(axis=2)
    share = (before * after).sum(axis=2) / np.maximum((after**2).sum(axis=2), 1)
    rest = np.abs(before - share[:, :, None] * after).max(axis=2)
    shadow = (share > SHADE[0]) & (share < SHADE[1]) & (rest < SHADE[2])
    thing = ((difference > CHANGED) & ~shadow).astype(np.uint8)
    thing = cv2.morphologyEx(cv2.morphologyEx(thing, cv2.MORPH_OPEN, np.ones((2, 2))), cv2.MORPH_CLOSE, np.ones((5, 5)))
    return CutOut(np.asarray(thing > 0), np.asarray(difference > 0))


def recoloured(square: Square, colours: tuple[str, str]) -> Rgb | None:
    """The original with the named colours of its two things exchanged; shading and other parts stay.

    Only the parts in the named colour change: a clock's frame, not its dial. Returns None if one of the things does not show its
    named colour, before or after.
    """
    lab = _lab(square.original)
    cuts = (square.first_cut, square.second_cut)
    bodies = [_has(lab, cut.thing, colour) for cut, colour in zip(cuts, colours, strict=True)]
    if any(body.sum() < max(SMALLEST, SEEN * cut.thing.sum()) for body, cut in zip(bodies, cuts, strict=True)):
        return None
    main = [np.median(lab[body], axis=0) for body in bodies]
    for cut, body, old, new in zip(cuts, bodies, main, main[::-1], strict=True):
        similarity = np.clip(2 - np.linalg.norm(lab - old, axis=2) / NEAR, 0, 1)
        strength = np.maximum(similarity, body) * cv2.GaussianBlur(cut.thing.astype(np.float32), (3, 3), 0)
        lab = lab + strength[:, :, None] * (new - old)
    back = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    image = np.asarray(np.clip(np.rint(back * 255), 0, 255), np.uint8)
    visible = [_has(_lab(image), body, colour).sum() > body.sum() / 2 for body, colour in zip(bodies, colours[::-1], strict=True)]
    return image if all(visible) else None


def _lab(image: Rgb) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


def _has(lab: NDArray[np.float32], within: NDArray[np.bool_], colour: str) -> NDArray[np.bool_]:
    """Which pixels within a mask have a named colour."""
    codes = np.array([[[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in BASIC.values()]], np.uint8)
    apart = np.linalg.norm(lab[:, :, None] - _lab(codes)[0], axis=3)
    return np.asarray(within & (apart.argmin(axis=2) == list(BASIC).index(colour)))


def moved(square: Square) -> Rgb | None:
    """The plate with each thing and its shadow where the other stood, aligned by the middle of the foot; None: no room."""
    feet = [_foot(cut.thing) for cut in (square.first_cut, square.second_cut)]
    image, taken = square.plate.astype(np.float32), np.zeros(square.plate.shape[:2], bool)
    light = square.original.astype(np.float32) / np.maximum(square.plate.astype(np.float32), 1)
    # The thing farther back is pasted first.
    moves = [(square.first_cut, feet[0], feet[1]), (square.second_cut, feet[1], feet[0])]
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
        original, without, apart, plate = (decode(images[subset]) for subset in (0, 1 << i, 1 << j, 1 << i | 1 << j))
        first_cut, second_cut = cut_out(original, without), cut_out(original, apart)
        if (first_cut.hole & second_cut.hole).any():
            why["the two touch"] += 1
        elif min(first_cut.thing.sum(), second_cut.thing.sum()) < SMALLEST:
            why["too small"] += 1
        else:
            yield Square(i, j, original, plate, first_cut, second_cut)


def _named(phrase: Chunk) -> str:
    """The label that a noun phrase names with certainty; empty: none."""
    labels = {mention["label"] for mention in phrase.mentions}
    sure = all(mention["certain"] for mention in phrase.mentions)
    return labels.pop() if len(labels) == 1 and sure else ""


def _colour(phrase: Chunk) -> tuple[int, int, str] | None:
    """Start, end and word of the colour in a noun phrase; None unless it has exactly one."""
    colours = [token for token in phrase.tokens if token.low in COLOUR_WORDS]
    return (colours[0].start, colours[0].end, colours[0].low) if len(colours) == 1 else None


def _colours(row: Row) -> dict[str, str]:
    """The colour of each label for which the original's texts name exactly one."""
    by_label: dict[str, set[str]] = {}
    for position in _of_original(row):
        caption = Caption.of(row["text"][position])
        for index in caption.nouns:
            if (label := _named(caption.chunks[index])) and (colour := _colour(caption.chunks[index])):
                by_label.setdefault(label, set()).add("gray" if colour[2] == "grey" else colour[2])
    return {label: colours.pop() for label, colours in by_label.items() if len(colours) == 1 and colours <= BASIC.keys()}


def _of_original(row: Row) -> list[int]:
    """Indices of the texts that are exact for the original: they mention all that their captions name."""
    return [position for position, named in enumerate(row["text_named"]) if not named & ~row["text_mentions"][position]]


def _recoloured(row: Row, names: list[str], colours: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Texts of the original with the two labels' colours exchanged: (index of the text, new text)."""
    if not all(name in colours for name in names) or colours[names[0]] == colours[names[1]]:
        return
    new = {names[0]: colours[names[1]], names[1]: colours[names[0]]}
    for position in _of_original(row):
        caption = Caption.of(row["text"][position])
        phrases = [caption.chunks[index] for index in caption.nouns]
        if any(_colour(phrase) and not _named(phrase) for phrase in phrases):
            continue  # "a red thing": which of them?
        edits = [
            (colour[0], colour[1], new[name])
            for phrase in phrases
            if (name := _named(phrase)) in new and (colour := _colour(phrase))
        ]
        yield position, edited(caption.text, edits)


def _turned(row: Row, names: list[str]) -> Iterator[tuple[int, str]]:
    """Texts of the original that relate the two labels' places, with the labels exchanged, and texts that mention no place.

    A third thing or the ground has not moved, so a text that relates it to one of the two may now be false and is left out.
    """
    for position in _of_original(row):
        caption = Caption.of(row["text"][position])
        pieces = [piece for piece in caption.chunks if not (piece.kind == "I" and piece.low in ("of", "with"))]
        if not any(piece.kind == "I" or piece.low == "it" or set(piece.low.split()) & set(POSITIONS) for piece in pieces):
            yield position, caption.text
            continue
        nouns = [caption.chunks[index] for index in caption.nouns if caption.chunks[index].head not in VIEWS]
        spoken_words = " ".join(piece.low for piece in caption.chunks).split()
        if len(nouns) != 2 or {_named(noun) for noun in nouns} != set(names) or not set(spoken_words) & set(POSITIONS):
            continue
        noun, other_noun = nouns
        if is_plural_phrase(noun) == is_plural_phrase(other_noun) and not {"it", "them"} & set(spoken_words):
            first, second = core(noun), core(other_noun)
            swap = [(*first, uncapitalised(caption.text, *second)), (*second, uncapitalised(caption.text, *first))]
            yield position, edited(caption.text, swap)


def _family(row: Row, record_id: str, image: Rgb, texts: dict[int, str]) -> Row:
    """An exchange's row: one image, its texts, and for each changed text the original text, now false, as its negative."""
    places = list(texts)
    false = [index for index, position in enumerate(places) if texts[position] != row["text"][position]]
    column = {name: [row[name][position] for position in places] for name in ("text_named", "text_mentions", "text_may_mention")}
    return row | column | {
        "record_id": record_id,
        "subsets": [0],
        "images": [encode(image, PNG)],
        "caption_id": [f"{row['caption_id'][position]}-{record_id.rpartition('-')[2]}" for position in places],
        "text": [texts[position] for position in places],
        "variant_of": false,
        "variant_text": [row["text"][places[index]] for index in false],
        "variant_kind": ["swap"] * len(false),
        "variant_mentions": [column["text_mentions"][index] for index in false],
        "variant_may_mention": [column["text_may_mention"][index] for index in false],
        "variant_names": ["|".join(sorted(labels_of(row, column["text_mentions"][index]))) for index in false],
    }  # fmt: skip


def _foot(thing: NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column of the middle of a thing's foot."""
    rows, columns = np.nonzero(thing)
    return int(rows.max()), int((columns.min() + columns.max()) // 2)


def _shifted(values: NDArray, down: int, right: int) -> NDArray:
    """Values [H, W, ...] shifted, with zeros moved in."""
    height, width = values.shape[:2]
    moved_values = np.zeros_like(values)
    rows = slice(max(0, down), min(height, height + down)), slice(max(0, -down), min(height, height - down))
    columns = slice(max(0, right), min(width, width + right)), slice(max(0, -right), min(width, width - right))
    moved_values[rows[0], columns[0]] = values[rows[1], columns[1]]
    return moved_values
