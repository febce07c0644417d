"""A caption as what variants are made of: its chunks, with places in the text to put other words in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from udfs.lexicon import find_mentions
from udfs.rewrite_chunks import Chunk, chunk
from udfs.rewrite_realise import article
from udfs.rewrite_tags import Token
from udfs.rewrite_tokens import tokenise
from udfs.rewrite_words import PREPOSITIONS

Edit = tuple[int, int, str]  # text[start:end] becomes this


@dataclass(frozen=True)
class Variant:
    """A text, or why there is none: a short code."""

    text: str | None
    reason: str = "ok"


@dataclass(frozen=True)
class Known:
    """What is known besides a text.

    ``labels``: those that are, or may be, in the image; ``words``: all that its texts have; ``used``: labels and adjectives of
    the data set. Where there is a choice only these replace others: a word that no true caption has would give a negative away.
    """

    labels: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Caption:
    """A caption with its chunks; made once for all kinds of variants."""

    text: str
    chunks: tuple[Chunk, ...]

    @classmethod
    def of(cls, text: str) -> "Caption":
        """Read a caption."""
        text = text.strip()
        mentions = find_mentions(text)
        tokens = tokenise(text, [(m["start"], m["end"]) for m in mentions if m["certain"]])
        return cls(text, tuple(chunk(tokens, mentions)))

    @property
    def nouns(self) -> list[int]:
        """Places of the noun phrases that have a noun: no pronouns, no "one"."""
        return [i for i, piece in enumerate(self.chunks) if piece.kind == "NP" and piece.tokens[-1].tag == "N"]

    def words(self) -> list[Token]:
        """All tokens, in order."""
        return [token for piece in self.chunks for token in piece.tokens]


def many(phrase: Chunk) -> bool:
    """Whether a noun phrase is of several, by its first and last words; "a group of people" is one."""
    if phrase.tokens[0].low in ("a", "an", "one", "another", "this", "each"):
        return False
    return phrase.plural or (phrase.head.endswith("s") and not phrase.head.endswith("ss"))


def core(phrase: Chunk) -> tuple[int, int]:
    """A noun phrase without what counts or points: "two [red apples]", as offsets."""
    for token in phrase.tokens:
        if token.tag not in ("D", "S", "Q") and token.low not in PREPOSITIONS:
            return token.start, phrase.end
    return phrase.start, phrase.end


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The text with other words at some places, its articles and its first letter mended."""
    upper = text.isupper()
    first_up = next((c.isupper() for c in text if c.isalpha()), False)
    made, end = [], 0
    for start, stop, words in sorted(edits):
        made += [text[end:start], words]
        end = stop
    new = "".join(made) + text[end:]
    new = re.sub(r"\b([Aa])n? (?=([\w-]+))", _with_article, new)
    if upper:
        return new.upper()
    return new[:1].upper() + new[1:] if first_up and text[:1].isalpha() else new


def spoken(text: str, start: int, end: int) -> str:
    """A phrase as it is said inside a sentence: without the capital of its beginning."""
    phrase = text[start:end]
    at_start = not text[:start].strip() and not text.isupper()
    return phrase[:1].lower() + phrase[1:] if at_start else phrase


def _with_article(match: re.Match[str]) -> str:
    right = article(match.group(2))
    return (right.capitalize() if match.group(1) == "A" else right) + " "
