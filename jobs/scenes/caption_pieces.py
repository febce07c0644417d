"""Cut a caption about a scene into its pieces: things, relations, places, and the small words between them."""

from collections.abc import Iterator
from dataclasses import dataclass

from jobs.scenes.vocabulary import Vocabulary, tokens

MANY = -1  # two or more, without a number: "some cups"
ANY = "*"


@dataclass(frozen=True, order=True)
class Item:
    """The things that one phrase names. ``label``: a class, "@fruit" for a word for several classes, "*" for any thing."""

    label: str
    count: int = 1  # 0: the text denies it ("no cup"); MANY: two or more
    colour: str = ""
    material: str = ""
    size: str = ""


@dataclass(frozen=True)
class Piece:
    """A piece of a caption.

    ``kind``: thing, relation, place, pronoun, and, with, only, verb, view, stop, or unknown. ``text``: the label, the name of
    the relation or ground, or else the word itself.
    """

    kind: str
    text: str
    item: Item | None = None


RELATIONS = {
    "to the left of": "left of",
    "left of": "left of",
    "on the left side of": "left of",
    "on the left of": "left of",
    "at the left of": "left of",
    "to the right of": "right of",
    "right of": "right of",
    "on the right side of": "right of",
    "on the right of": "right of",
    "at the right of": "right of",
    "in front of": "in front of",
    "behind": "behind",
    "in back of": "behind",
    "on top of": "on",
    "atop": "on",
    "on": "on",
    "above": "above",
    "over": "above",
    "below": "below",
    "under": "below",
    "underneath": "below",
    "beneath": "below",
    "next to": "next to",
    "beside": "next to",
    "near": "next to",
    "close to": "next to",
    "by": "next to",
    "touching": "touching",
    "touches": "touching",
}
_NUMBERS = {
    **{"a": 1, "an": 1, "one": 1, "a single": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6},
    **{"seven": 7, "eight": 8},
    **{"a pair of": 2, "a couple of": 2, "couple of": 2, "pair of": 2},
    **{"some": MANY, "several": MANY, "a few": MANY, "multiple": MANY, "many": MANY, "a group of": MANY, "a number of": MANY},
    **{"no": 0, "without": 0, "without a": 0, "without an": 0, "without any": 0},
}
_KINDS = {
    "view": "a photo of|a picture of|an image of|a photograph of|a view of|a close up of|a closeup of|a shot of|photo of"
    "|picture of|image of|photograph of|view of|close up of|closeup of|shot of|this picture shows|this photo shows"
    "|this image shows|the picture shows|the photo shows|the image shows",
    "and": "and|,|&",
    "with": "with|along with|as well as|together with|in addition to|while",
    "only": "only|just|alone|nothing but|nothing else",
    "verb": "is|are|there is|there are|there's|here is|here are|can be seen|that is|that are|which is|which are|sits|sit"
    "|stands|stand|rests|rest|lies|lie|sitting|standing|resting|lying|laying|placed|also|that sits|that sit",
    "pronoun": "it|them|they",
    "stop": ".|!|?|;",
}
_TABLE = {tokens(word): (kind, word) for kind, text in _KINDS.items() for word in text.split("|")}
_TABLE |= {tokens(word): ("relation", name) for word, name in RELATIONS.items()}
_COUNTS = {tokens(word): count for word, count in _NUMBERS.items()}
_LONGEST = 5  # tokens of the longest expression


def pieces(text: str, vocabulary: Vocabulary) -> Iterator[Piece]:
    """Cut a text into pieces; every token is in exactly one of them."""
    sequence = tokens(text)
    i = 0
    while i < len(sequence):
        unknown = (1, Piece("unknown", sequence[i]))
        known = (
            _place(sequence, i, vocabulary) or _small(sequence, i, 2) or _thing(sequence, i, vocabulary) or _small(sequence, i, 1)
        )
        size, piece = known or unknown
        yield piece
        i += size


def _place(sequence: tuple[str, ...], i: int, vocabulary: Vocabulary) -> tuple[int, Piece] | None:
    """ "On the grass", "the grass"."""
    j = i + (sequence[i] in ("on", "in", "at", "upon", "across"))
    j += j < len(sequence) and sequence[j] in ("the", "a", "an", "some")
    for size in range(_LONGEST, 0, -1):
        name = vocabulary.places.get(sequence[j : j + size])
        # "a wooden floor lamp" is not a floor
        if name and sequence[j : j + size] not in vocabulary.forms:
            return j + size - i, Piece("place", name)
    return None


def _small(sequence: tuple[str, ...], i: int, least: int) -> tuple[int, Piece] | None:
    """The longest known expression of at least ``least`` tokens."""
    for size in range(_LONGEST, least - 1, -1):
        if known := _TABLE.get(sequence[i : i + size]):
            return size, Piece(*known)
    return None


def _thing(sequence: tuple[str, ...], i: int, vocabulary: Vocabulary) -> tuple[int, Piece] | None:
    """A noun phrase: number or article, adjectives, noun. As many adjectives as possible, then the longest noun."""
    for size in range(3, -1, -1):
        number = _COUNTS.get(sequence[i : i + size]) if size else None
        if size and number is None:
            continue
        start = i + size
        start += sequence[start : start + 1] in (("the",), ("this",), ("these",))
        if phrase := _described(sequence, start, vocabulary):
            end, (label, is_plural), adjectives = phrase
            count = number if number is not None else MANY if is_plural else 1
            if number is not None and number > 0 and (number > 1) != is_plural:
                return end - i, Piece("unknown", " ".join(sequence[i:end]))
            tail, more = _tail(sequence, end, vocabulary, is_plural)
            if not set(more) & set(adjectives):
                end, adjectives = end + tail, adjectives | more
            return end - i, Piece("thing", label, Item(label, count, **adjectives))
    return None


def _tail(sequence: tuple[str, ...], i: int, vocabulary: Vocabulary, is_plural: bool) -> tuple[int, dict[str, str]]:
    """ "... that is red": its number of tokens, and its adjectives.

    Nothing, 0 tokens, where a noun follows or the verb does not agree with the noun.
    """
    if sequence[i : i + 2] not in (("that", verb := "are" if is_plural else "is"), ("which", verb)):
        return 0, {}
    for size in (3, 2, 1):
        known = vocabulary.adjectives.get(sequence[i + 2 : i + 2 + size])
        if known and not _described(sequence, i + 2 + size, vocabulary):
            return 2 + size, dict([known])
    return 0, {}


def _described(sequence: tuple[str, ...], i: int, vocabulary: Vocabulary) -> tuple[int, tuple[str, bool], dict[str, str]] | None:
    ends, adjectives = [i], [dict[str, str]()]
    while True:
        at = ends[-1]
        known = next((n for n in (3, 2, 1) if sequence[at : at + n] in vocabulary.adjectives), 0)
        if not known:
            break
        kind, name = vocabulary.adjectives[sequence[at : at + known]]
        if kind in adjectives[-1]:
            break  # two colours of one thing: not a phrase that this parser knows
        adjectives.append(adjectives[-1] | {kind: name})
        ends.append(at + known)
    for end, described in zip(ends[::-1], adjectives[::-1], strict=True):
        for size in range(_LONGEST, 0, -1):
            if form := vocabulary.forms.get(sequence[end : end + size]):
                return end + size, form, described
    return None
