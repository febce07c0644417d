"""A caption as words, the lexicon's terms in it, and how far their noun phrases reach. Linear in the caption's length.

Offsets are indices of the Python str as it is, so that a phrase is always a slice of its caption; only the words' own text is
normalised. Anything between two words other than a space, hyphen, slash, apostrophe, comma or ampersand separates them.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from udfs.vocabulary import Term, vocabulary

WORD = re.compile(r"[^\W_]+")
NEGATORS = frozenset({"no", "without", "zero", "lacking", "minus", "nor"})
REACH = 8  # words that a noun phrase may extend to the left of its head


class Word(NamedTuple):
    """A run of letters or digits. ``gap`` joins it to the word before: " ", "-" (or "/"), "'", ",", "&", or "." for all else."""

    text: str  # NFKC, lower case
    start: int
    end: int
    gap: str
    capital: bool


@dataclass
class Match:
    """A term at words ``first`` to ``last``; ``readings`` are label -> certain; the noun phrase begins at word ``start``."""

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
    """All that is known of a caption. ``owner``: which match a word belongs to."""

    words: list[Word]
    matches: list[Match] = field(default_factory=list)
    owner: dict[int, Match] = field(default_factory=dict)
    mentions: list[dict[str, Any]] = field(default_factory=list)

    @functools.cached_property
    def texts(self) -> frozenset[str]:
        """The distinct words."""
        return frozenset(word.text for word in self.words)

    def keep(self, matches: list[Match]) -> None:
        """Take ``matches`` as the caption's."""
        self.matches = matches
        self.owner = {i: match for match in matches for i in range(match.first, match.last + 1)}

    def following(self, i: int) -> Word | None:
        """The word after word ``i`` without punctuation between."""
        word = self.words[i + 1] if i + 1 < len(self.words) else None
        return word if word and word.gap in " -" else None


def split(caption: str) -> list[Word]:
    """The words of a caption, with what joins each to the one before."""
    words: list[Word] = []
    end = 0
    for found in WORD.finditer(caption):
        gap = caption[end : found.start()]
        end = found.end()
        text = unicodedata.normalize("NFKC", found[0]).lower()
        words.append(Word(text, found.start(), end, _joint(gap), found[0][:1].isupper()))
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
    """The lexicon's terms in the words, left to right, the longest that fits at each place."""
    terms = vocabulary().terms
    matches, i = [], 0
    while i < len(words):
        pair = tuple(word.text for word in words[i : i + 2])
        several = next((term for term in terms.get(pair, ()) if _fits(term, words, i)), None)
        term = several or next(iter(terms.get(pair[:1], ())), None)
        if term:
            size = len(term.words)
            matches.append(Match(i, i + size - 1, term, dict(term.readings), i))
            i += size - 1
        i += 1
    return matches


def _fits(term: Term, words: list[Word], i: int) -> bool:
    rest = words[i + 1 : i + len(term.words)]
    if len(rest) < len(term.words) - 1:
        return False
    return all(word.text == text and (word.gap in " -" or text == "s") for text, word in zip(term.words[1:], rest, strict=True))


def possessed(words: list[Word], last: int) -> int:
    """The index of the word that is owned ("dog's tail"), 0 if word ``last`` owns nothing ("dog's barking")."""
    if last + 1 >= len(words) or words[last + 1].gap != "'":
        return 0
    owned = last + 2 if words[last + 1].text == "s" else last + 1 if words[last].text.endswith("s") else len(words)
    return owned if owned < len(words) and not words[owned].text.endswith("ing") else 0


@functools.lru_cache(maxsize=65536)
def parts_of_speech(word: str) -> dict[str, tuple[str, ...]]:
    """A form's parts of speech by dictionary, each with its lemmas: {"NOUN": ("dog",)}. Empty for an unknown word."""
    import lemminflect  # its tables take most of a second to load

    return dict(lemminflect.getAllLemmas(word))


def loose_noun(text: str) -> bool:
    """Whether a word may be a noun or adjective where one is expected."""
    if text in vocabulary()["stop"] or text.endswith(("ing", "ed")):
        return False
    tags = parts_of_speech(text)
    return not tags or "NOUN" in tags or "ADJ" in tags


def clean_noun(text: str) -> bool:
    """Whether a word is a noun and nothing else."""
    return text not in vocabulary()["stop"] and set(parts_of_speech(text)) == {"NOUN"}


def is_adjective(text: str) -> bool:
    """Whether a word is a colour or an adjective of the dictionary."""
    return text in vocabulary()["colours"] or "ADJ" in parts_of_speech(text)


def phrase_start(parse: Parse, match: Match) -> int:
    """Extend a match to the left over its adjectives and measure words ("large group of"), and stop after the article or number.

    What may be a verb or a noun of its own ("riding", "kitchen") belongs to the phrase only if a determiner stands before it.
    """
    words, known = parse.words, vocabulary()
    start = i = match.first
    while i > 0 and match.first - i < REACH:
        text, joint = words[i - 1].text, words[i].gap
        if i - 1 in parse.owner or joint not in " -,&":
            break
        if text in known["determiners"] or text.isdecimal():
            start = i
            break
        firm = is_adjective(text) and not text.endswith(("ing", "ed"))
        joins = text == "and" and 1 < i < match.first and start == i and is_adjective(words[i - 2].text)
        if not joins:
            if text in known["stop"] or text in NEGATORS or (joint == "," and not firm):
                break
            if firm and start in (i, i + 1) and (start == i or words[i].text == "and"):
                start = i - 1
        i -= 1
        if i == 0:
            start = 0
    return _measure_start(parse, start)


def _measure_start(parse: Parse, start: int) -> int:
    """Take in "group of", "large slices of" before a phrase that starts at word ``start``."""
    words, known = parse.words, vocabulary()
    i = start - 1
    while i > 0 and start - i < 4 and words[i + 1].gap in " -":
        text = words[i].text
        if text == "of" and words[i - 1].text in known["measures"] and i - 1 not in parse.owner and words[i].gap == " ":
            return _measure_start(parse, _adjectives_start(parse, i - 1))
        if text not in known["determiners"] and text != "of":
            break
        i -= 1
    return start


def _adjectives_start(parse: Parse, start: int) -> int:
    words, known = parse.words, vocabulary()
    small = known["stop"] | known["determiners"]
    while start > 0 and words[start].gap == " " and start - 1 not in parse.owner:
        text = words[start - 1].text
        if text in small or not is_adjective(text):
            break
        start -= 1
    return start
