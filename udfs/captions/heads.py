"""The head of a noun phrase that stands alone, as data sets with phrase boxes give them: what the phrase is a phrase for.

A caption names things in passing ("a bus window" names a bus); a box belongs to the head alone, here to the window.
"""

import re
from dataclasses import dataclass

from udfs.captions.dictionary import parts_of_speech
from udfs.captions.matching import Match, Parse, is_adjective, possessed_index
from udfs.captions.mentions import parse_caption
from udfs.captions.vocabulary import vocabulary

_JOINS = frozenset({"and", "or"})
_APART = re.compile(r"\s+(?=['\u2019](?:s\b|\s))")  # data sets with phrase boxes are cut into tokens: "a dog 's tail"


@dataclass(frozen=True)
class Head:
    """What a phrase is about.

    ``text``: the head as words, lower case ("tail" of "a dog's tail"); empty where the phrase has no noun. ``label``: the class
    of the lexicon that it surely names; None where the lexicon does not know, or where heads that are joined ("a man and his
    dog") name different classes. ``count``: the smallest number of things that the phrase states, 1 or more.
    """

    text: str
    label: str | None
    count: int = 1


def head_of(phrase: str) -> Head:
    """Read the head of a noun phrase with the selected lexicon. Linear in the phrase's length."""
    from udfs.captions.lexicon import count_named

    phrase = _APART.sub("", phrase)
    parse = parse_caption(phrase)
    heads = _heads(parse)
    if not heads:
        return Head("", None)
    labels = {_label(parse, place) for place in heads}
    first, last = heads[0]
    text = " ".join(word.text for word in parse.words[first : last + 1])
    label = labels.pop() if len(labels) == 1 else None
    if label is None:
        return Head(text, None)
    ends = {parse.words[last].end for _, last in heads}
    counts = [count_named(phrase, mention) for mention in parse.mentions if mention["end"] in ends and mention["label"] == label]
    return Head(text, label, max(1, sum(counts)))


def _heads(parse: Parse) -> list[tuple[int, int]]:
    """First and last word of the head, or of each of several that "and" joins."""
    lexicon, words = vocabulary(), parse.words
    quantities = lexicon["measures"], lexicon["determiners"], lexicon.numbers
    heads: list[tuple[int, int]] = []
    i = 0
    while i < len(words):
        match = parse.owner.get(i)
        last = match.last if match else i
        text = words[last].text
        if owned := possessed_index(words, last):
            i = owned  # "a dog's tail" is a tail
            continue
        following = words[last + 1].text if last + 1 < len(words) else ""
        names = match is not None and any(match.readings.values())
        if following == "of" and not names and any(text in listed for listed in quantities):
            i = last + 2  # "a group of people"
            continue
        if _ends(parse, last, following, match):
            heads.append((i, last))
            if following not in _JOINS and (last + 1 >= len(words) or words[last + 1].gap != ","):
                break  # what comes after the head ("in a hat") describes it
        i = last + 1
    return heads


def _ends(parse: Parse, last: int, following: str, match: Match | None) -> bool:
    """Whether a noun phrase ends with word ``last``: a noun, and no noun after it."""
    lexicon, words = vocabulary(), parse.words
    text = words[last].text
    at_end = not following
    if match is None and (text in lexicon["stop"] or text in lexicon["determiners"] or text in lexicon.numbers):
        return False
    tags = parts_of_speech(text)
    if match is None and tags and "NOUN" not in tags and not at_end:
        return False
    if at_end:
        return True
    broken = words[last + 1].gap not in " -"
    if match is None and (broken or following in _JOINS):
        # "a small, brown dog" and "a black and white dog" go on; most adjectives are in the dictionary as nouns, too.
        return not is_adjective(text)
    if following.endswith("ing") and last + 2 < len(words) and words[last + 2].text in lexicon["determiners"]:
        return True  # "a man wearing a hat"
    return broken or (following in lexicon["stop"] and following not in lexicon["determiners"])


def _label(parse: Parse, place: tuple[int, int]) -> str | None:
    match = parse.owner.get(place[1])
    sure = [label for label, certain in match.readings.items() if certain] if match and not match.negated else []
    return sure[0] if len(sure) == 1 else None
