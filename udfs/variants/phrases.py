"""A caption as chunks with character offsets, and edits of its text: the basis of all variants by rules."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from udfs.captions.chunks import Chunk, chunk
from udfs.captions.lexicon import find_mentions
from udfs.captions.tags import Token
from udfs.captions.tokens import tokenise
from udfs.captions.word_lists import PREPOSITIONS
from udfs.rewrite.realise import article

Edit = tuple[int, int, str]  # (start, end, replacement of text[start:end])


@dataclass(frozen=True)
class Variant:
    """A text, or a short reason code for having none."""

    text: str | None
    reason: str = "ok"


@dataclass(frozen=True)
class Known:
    """What is known about an image besides the text.

    ``labels``: those that are, or may be, in the image; ``words``: all words of its texts; ``used``: labels and adjectives of the
    data set. Replacements come from ``used`` if possible: a word that no true caption uses would give a negative away.
    """

    labels: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Caption:
    """A caption with its chunks, parsed once for all kinds of variants."""

    text: str
    chunks: tuple[Chunk, ...]

    @classmethod
    def of(cls, text: str) -> "Caption":
        """Parse a caption."""
        text = text.strip()
        mentions = find_mentions(text)
        tokens = tokenise(text, [(m["start"], m["end"]) for m in mentions if m["certain"]])
        return cls(text, tuple(chunk(tokens, mentions)))

    @property
    def nouns(self) -> list[int]:
        """Chunk indices of the noun phrases with a noun as head: no pronouns, no "one"."""
        return [i for i, piece in enumerate(self.chunks) if piece.kind == "NP" and piece.tokens[-1].tag == "N"]

    def tokens(self) -> list[Token]:
        """All tokens, in order."""
        return [token for piece in self.chunks for token in piece.tokens]


def is_plural_phrase(phrase: Chunk) -> bool:
    """Whether a noun phrase is plural, judged by its first and last tokens; "a group of people" is singular."""
    if phrase.tokens[0].low in ("a", "an", "one", "another", "this", "each"):
        return False
    return phrase.plural or (phrase.head.endswith("s") and not phrase.head.endswith("ss"))


def core(phrase: Chunk) -> tuple[int, int]:
    """The span of a noun phrase without determiners and numerals: "two [red apples]"."""
    for token in phrase.tokens:
        if token.tag not in ("D", "S", "Q") and token.low not in PREPOSITIONS:
            return token.start, phrase.end
    return phrase.start, phrase.end


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The text with ``edits`` applied and its articles and first letter corrected."""
    upper = text.isupper()
    first_up = next((c.isupper() for c in text if c.isalpha()), False)
    pieces, end = [], 0
    for start, stop, words in sorted(edits):
        pieces += [text[end:start], words]
        end = stop
    new = "".join(pieces) + text[end:]
    new = re.sub(r"\b([Aa])n? (?=([\w-]+))", _with_article, new)
    if upper:
        return new.upper()
    return new[:1].upper() + new[1:] if first_up and text[:1].isalpha() else new


def uncapitalised(text: str, start: int, end: int) -> str:
    """A phrase as inside a sentence: without the capital of the sentence's first letter."""
    phrase = text[start:end]
    at_start = not text[:start].strip() and not text.isupper()
    return phrase[:1].lower() + phrase[1:] if at_start else phrase


def _with_article(match: re.Match[str]) -> str:
    right = article(match.group(2))
    return (right.capitalize() if match.group(1) == "A" else right) + " "
