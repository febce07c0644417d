"""Chunking: tagged tokens become noun phrases, verb groups, prepositions and the function words between them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from udfs.captions import word_lists
from udfs.captions.dictionary import parts_of_speech, verb_lemma
from udfs.captions.tags import Token

Mention = dict[str, Any]


@dataclass
class Chunk:
    """A run of adjacent tokens. ``kind``: NP, V, I, C (and, comma), B, W, L (there is), R (adverb, adjective), ``.``."""

    kind: str
    tokens: list[Token]
    mentions: list[Mention] = field(default_factory=list)

    @property
    def start(self) -> int:
        """Character offset of the first token."""
        return self.tokens[0].start

    @property
    def end(self) -> int:
        """Character offset after the last token."""
        return self.tokens[-1].end

    @property
    def low(self) -> str:
        """The tokens in lower case, joined by spaces."""
        return " ".join(token.low for token in self.tokens)

    @property
    def head(self) -> str:
        """A noun phrase's last noun, a verb group's main verb, in lower case."""
        if self.kind == "V":
            main = [t for t in self.tokens if t.tag in "VGE"]
            return (main or [t for t in self.tokens if t.tag == "X"] or self.tokens)[-1].low
        return self.tokens[-1].low

    @property
    def lemma(self) -> str:
        """The main verb's lemma; ``be`` for a bare copula."""
        return "be" if self.head in word_lists.BE else (verb_lemma(self.head) or self.head)

    @property
    def finite(self) -> bool:
        """Whether a verb group is finite. A finite verb turns a fragment into a clause."""
        return (
            self.kind == "V"
            and any(t.tag in "VX" for t in self.tokens)
            and self.tokens[0].tag not in "GET"
            and self.tokens[0].low != "being"
        )

    @property
    def plural(self) -> bool:
        """Whether a noun phrase takes a plural verb, judged by its tokens alone."""
        lows = [t.low for t in self.tokens]
        if any(low in word_lists.PLURAL_QUANTIFIERS for low in lows[:2]):
            return True
        if lows[0] in ("a", "an", "one", "this", "each", "another") and "of" not in lows:
            return False
        return is_plural(self.head)


def is_plural(noun: str) -> bool:
    """Whether a noun in lower case has a plural form."""
    if noun in ("people", "men", "women", "children", "sheep", "scissors", "pants", "skis", "glasses"):
        return True
    parts = parts_of_speech(noun)
    if not parts:
        # The dictionary does not know the word.
        return noun.endswith("s") and not noun.endswith(("ss", "us", "is"))
    return noun.endswith("s") and not noun.endswith("ss") and parts.get("NOUN", (noun,))[0] != noun


def chunk(tokens: Sequence[Token], mentions: Sequence[Mention]) -> list[Chunk]:
    """Group tokens into chunks. Each mention is attached to the noun phrase that contains its last token."""
    chunks: list[Chunk] = []
    i = 0
    while i < len(tokens):
        size = _noun_phrase(tokens, i)
        if size:
            size = _with_measure(tokens, i, size)
            chunks.append(Chunk("NP", list(tokens[i : i + size])))
            i += size
            continue
        size = _verb_group(tokens, i)
        if size:
            chunks.append(Chunk("V", list(tokens[i : i + size])))
            i += size
            continue
        i += _short_chunk(tokens, i, chunks)
    for mention in mentions:
        for piece in chunks:
            if piece.kind == "NP" and piece.start < mention["end"] <= piece.end:
                piece.mentions.append(mention)
    return chunks


