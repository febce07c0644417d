"""Swaps of two phrases in a caption, by rules: negatives as in NegCLIP, and those swaps that keep the meaning.

Swapped are two noun phrases without determiners and numerals ("a [red cup] on a [table]"), two nouns whose adjectives stay in
place, or two adjectives of one kind ("a [red] cup and a [blue] plate"). A swap around a symmetric relation ("a dog and a cat", "a
cup next to a plate") keeps the meaning: it is not a negative, but a paraphrase if nothing else is attached to the two phrases.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from udfs.captions.chunks import Chunk
from udfs.captions.tags import Token
from udfs.captions.word_lists import BODY, MEASURES, PARTS, VIEWS, WORN
from udfs.variants.phrases import Caption, Variant, core, edited, is_plural_phrase, uncapitalised
from udfs.variants.substitutions import KINDS, MUTUAL, SYMMETRIC, TURNABLE, near

_FIXED = WORN | BODY | PARTS | VIEWS


def swaps(caption: Caption) -> Iterator[Variant]:
    """Swaps that change the meaning, and the reasons of those that do not (``same_meaning``, ``same_words``)."""
    for a, b in combinations(caption.nouns, 2):
        left, right = caption.chunks[a], caption.chunks[b]
        between = caption.chunks[a + 1 : b]
        # Phrases of two sentences: what the first sentence says may hold for both.
        same = symmetric(between) or any(piece.kind == "." for piece in between)
        yield from _adjectives(caption, left, right, same)
        # "a cat of a picture", "a shirt in a man": nothing to learn from these.
        if (
            is_plural_phrase(left) != is_plural_phrase(right)
            or _has_of(between)
            or {left.head, right.head} & _FIXED
            or _has_measure_or_owner(left)
            or _has_measure_or_owner(right)
        ):
            continue
        yield _nouns(caption, left, right, same)
        yield from _heads(caption, left, right, same)


def reorders(caption: Caption) -> Iterator[Variant]:
    """Swaps that keep the meaning: whole phrases around "and" or "next to", with nothing else attached to them."""
    for a, b in combinations(caption.nouns, 2):
        between = caption.chunks[a + 1 : b]
        before = caption.chunks[a - 1] if a else None
        after = caption.chunks[b + 1] if b + 1 < len(caption.chunks) else None
        left, right = caption.chunks[a], caption.chunks[b]
        if len(between) != 1 or between[0].low not in TURNABLE or left.low == right.low:
            continue
        # What follows may modify the second phrase only, and what precedes the first: "on a dog and a cat" modifies both.
        if (after is not None and after.kind not in (".", "V")) or (before is not None and before.kind not in ("I", "V", "L")):
            continue
        if (
            after is not None
            and after.kind == "V"
            and (between[0].kind != "C" or is_plural_phrase(left) != is_plural_phrase(right) or not after.finite)
        ):
            continue
        if before is not None and before.kind != "L" and between[0].kind != "C":
            continue  # "a man on a horse next to a cow": who is next to it?
        if before is not None and before.kind == "L" and is_plural_phrase(left) != is_plural_phrase(right):
            continue  # "there is a dog and two cats"
        if any(token.tag == "S" for token in (*left.tokens, *right.tokens)):
            continue  # "a man and his dog"
        if (left.tokens[0].tag in ("D", "Q")) != (right.tokens[0].tag in ("D", "Q")):
            continue  # "an open kitchen and dining room"
        yield Variant(_exchanged(caption, (left.start, left.end), (right.start, right.end)))


def symmetric(between: Sequence[Chunk]) -> bool:
    """Whether everything between two phrases is symmetric: conjunctions, "next to", "with", and phrases joined by these."""
    return all(_both_ways(piece) for piece in between if piece.kind != "NP")


def _both_ways(piece: Chunk) -> bool:
    if piece.kind == "V":
        return piece.lemma in MUTUAL
    if piece.kind == "C":
        return True
    return piece.kind in ("R", "W", "L", ".") or (piece.kind == "I" and piece.low in SYMMETRIC)


def _has_of(between: Sequence[Chunk]) -> bool:
    return any(piece.low == "of" or piece.low.endswith(" of") and piece.low.split()[0] not in ("in", "on", "to", "left", "right")
               for piece in between if piece.kind == "I")  # fmt: skip


def _has_measure_or_owner(phrase: Chunk) -> bool:
    """Whether a phrase contains a measure or a possessor: "a group of people", "a man's hat"."""
    return any(token.tag in ("I", "'s") or token.low == "of" or token.low in MEASURES for token in phrase.tokens)


def _nouns(caption: Caption, left: Chunk, right: Chunk, same: bool) -> Variant:
    if _core_text(caption, left) == _core_text(caption, right):
        return Variant(None, "same_words")
    if same:
        return Variant(None, "same_meaning")
    return Variant(_exchanged(caption, core(left), core(right)))


def _heads(caption: Caption, left: Chunk, right: Chunk, same: bool) -> Iterator[Variant]:
    """Swap only the nouns; their adjectives stay in place."""
    described = [[token.low for token in _modifiers(phrase)] for phrase in (left, right)]
    if not any(described):
        return
    first, second = _head(left), _head(right)
    if caption.text[slice(*first)].lower() == caption.text[slice(*second)].lower():
        yield Variant(None, "same_words")
    elif same and (_within(*described) or _within(*described[::-1])):
        yield Variant(None, "same_meaning")  # "a red ball and a box": the box may be red as well
    else:
        yield Variant(_exchanged(caption, first, second))


def _adjectives(caption: Caption, left: Chunk, right: Chunk, same: bool) -> Iterator[Variant]:
    for first in _modifiers(left):
        for second in _modifiers(right):
            kind = next((kind for kind in KINDS if first.low in kind), frozenset())
            if second.low not in kind:
                continue
            if first.low == second.low:
                yield Variant(None, "same_words")
            elif near(first.low, second.low):
                yield Variant(None, "same_meaning")  # "a tiny vase and a small pizza"
            elif same and _core_without(caption, left, first) == _core_without(caption, right, second):
                yield Variant(None, "same_meaning")  # "a red car and a blue car"
            else:
                yield Variant(_exchanged(caption, (first.start, first.end), (second.start, second.end)))


def _within(terms: Sequence[str], others: Sequence[str]) -> bool:
    """Whether each term has an equal or near synonym among ``others``."""
    return all(any(near(term, other) for other in others) for term in terms)


def _modifiers(phrase: Chunk) -> list[Token]:
    return [token for token in phrase.tokens if token.tag == "A" and any(token.low in kind for kind in KINDS)]


def _head(phrase: Chunk) -> tuple[int, int]:
    """The span of the head noun with the nouns right before it: "tennis racket"."""
    start = len(phrase.tokens) - 1
    while start and phrase.tokens[start - 1].tag == "N":
        start -= 1
    known = [m["start"] for m in phrase.mentions if m["certain"] and m["end"] == phrase.end]
    words = {m["head"].lower() for m in phrase.mentions if m["certain"] and m["end"] == phrase.end}
    longest = max((len(word) for word in words), default=0)
    begin = min(phrase.tokens[start].start, phrase.end - longest) if known else phrase.tokens[start].start
    return begin, phrase.end


def _core_text(caption: Caption, phrase: Chunk) -> str:
    return caption.text[slice(*core(phrase))].lower()


def _core_without(caption: Caption, phrase: Chunk, adjective: Token) -> str:
    start, end = core(phrase)
    return (caption.text[start : adjective.start] + caption.text[adjective.end : end]).lower().replace(" ", "")


def _exchanged(caption: Caption, left: tuple[int, int], right: tuple[int, int]) -> str:
    text = caption.text
    return edited(text, [(*left, uncapitalised(text, *right)), (*right, uncapitalised(text, *left))])
