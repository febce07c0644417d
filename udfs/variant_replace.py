"""Captions with one word replaced by another that makes them false, by rules: negatives of CE-CLIP and SVLC.

A noun gives way to another class of the lexicon that is nowhere in the image and in no caption of it; an adjective to one of its
list that excludes it, or to its opposite; a preposition or a posture to one that excludes it.
"""

from collections.abc import Iterable, Iterator
from random import Random
from typing import TypeVar

from udfs import variant_words as words
from udfs.rewrite_chunks import Chunk
from udfs.rewrite_tree import ANIMATE
from udfs.rewrite_words import VIEWS
from udfs.variant_phrases import Caption, Known, Variant, edited
from udfs.vocabulary import plurals, vocabulary

Item = TypeVar("Item", int, str)


def nouns(caption: Caption, known: Known, random: Random) -> Iterator[Variant]:
    """A class for another of its group first, else any that is not in the image; a place for another."""
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
        elif not phrase.mentions and phrase.head in words.PLACES and i and caption.chunks[i - 1].low in ("in", "at"):
            token = phrase.tokens[-1]
            for place in _shuffled(words.PLACES - {phrase.head}, random):
                if place not in known.words:
                    yield Variant(edited(caption.text, [(token.start, token.end, place)]))


def adjectives(caption: Caption, known: Known, random: Random) -> Iterator[Variant]:
    """A colour, material or pattern for another, a size or state for its opposite; none that a text of the image has besides."""
    said = known.words | {token.low for token in caption.words()}
    for i in _shuffled(caption.nouns, random):
        phrase = caption.chunks[i]
        if phrase.head in VIEWS:
            continue  # "a long shot"
        lives = any(mention["label"] in ANIMATE for mention in phrase.mentions)
        for token in phrase.tokens[:-1]:
            for word in _excluded(token.low, lives, known, random) if token.tag == "A" else ():
                new = edited(caption.text, [(token.start, token.end, word)])
                yield Variant(None, "in_caption") if word in said else Variant(new)


def relations(caption: Caption, known: Known, random: Random) -> Iterator[Variant]:  # noqa: ARG001 - all three alike
    """A preposition between two phrases for one that excludes it, a posture of who lives for another."""
    for i in _shuffled(range(len(caption.chunks)), random):
        piece = caption.chunks[i]
        if piece.kind == "I" and i and i + 1 < len(caption.chunks):
            yield from _prepositions(caption, i, random)
        elif piece.kind == "V" and piece.lemma in words.ACTS and _lives(caption, i):
            yield from _acts(caption, piece, random)


def _prepositions(caption: Caption, i: int, random: Random) -> Iterator[Variant]:
    piece, after = caption.chunks[i], caption.chunks[i + 1]
    if after.kind != "NP" or after.head in words.NO_PLACE:
        return
    for word in _shuffled(words.RELATIONS.get(piece.low, ()), random):
        yield Variant(edited(caption.text, [(piece.start, piece.end, word)]))


def _acts(caption: Caption, piece: Chunk, random: Random) -> Iterator[Variant]:
    from lemminflect import getInflection

    main = next(token for token in reversed(piece.tokens) if token.tag in "VGE")
    tag = "VBG" if main.low.endswith("ing") else "VBZ" if main.low.endswith("s") else "VBP" if main.tag == "V" else ""
    for verb in _shuffled(words.ACTS[piece.lemma], random) if tag else ():
        yield Variant(edited(caption.text, [(main.start, main.end, getInflection(verb, tag)[0])]))


def _lives(caption: Caption, i: int) -> bool:
    """Whether the noun phrase right before a verb is surely of a person or an animal: a glass can sit as well as stand."""
    before = caption.chunks[i - 1] if i else None
    return before is not None and any(m["certain"] and m["label"] in ANIMATE for m in before.mentions)


def _alternatives(label: str, known: Known) -> list[str]:
    """Other labels that are not in the image, the first of these that there are: used ones of its groups, used ones, of its
    groups, any. None are persons, plural only, or of the same last word.
    """
    lexicon = vocabulary()
    group = {one for members in lexicon.groups.values() if label in members for one in members}
    unfit = lexicon["pairs"] | lexicon["singular"] | {"person"}
    last = label.split()[-1]
    fit = [one for one in lexicon.labels if one not in known.labels | unfit and one.split()[-1] not in unfit | {last}]
    used = [one for one in fit if one in known.used]
    tiers = ([one for one in used if one in group], used, [one for one in fit if one in group], fit)
    return next((tier for tier in tiers if tier), [])


def _excluded(word: str, lives: bool, known: Known, random: Random) -> list[str]:
    near = {other for group in words.NEAR if word in group for other in group} | {word}
    for kind, alternatives in zip(
        (words.COLOUR_WORDS, words.MATERIAL_WORDS, words.PATTERN_WORDS), words.ALTERNATIVES, strict=True
    ):
        if word in kind:
            fit = alternatives - near
            return _shuffled((fit & known.used) or fit, random)
    if word == "little" and lives:
        return []  # young rather than small
    if word == "old" and not lives:
        return ["new"]
    return [side[0] for pair in words.OPPOSITES for own, side in (pair, pair[::-1]) if word in own]


def _shuffled(items: Iterable[Item], random: Random) -> list[Item]:
    ordered = sorted(items) if isinstance(items, frozenset) else list(items)
    random.shuffle(ordered)
    return ordered