def _noun_phrase(tokens: Sequence[Token], i: int) -> int:
    """Number of tokens in the noun phrase that starts at ``i``; 0 if none starts there."""
    if tokens[i].tag == "P":
        return 1
    j = i
    last = 0  # one past the last noun
    while j < len(tokens):
        tag = tokens[j].tag
        after = tokens[j + 1].tag if j + 1 < len(tokens) else "$"
        if tag == "N" or (tag == "P" and after == "'s"):
            last = j + 1
        elif tag == "'s":
            last = 0
        elif tag in ("D", "S"):
            if last or (j > i and tokens[j - 1].tag not in ("D", "Q")):
                break
        elif tag == "Q":
            if last:
                break
        elif tag == "A":
            if last and after not in ("N", "A"):
                break
        elif tag == "R":
            mistagged = after == "N" and tokens[j].low.endswith("ly") and j > i and tokens[j - 1].tag == "D"
            if last or not (after in ("A", "Q", "E") or mistagged):
                break
        elif tag == "E":
            listed = after in (",", "C") and _inner_conjunction(tokens, i, j + 1, last)
            if not (after in ("N", "A") or listed) or j == i or tokens[j - 1].tag == "P":
                break
        elif not (tag in ("C", ",") and _inner_conjunction(tokens, i, j, last)):
            break
        j += 1
    if last:
        return last - i
    # "one", "another", "the two": a determiner or number used as a noun.
    if tokens[i].tag == "D" and j > i + 1 and tokens[j - 1].tag in "AQ":
        return j - i
    if tokens[i].tag in ("Q", "D") and tokens[i].low not in ("the", "a", "an", "every"):
        return 2 if i + 1 < len(tokens) and tokens[i + 1].tag == "Q" else 1
    return 0


def _inner_conjunction(tokens: Sequence[Token], start: int, j: int, last: int) -> bool:
    """Whether a conjunction joins adjectives within one noun phrase, as in "black and white cat"."""
    if last or j == start or tokens[j - 1].tag not in ("A", "Q", "E"):
        return False
    k = j + 1
    while k < len(tokens) and tokens[k].tag in ("A", ",", "C", "R"):
        k += 1
    return (k > j + 1 or tokens[start].tag == "D") and k < len(tokens) and tokens[k].tag == "N"


def _with_measure(tokens: Sequence[Token], i: int, size: int) -> int:
    """Extend "a group" by "of people": the measured noun is the head."""
    head = tokens[i + size - 1]
    following = i + size
    if (
        head.low in word_lists.MEASURES
        and following < len(tokens)
        and tokens[following].low == "of"
        and following + 1 < len(tokens)
    ):
        complement = _noun_phrase(tokens, following + 1)
        if complement:
            return _with_measure(tokens, i, size + 1 + complement)
    return size


def _verb_group(tokens: Sequence[Token], i: int) -> int:
    j = i
    while j < len(tokens) and tokens[j].tag == "R":
        j += 1
    if j >= len(tokens) or tokens[j].tag not in ("X", "V", "G", "E", "T"):
        return 0
    main = False
    while j < len(tokens):
        tag, before = tokens[j].tag, tokens[j - 1] if j > i else None
        after = tokens[j + 1].tag if j + 1 < len(tokens) else "$"
        starts = before is None or before.tag in ("X", "R", "T") or (before.tag == "A" and tag == "T")
        catenative = before is not None and verb_lemma(before.low) in (
            "go",
            "start",
            "begin",
            "keep",
            "come",
            "get",
            "try",
            "enjoy",
        )
        if tag == "X":
            if main and not (before and before.tag == "T"):
                break
            main = False
        elif tag in "VGE":
            if main and not catenative and not (before and before.tag == "T"):
                break
            main = main or starts or catenative
        elif tag == "T":
            if after != "V" and after != "X" and after != "R":
                break
        elif tag == "A":
            if after != "T":
                break
        elif tag != "R":
            break
        j += 1
    return j - i


def _short_chunk(tokens: Sequence[Token], i: int, chunks: list[Chunk]) -> int:
    tag = tokens[i].tag
    j = i + 1
    if tag in ("C", ","):
        while j < len(tokens) and tokens[j].tag in ("C", ","):
            j += 1
        chunks.append(Chunk("C", list(tokens[i:j])))
    elif tag == "L":
        while j < len(tokens) and (tokens[j].tag in ("X", "R", "T", "V")):
            j += 1
        chunks.append(Chunk("L", list(tokens[i:j])))
    elif tag in ("I", "B", "W", "."):
        chunks.append(Chunk(tag, [tokens[i]]))
    else:
        chunks.append(Chunk("R", [tokens[i]]))
    return j - i
