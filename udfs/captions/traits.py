"""What a phrase says of a thing that tells it from others of its class: sex and age, colour, size, the colour of clothes."""

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from udfs.captions.matching import Parse, is_adjective, may_be_nominal
from udfs.captions.mentions import parse_caption
from udfs.captions.vocabulary import vocabulary

PATH = Path(__file__).parent / "traits.yaml"
_PEOPLE = ("sex", "age")  # the traits that the phrase itself gives of people, and of all else
_THINGS = ("size", "colour")
_WORN = "worn"
_WEARING = frozenset({"in", "wearing", "wears"})
_REACH = 6  # words after "in" or "wearing" up to the garment

# Of a trait its values. A trait that is missing is not known.
Traits = Mapping[str, frozenset[str]]


def traits_of(caption: str, mention: Mapping[str, Any]) -> Traits:
    """The traits that a caption gives to what a mention refers to. ``mention``: with ``label``, ``start`` and ``end``."""
    words = [w.text for w in parse_caption(caption).words if w.start >= mention["start"] and w.end <= mention["end"]]
    found = {trait: _values(trait, words) for trait in (_PEOPLE if mention["label"] == "person" else _THINGS)}
    garment, colours = worn_colours(caption, mention)
    found[f"{_WORN} {garment}".strip()] = _values("colour", colours)
    return {trait: values for trait, values in found.items() if values}


def worn_colours(caption: str, mention: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The first garment that a person wears and its colours: of "a man in a red and white shirt" the shirt, red and white.

    The garment is empty for "a man in red". Garments are compared with their like: who has a black hat may have a white shirt.
    """
    if mention["label"] != "person":
        return "", []
    parse = parse_caption(caption)
    return _clothes(parse, next((i for i, word in enumerate(parse.words) if word.start >= mention["end"]), len(parse.words)))


def told_apart(first: Traits, second: Traits) -> bool:
    """Whether what has the one traits cannot be what has the other."""
    return any(values.isdisjoint(second[trait]) for trait, values in first.items() if trait in second)


def united(several: Iterable[Traits]) -> Traits:
    """The traits of a thing that several phrases stand for."""
    whole: dict[str, frozenset[str]] = {}
    for traits in several:
        for trait, values in traits.items():
            whole[trait] = whole.get(trait, frozenset()) | values
    return whole


def shared(several: Sequence[Traits]) -> Traits:
    """The traits that each of several things has, with the values of all."""
    known = set.intersection(*(set(traits) for traits in several))
    return {trait: frozenset().union(*(traits[trait] for traits in several)) for trait in sorted(known)}


def to_strings(traits: Traits) -> list[str]:
    """Traits as the tables have them: ``["age=adult", "sex=male"]``."""
    return sorted(f"{trait}={value}" for trait, values in traits.items() for value in values)


def from_strings(strings: Iterable[str]) -> Traits:
    """The opposite of ``to_strings``."""
    pairs = [text.partition("=") for text in strings]
    return united({trait: frozenset({value})} for trait, _, value in pairs)


@functools.cache
def _words() -> dict[str, dict[str, frozenset[str]]]:
    """Of each trait, of each word the values that it stands for."""
    index: dict[str, dict[str, frozenset[str]]] = {}
    for trait, values in yaml.safe_load(PATH.read_bytes()).items():
        of_trait = index.setdefault(trait, {})
        for value, words in values.items():
            for word in words.replace("\n", " ").split(","):
                of_trait[word.strip()] = of_trait.get(word.strip(), frozenset()) | {value}
    return index


def _values(trait: str, words: Collection[str]) -> frozenset[str]:
    known = _words()[trait]
    return frozenset().union(*(known[word] for word in words if word in known))


def _clothes(parse: Parse, start: int) -> tuple[str, list[str]]:
    """The first garment after word ``start``, if that says that something is worn, and its colours."""
    words, lexicon = parse.words, vocabulary()
    if start < len(words) and words[start].text == "dressed":
        start += 1
    if start >= len(words) or words[start].text not in _WEARING or words[start].gap != " ":
        return "", []
    colours: list[str] = []
    for i in range(start + 1, min(len(words), start + 1 + _REACH)):
        text, bare = words[i].text, bool(colours) and i == start + 1 + len(colours)
        if words[i].gap in " -," and text in _words()["colour"]:
            colours.append(text)
        elif words[i].gap in " -" and text in lexicon.worn.get("person", frozenset()):
            return text.removesuffix("s"), colours
        elif bare and (words[i].gap not in " -" or not may_be_nominal(text)):
            return "", colours  # "in red on a bench", but not "in white water"
        elif words[i].gap not in " -," or not (text in lexicon["determiners"] or text == "and" or is_adjective(text)):
            return "", []  # "in a red car"
    return "", colours if len(words) == start + 1 + len(colours) else []
