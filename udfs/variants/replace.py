"""Negatives with one word replaced, by rules, as in CE-CLIP and SVLC.

A noun is replaced by another class of the lexicon that is neither in the image nor in its captions; an adjective by one of the
same kind that excludes it, or by its antonym; a preposition or a verb of posture by one that excludes it.
"""

from collections.abc import Iterable, Iterator
from random import Random
from typing import TypeVar

from udfs.captions.chunks import Chunk
from udfs.captions.tree import ANIMATE
from udfs.captions.vocabulary import plurals, vocabulary
from udfs.captions.word_lists import VIEWS
from udfs.variants import substitutions
from udfs.variants.phrases import Caption, Known, Variant, edited

Item = TypeVar("Item", int, str)


def nouns(caption: Caption, known: Known, random: Random) -> Iterator[Variant]:
    """Replace a class, preferably by one of its group, by a class that is not in the image; a place by another place."""
    for i in _shuffled(caption.nouns, random):
        phrase = caption.chunks[i]
        sure = [m for m in phrase.mentions if m["certain"] and m["end"] == phrase.end]
        if len(sure) == 1 and sure[0]["label"] != "person":
            (mention,) = sure
            start = mention["end"] - len(mention["head"])
            chosen = _alternatives(mention["label"], known)
            if not chosen:
                yield Variant(None, "in_image")
            for label in _shuffled(chosen, random):
                noun = plurals(label)[0] if phrase.plural else label
                yield Variant(edited(caption.text, [(start, mention["end"], noun)]))
        elif not phrase.mentions and phrase.head in substitutions.PLACES and i and caption.chunks[i - 1].low in ("in", "at"):
            token = phrase.tokens[-1]
            for place in _shuffled(substitutions.PLACES - {phrase.head}, random):
                if place not in known.words:
                    yield Variant(edited(caption.text, [(token.start, token.end, place)]))


def adjectives(caption: Caption, known: Known, random: Random) -> Iterator[Variant]:
    """Replace a colour, material or pattern by another, a size or state by its antonym; never by a word of the image's texts."""
    present = known.words | {token.low for token in caption.tokens()}
    for i in _shuffled(caption.nouns, random):
        phrase = caption.chunks[i]
        if phrase.head in VIEWS:
            continue  # "a long shot"
        animate = any(mention["label"] in ANIMATE for mention in phrase.mentions)
        for token in phrase.tokens[:-1]:
            for word in _excluded(token.low, animate, known, random) if token.tag == "A" else ():
                new = edited(caption.text, [(token.start, token.end, word)])
                yield Variant(None, "in_caption") if word in present else Variant(new)


def relations(caption: Caption, known: Known, random: Random) -> Iterator[Variant]:  # noqa: ARG001 - all three alike
    """Replace a preposition between two phrases, or an animate subject's verb of posture, by one that excludes it."""
    for i in _shuffled(range(len(caption.chunks)), random):
        piece = caption.chunks[i]
        if piece.kind == "I" and i and i + 1 < len(caption.chunks):
            yield from _prepositions(caption, i, random)
        elif piece.kind == "V" and piece.lemma in substitutions.ACTS and _is_animate(caption, i):
            yield from _acts(caption, piece, random)


def _prepositions(caption: Caption, i: int, random: Random) -> Iterator[Variant]:
    piece, after = caption.chunks[i], caption.chunks[i + 1]
    if after.kind != "NP" or after.head in substitutions.NO_PLACE:
        return
    for word in _shuffled(substitutions.RELATIONS.get(piece.low, ()), random):
        yield Variant(edited(caption.text, [(piece.start, piece.end, word)]))


def _acts(caption: Caption, piece: Chunk, random: Random) -> Iterator[Variant]:
    from lemminflect import getInflection

    main = next(token for token in reversed(piece.tokens) if token.tag in "VGE")
    tag = "VBG" if main.low.endswith("ing") else "VBZ" if main.low.endswith("s") else "VBP" if main.tag == "V" else ""
    for verb in _shuffled(substitutions.ACTS[piece.lemma], random) if tag else ():
        yield Variant(edited(caption.text, [(main.start, main.end, getInflection(verb, tag)[0])]))


def _is_animate(caption: Caption, i: int) -> bool:
    """Whether the noun phrase before a verb certainly names a person or animal: a glass can both sit and stand."""
    before = caption.chunks[i - 1] if i else None
    return before is not None and any(m["certain"] and m["label"] in ANIMATE for m in before.mentions)


def _alternatives(label: str, known: Known) -> list[str]:
    """Labels that are not in the image, from the first non-empty tier: used and of the same group, used, same group, any.

    Persons, plural-only nouns and labels with the same last word are excluded.
    """
    lexicon = vocabulary()
    group = {member for members in lexicon.groups.values() if label in members for member in members}
    unfit = lexicon["pairs"] | lexicon["singular"] | {"person"}
    last = label.split()[-1]
    fit = [other for other in lexicon.labels if other not in known.labels | unfit and other.split()[-1] not in unfit | {last}]
    used = [other for other in fit if other in known.used]
    tiers = ([other for other in used if other in group], used, [other for other in fit if other in group], fit)
    return next((tier for tier in tiers if tier), [])


def _excluded(word: str, animate: bool, known: Known, random: Random) -> list[str]:
    near = {other for group in substitutions.NEAR if word in group for other in group} | {word}
    for kind, alternatives in zip(
        (substitutions.COLOUR_WORDS, substitutions.MATERIAL_WORDS, substitutions.PATTERN_WORDS),
        substitutions.ALTERNATIVES,
        strict=True,
    ):
        if word in kind:
            fit = alternatives - near
            return _shuffled((fit & known.used) or fit, random)
    if word == "little" and animate:
        return []  # young rather than small
    if word == "old" and not animate:
        return ["new"]
    return [side[0] for pair in substitutions.OPPOSITES for own, side in (pair, pair[::-1]) if word in own]


def _shuffled(items: Iterable[Item], random: Random) -> list[Item]:
    ordered = sorted(items) if isinstance(items, frozenset) else list(items)
    random.shuffle(ordered)
    return ordered
