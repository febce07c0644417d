"""ARO's four ways to spoil the order of a caption's words, seeded.

Yuksekgonul et al. (ICLR 2023) tag with spaCy, cut with NLTK and draw without a seed. Here words are tagged and cut by the
rewriter's own tagger (``udfs.rewrite_tokens``), which has no noun in the middle of a compound ("dirt road" is an adjective and
a noun to it), and each caption has its own seed. A shuffle that gives the caption back is drawn again, and left out where it
must (one noun, no adjective): it would be no wrong text. So an item has two to five texts, and a score is comparable with
published ones roughly.
"""

import random
import re
from collections.abc import Callable, Sequence

from udfs.rewrite_tags import Token
from udfs.rewrite_tokens import tokenise

MAX_WORDS = 30
_TRIES = 20
_MARKS = re.compile(r'[.!"()*#:;~\s]+')

Words = list[tuple[str, str]]  # a word and its tag


def plain(caption: str) -> str:
    """Lower case, without the marks that ARO removes, at most 30 words."""
    return " ".join(_MARKS.sub(" ", caption.lower()).split()[:MAX_WORDS])


def spoilt(caption: str, seed: str) -> list[str]:
    """The shuffles of a caption that differ from it and from each other, in the order of ``KINDS``."""
    words = _words(tokenise(caption, ()))
    original, found = plain(caption), []
    for kind, shuffle in KINDS.items():
        dice = random.Random(f"{seed}/{kind}")
        for _ in range(_TRIES):
            text = plain(" ".join(shuffle(words, dice)))
            # Cut words ("man's" to "man 's") are no spoilt order.
            if text.replace(" ", "") != original.replace(" ", "") and text not in found:
                found.append(text)
                break
    return found


def _words(tokens: Sequence[Token]) -> Words:
    """Single words: the tagger keeps "next to" as one."""
    return [(word, token.tag) for token in tokens for word in token.text.split()]


def _among(words: Words, places: Sequence[int], dice: random.Random) -> Words:
    moved = list(places)
    dice.shuffle(moved)
    result = list(words)
    for place, source in zip(places, moved, strict=True):
        result[place] = words[source]
    return result


def _tagged(words: Words, tags: str) -> list[int]:
    return [place for place, (_, tag) in enumerate(words) if tag in tuple(tags)]


def _nouns_and_adjectives(words: Words, dice: random.Random) -> list[str]:
    """Nouns among nouns, adjectives among adjectives."""
    moved = _among(_among(words, _tagged(words, "N"), dice), _tagged(words, "A"), dice)
    return [word for word, _ in moved]


def _all_but_nouns_and_adjectives(words: Words, dice: random.Random) -> list[str]:
    kept = set(_tagged(words, "NA"))
    return [word for word, _ in _among(words, [place for place in range(len(words)) if place not in kept], dice)]


def _trigrams(words: Words) -> list[list[str]]:
    return [[word for word, _ in words[start : start + 3]] for start in range(0, len(words), 3)]


def _within_trigrams(words: Words, dice: random.Random) -> list[str]:
    parts = _trigrams(words)
    for part in parts:
        dice.shuffle(part)
    return [word for part in parts for word in part]


def _of_trigrams(words: Words, dice: random.Random) -> list[str]:
    parts = _trigrams(words)
    dice.shuffle(parts)
    return [word for part in parts for word in part]


KINDS: dict[str, Callable[[Words, random.Random], list[str]]] = {
    "nouns and adjectives": _nouns_and_adjectives,
    "all but nouns and adjectives": _all_but_nouns_and_adjectives,
    "within trigrams": _within_trigrams,
    "of trigrams": _of_trigrams,
}
