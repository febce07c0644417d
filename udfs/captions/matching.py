"""Lexicon matching: a caption's words, the lexicon's terms among them, and the extent of their noun phrases.

Linear in the caption's length. Offsets index the unmodified str, so a phrase is always a slice of its caption; only the text of
a word is normalised. Anything between two words except a space, hyphen, slash, apostrophe, comma or ampersand separates them.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from udfs.captions.dictionary import parts_of_speech
from udfs.captions.vocabulary import Term, vocabulary

WORD = re.compile(r"[^\W_]+")
NEGATORS = frozenset({"no", "without", "zero", "lacking", "minus", "nor"})
REACH = 8  # most words that a noun phrase extends to the left of its head


class Word(NamedTuple):
    """A run of letters or digits. ``gap`` is what precedes it: " ", "-" (or "/"), "'", ",", "&", or "." for all else."""

    text: str  # NFKC, lower case
    start: int
    end: int
    gap: str
    capital: bool


@dataclass
class Match:
    """A term matched at words ``first`` to ``last``, with ``readings`` (label -> certain); ``start``: of its noun phrase."""

    first: int
    last: int
    term: Term
    readings: dict[str, bool]
    start: int = 0
    negated: bool = False

    @property
    def head(self) -> str:
        """The last word of the term."""
        return self.term.words[-1]


@dataclass
class Parse:
    """The analysis of a caption. ``owner``: word index -> the match that covers it."""

    words: list[Word]
    matches: list[Match] = field(default_factory=list)
    owner: dict[int, Match] = field(default_factory=dict)
    mentions: list[dict[str, Any]] = field(default_factory=list)

    @functools.cached_property
    def texts(self) -> frozenset[str]:
        """The distinct words."""
        return frozenset(word.text for word in self.words)

    def keep(self, matches: list[Match]) -> None:
        """Set the caption's matches."""
        self.matches = matches
        self.owner = {i: match for match in matches for i in range(match.first, match.last + 1)}

    def following(self, i: int) -> Word | None:
        """The word after word ``i``, if no punctuation separates them."""
        word = self.words[i + 1] if i + 1 < len(self.words) else None
        return word if word and word.gap in " -" else None


def split(caption: str) -> list[Word]:
    """The words of a caption, each with what separates it from the previous word."""
    words: list[Word] = []
    end = 0
    for match in WORD.finditer(caption):
        gap = caption[end : match.start()]
        end = match.end()
        text = unicodedata.normalize("NFKC", match[0]).lower()
        words.append(Word(text, match.start(), end, _joint(gap), match[0][:1].isupper()))
    return words


def _joint(gap: str) -> str:
    if gap.isspace():
        return " "
    core = gap.strip()
    if core in ("-", "\u2010", "\u2011", "/"):
        return "-"
    if gap[:1] in ("'", "\u2019", "`") and (core == gap or len(core) == 1):
        return "'"
    return core if core in (",", "&") else "."


def longest_matches(words: list[Word]) -> list[Match]:
    """Match lexicon terms left to right, longest match first."""
    terms = vocabulary().terms
    matches, i = [], 0
    while i < len(words):
        pair = tuple(word.text for word in words[i : i + 2])
        compound = next((term for term in terms.get(pair, ()) if _matches_at(term, words, i)), None)
        term = compound or next(iter(terms.get(pair[:1], ())), None)
        if term:
            size = len(term.words)
            matches.append(Match(i, i + size - 1, term, dict(term.readings), i))
            i += size - 1
        i += 1
    return matches


def _matches_at(term: Term, words: list[Word], i: int) -> bool:
    rest = words[i + 1 : i + len(term.words)]
    if len(rest) < len(term.words) - 1:
        return False
    return all(word.text == text and (word.gap in " -" or text == "s") for text, word in zip(term.words[1:], rest, strict=True))


def possessed_index(words: list[Word], last: int) -> int:
    """Index of the possessed noun ("dog's tail"); 0 if word ``last`` is not a possessor ("dog's barking")."""
    if last + 1 >= len(words) or words[last + 1].gap != "'":
        return 0
    owned = last + 2 if words[last + 1].text == "s" else last + 1 if words[last].text.endswith("s") else len(words)
    return owned if owned < len(words) and not words[owned].text.endswith("ing") else 0


def may_be_nominal(text: str) -> bool:
    """Whether a word may be a noun or an adjective; unknown words may."""
    if text in vocabulary()["stop"] or text.endswith(("ing", "ed")):
        return False
    tags = parts_of_speech(text)
    return not tags or "NOUN" in tags or "ADJ" in tags


def is_only_noun(text: str) -> bool:
    """Whether the dictionary knows a word as a noun only."""
    return text not in vocabulary()["stop"] and set(parts_of_speech(text)) == {"NOUN"}


def is_adjective(text: str) -> bool:
    """Whether a word is a colour or, by the dictionary, an adjective."""
    return text in vocabulary()["colours"] or "ADJ" in parts_of_speech(text)


def phrase_start(parse: Parse, match: Match) -> int:
    """Extend a match to the left over adjectives and measure words ("large group of"), up to but without the determiner.

    A possible verb or noun ("riding", "kitchen") belongs to the phrase only if a determiner precedes it.
    """
    words, lexicon = parse.words, vocabulary()
    start = i = match.first
    while i > 0 and match.first - i < REACH:
        text, gap = words[i - 1].text, words[i].gap
        if i - 1 in parse.owner or gap not in " -,&":
            break
        if text in lexicon["determiners"] or text.isdecimal():
            start = i
            break
        adjective = is_adjective(text) and not text.endswith(("ing", "ed"))
        joins = text == "and" and 1 < i < match.first and start == i and is_adjective(words[i - 2].text)
        if not joins:
            if text in lexicon["stop"] or text in NEGATORS or (gap == "," and not adjective):
                break
            if adjective and start in (i, i + 1) and (start == i or words[i].text == "and"):
                start = i - 1
        i -= 1
        if i == 0:
            start = 0
    return _measure_start(parse, start)


def _measure_start(parse: Parse, start: int) -> int:
    """Include a measure phrase ("group of", "large slices of") before word ``start``."""
    words, lexicon = parse.words, vocabulary()
    i = start - 1
    while i > 0 and start - i < 4 and words[i + 1].gap in " -":
        text = words[i].text
        if text == "of" and words[i - 1].text in lexicon["measures"] and i - 1 not in parse.owner and words[i].gap == " ":
            return _measure_start(parse, _adjectives_start(parse, i - 1))
        if text not in lexicon["determiners"] and text != "of":
            break
        i -= 1
    return start


def _adjectives_start(parse: Parse, start: int) -> int:
    words, lexicon = parse.words, vocabulary()
    function_words = lexicon["stop"] | lexicon["determiners"]
    while start > 0 and words[start].gap == " " and start - 1 not in parse.owner:
        text = words[start - 1].text
        if text in function_words or not is_adjective(text):
            break
        start -= 1
    return start
