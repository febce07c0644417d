"""Captions with two of their phrases exchanged, by rules: NegCLIP's negatives, and what of them means the same.

Exchanged are two noun phrases without their articles and numbers ("a [red cup] on a [table]"), two nouns whose adjectives stay,
or two adjectives of one kind ("a [red] cup and a [blue] plate"). An exchange around what is true both ways ("a dog and a cat",
"a cup next to a plate") says the same: it is no negative, but where nothing else hangs on the two phrases a paraphrase.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from udfs.rewrite_chunks import Chunk
from udfs.rewrite_tags import Token
from udfs.rewrite_words import BODY, MEASURES, PARTS, VIEWS, WORN
from udfs.variant_phrases import Caption, Variant, core, edited, many, spoken
from udfs.variant_words import KINDS, MUTUAL, SYMMETRIC, TURNABLE, near

_FIXED = WORN | BODY | PARTS | VIEWS


def swaps(caption: Caption) -> Iterator[Variant]:
    """Exchanges that change what is said, and reasons of those that do not (``same_meaning``, ``same_words``)."""
    for a, b in combinations(caption.nouns, 2):
        one, other = caption.chunks[a], caption.chunks[b]
        between = caption.chunks[a + 1 : b]
        # Two things of two sentences may well both be where the first is said to be.
        same = symmetric(between) or any(piece.kind == "." for piece in between)
        yield from _adjectives(caption, one, other, same)
        # "a cat of a picture", "a shirt in a man": no sentence to learn from.
        if many(one) != many(other) or _of(between) or {one.head, other.head} & _FIXED or _inside(one) or _inside(other):
            continue
        yield _nouns(caption, one, other, same)
        yield from _heads(caption, one, other, same)


def reorders(caption: Caption) -> Iterator[Variant]:
    """Exchanges that leave the meaning as it is: whole phrases around "and" or "next to", with nothing else hanging on them."""
    for a, b in combinations(caption.nouns, 2):
        between = caption.chunks[a + 1 : b]
        before = caption.chunks[a - 1] if a else None
        after = caption.chunks[b + 1] if b + 1 < len(caption.chunks) else None
        one, other = caption.chunks[a], caption.chunks[b]
        if len(between) != 1 or between[0].low not in TURNABLE or one.low == other.low:
            continue
        # What follows might be said of the second alone, what precedes of the first: "on a dog and a cat" is of both.
        if (after is not None and after.kind not in (".", "V")) or (before is not None and before.kind not in ("I", "V", "L")):
            continue
        if after is not None and after.kind == "V" and (between[0].kind != "C" or many(one) != many(other) or not after.finite):
            continue
        if before is not None and before.kind != "L" and between[0].kind != "C":
            continue  # "a man on a horse next to a cow": who is next to it?
        if before is not None and before.kind == "L" and many(one) != many(other):
            continue  # "there is a dog and two cats"
        if any(token.tag == "S" for token in (*one.tokens, *other.tokens)):
            continue  # "a man and his dog"
        if (one.tokens[0].tag in ("D", "Q")) != (other.tokens[0].tag in ("D", "Q")):
            continue  # "an open kitchen and dining room"
        yield Variant(_exchanged(caption, (one.start, one.end), (other.start, other.end)))


def symmetric(between: Sequence[Chunk]) -> bool:
    """Whether what stands between two phrases is true both ways: lists, "next to", "with", and more phrases between these."""
    return all(_both_ways(piece) for piece in between if piece.kind != "NP")


def _both_ways(piece: Chunk) -> bool:
    if piece.kind == "V":
        return piece.lemma in MUTUAL
    if piece.kind == "C":
        return True
    return piece.kind in ("R", "W", "L", ".") or (piece.kind == "I" and piece.low in SYMMETRIC)


def _of(between: Sequence[Chunk]) -> bool:
    return any(piece.low == "of" or piece.low.endswith(" of") and piece.low.split()[0] not in ("in", "on", "to", "left", "right")
               for piece in between if piece.kind == "I")  # fmt: skip


def _inside(phrase: Chunk) -> bool:
    """Whether a phrase has a measure or an owner in it: "a group of people", "a man's hat"."""
    return any(token.tag in ("I", "'s") or token.low == "of" or token.low in MEASURES for token in phrase.tokens)


def _nouns(caption: Caption, one: Chunk, other: Chunk, same: bool) -> Variant:
    if _said(caption, one) == _said(caption, other):
        return Variant(None, "same_words")
    if same:
        return Variant(None, "same_meaning")
    return Variant(_exchanged(caption, core(one), core(other)))


def _heads(caption: Caption, one: Chunk, other: Chunk, same: bool) -> Iterator[Variant]:
    """Only the nouns: what is described changes place beneath its description."""
    described = [[token.low for token in _modifiers(phrase)] for phrase in (one, other)]
    if not any(described):
        return
    first, second = _head(one), _head(other)
    if caption.text[slice(*first)].lower() == caption.text[slice(*second)].lower():
        yield Variant(None, "same_words")
    elif same and (_within(*described) or _within(*described[::-1])):
        yield Variant(None, "same_meaning")  # "a red ball and a box": the box may be red as well
    else:
        yield Variant(_exchanged(caption, first, second))


def _adjectives(caption: Caption, one: Chunk, other: Chunk, same: bool) -> Iterator[Variant]:
    for first in _modifiers(one):
        for second in _modifiers(other):
            kind = next((kind for kind in KINDS if first.low in kind), frozenset())
            if second.low not in kind:
                continue
            if first.low == second.low:
                yield Variant(None, "same_words")
            elif near(first.low, second.low):
                yield Variant(None, "same_meaning")  # "a tiny vase and a small pizza"
            elif same and _bare(caption, one, first) == _bare(caption, other, second):
                yield Variant(None, "same_meaning")  # "a red car and a blue car"
            else:
                yield Variant(_exchanged(caption, (first.start, first.end), (second.start, second.end)))


def _within(few: Sequence[str], many: Sequence[str]) -> bool:
    """Whether all that is said of one thing is said of the other, or nearly so."""
    return all(any(near(one, other) for other in many) for one in few)


def _modifiers(phrase: Chunk) -> list[Token]:
    return [token for token in phrase.tokens if token.tag == "A" and any(token.low in kind for kind in KINDS)]


def _head(phrase: Chunk) -> tuple[int, int]:
    """The noun, with nouns right before it: "tennis racket"."""
    start = len(phrase.tokens) - 1
    while start and phrase.tokens[start - 1].tag == "N":
        start -= 1
    known = [m["start"] for m in phrase.mentions if m["certain"] and m["end"] == phrase.end]
    words = {m["head"].lower() for m in phrase.mentions if m["certain"] and m["end"] == phrase.end}
    longest = max((len(word) for word in words), default=0)
    begin = min(phrase.tokens[start].start, phrase.end - longest) if known else phrase.tokens[start].start
    return begin, phrase.end


def _said(caption: Caption, phrase: Chunk) -> str:
    return caption.text[slice(*core(phrase))].lower()


def _bare(caption: Caption, phrase: Chunk, adjective: Token) -> str:
    start, end = core(phrase)
    return (caption.text[start : adjective.start] + caption.text[adjective.end : end]).lower().replace(" ", "")


def _exchanged(caption: Caption, one: tuple[int, int], other: tuple[int, int]) -> str:
    text = caption.text
    return edited(text, [(*one, spoken(text, *other)), (*other, spoken(text, *one))])
