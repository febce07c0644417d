"""ARO's four ways to shuffle the words of a caption, seeded.

Yuksekgonul et al. (ICLR 2023) tag with spaCy, tokenise with NLTK and draw without a seed. Here words are tokenised and tagged by
the rewriter's own tagger (``udfs.captions.tokens``), which tags the first noun of a compound as an adjective ("dirt road"), and
each caption has its own seed. A shuffle that returns the caption itself is drawn again, and left out if all are (one noun, no
adjective), as it would not be a wrong text. So an item has two to five texts, and scores are only roughly comparable with
published ones.
"""

import random
import re
from collections.abc import Callable, Sequence

from udfs.captions.tags import Token
from udfs.captions.tokens import tokenise

MAX_WORDS = 30
_TRIES = 20
_MARKS = re.compile(r'[.!"()*#:;~\s]+')

Words = list[tuple[str, str]]  # a word and its tag


def plain(caption: str) -> str:
    """Lower case, without the punctuation that ARO removes, at most 30 words."""
    return " ".join(_MARKS.sub(" ", caption.lower()).split()[:MAX_WORDS])


def spoilt(caption: str, seed: str) -> list[str]:
    """The shuffles of a caption that differ from it and from each other, in the order of ``KINDS``."""
    words = _words(tokenise(caption, ()))
    original, shuffles = plain(caption), []
    for kind, shuffle in KINDS.items():
        dice = random.Random(f"{seed}/{kind}")
        for _ in range(_TRIES):
            text = plain(" ".join(shuffle(words, dice)))
            # Split words ("man's" to "man 's") are not a changed order.
            if text.replace(" ", "") != original.replace(" ", "") and text not in shuffles:
                shuffles.append(text)
                break
    return shuffles


def _words(tokens: Sequence[Token]) -> Words:
    """Single words: the tagger has "next to" as one token."""
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
    """Shuffle nouns among nouns and adjectives among adjectives."""
    moved = _among(_among(words, _tagged(words, "N"), dice), _tagged(words, "A"), dice)
    return [word for word, _ in moved]


def _all_but_nouns_and_adjectives(words: Words, dice: random.Random) -> list[str]:
    fixed = set(_tagged(words, "NA"))
    return [word for word, _ in _among(words, [place for place in range(len(words)) if place not in fixed], dice)]


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
