"""A true sentence and a false one that differ in one small thing, in the kinds that benchmarks of composition ask for.

The kinds and their names are SugarCrepe's (Hsieh et al., 2023), with counts added. They change what is to be said, not words, so
that both sentences have one form and neither is odd. Where SugarCrepe adds to the false sentence alone, and the shorter one is
right, here something is added to both. Whether a sentence is true or false is not taken on trust: ``holds`` says.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import TypeVar

from scenes.domain import Domain
from scenes.grammar import JOINS, RELATION_WORDS, Phrase, Tale
from scenes.scene import Scene
from scenes.words import words_of

OPPOSITE = {
    "left of": "right of", "right of": "left of", "above": "below", "below": "above",
    "in front of": "behind", "behind": "in front of",
}  # fmt: skip
_T = TypeVar("_T")
Pair = tuple[Tale, Tale]  # what is true, and what is not
Edit = Callable[[Tale, Scene, Domain, Random], Pair | None]


def replace_object(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:
    """Another class, that is not in the scene, in place of one."""
    place = _draw([i for i, phrase in enumerate(tale.phrases) if phrase.certain and phrase.labels], random)
    if place is None:
        return None
    old = tale.phrases[place]
    label = _draw(_absent(tale, scene, domain, old.adjectives), random)
    if label is None:
        return None
    noun = words_of(domain).nouns[label][0]
    return tale, _with(tale, {place: replace(old, labels=(label,) * len(old.labels), name=label, noun=noun)})


def add_object(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:
    """One class more in both: one that is there and was not said, and one that is not there.

    Not where a ground is said, on which what is added may not stand.
    """
    if tale.relation or tale.place or not tale.phrases:
        return None
    said = {label for phrase in tale.phrases for label in phrase.labels}
    there = _draw([label for label in domain.known if label in scene.labels and label not in said], random)
    label = _draw(_absent(tale, scene, domain), random)
    if there is None or label is None:
        return None
    true, false = (replace(tale, first=tale.phrases, second=(plain(one, domain),), join=JOINS[0]) for one in (there, label))
    return true, false


def plain(label: str, domain: Domain) -> Phrase:
    """One thing of a class, by the class's first noun: "a cup"."""
    return Phrase((label,), label, words_of(domain).nouns[label][0])


def replace_attribute(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:
    """Another colour than that of any thing of the class in the scene."""
    place = _draw([i for i, phrase in enumerate(tale.phrases) if phrase.certain and _colour(phrase)], random)
    false = (
        None if place is None else _recoloured(tale, place, _other_colours(tale.phrases[place], scene, domain), domain, random)
    )
    return (tale, false) if false else None


def add_attribute(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:
    """A colour more in both, where none was said: one that the thing has, and one that no thing of its class has."""
    places = [
        i
        for i, phrase in enumerate(tale.phrases)
        if phrase.certain and not phrase.after and not _colour(phrase) and _sayable(phrase, scene, domain)
    ]
    if not places:
        return None
    # Two places, which may be one: a text does not tell by where its colour is.
    one, other = random.choice(places), random.choice(places)
    true = _recoloured(tale, one, _sayable(tale.phrases[one], scene, domain), domain, random)
    false = _recoloured(tale, other, _other_colours(tale.phrases[other], scene, domain), domain, random)
    return (true, false) if true and false else None


def swap_attribute(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:
    """The colours of two phrases, exchanged."""
    coloured = [i for i, phrase in enumerate(tale.phrases) if phrase.certain and _colour(phrase)]
    pairs = [(i, j) for i in coloured for j in coloured if i < j and _colour(tale.phrases[i]) != _colour(tale.phrases[j])]
    pair = _draw(pairs, random)
    if pair is None:
        return None
    one, other = (tale.phrases[i] for i in pair)
    words = [next(a for a in phrase.adjectives if a[0] == "colour") for phrase in (one, other)]
    if words[0][1] not in domain.colours_of(other.name) or words[1][1] not in domain.colours_of(one.name):
        return None
    return tale, _with(tale, {pair[0]: _painted(one, words[1]), pair[1]: _painted(other, words[0])})


def replace_relation(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:  # noqa: ARG001 - an Edit
    """The opposite relation."""
    if tale.relation not in OPPOSITE or not tale.second:
        return None
    other = OPPOSITE[tale.relation]
    words = [said for said in RELATION_WORDS[other] if not said[1]]
    return tale, replace(tale, relation=other, relation_words=random.choice(words))


def swap_object(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:  # noqa: ARG001 - an Edit
    """The two sides of a relation, exchanged."""
    if tale.relation not in (*OPPOSITE, "on") or len(tale.first) != 1 or len(tale.second) != 1:
        return None
    return tale, replace(tale, first=tale.second, second=tale.first)


def count(tale: Tale, have: int, say: int, random: Random) -> Pair | None:
    """``say`` things where there are ``have``; of more than one, as "a cup" is true of two cups."""
    exact = [i for i, p in enumerate(tale.phrases) if p.certain and not p.number and p.item.count == have]
    place = None if tale.relation else _draw(exact, random)
    if place is None:
        return None
    old = tale.phrases[place]
    return tale, _with(tale, {place: replace(old, labels=old.labels[:1] * say)})


EDITS: dict[str, Edit] = {
    "replace-obj": replace_object, "replace-att": replace_attribute, "replace-rel": replace_relation,
    "swap-obj": swap_object, "swap-att": swap_attribute, "add-obj": add_object, "add-att": add_attribute,
}  # fmt: skip


def _recoloured(tale: Tale, place: int, colours: Sequence[str], domain: Domain, random: Random) -> Tale | None:
    colour = _draw(colours, random)
    if colour is None:
        return None
    adjective = ("colour", colour, words_of(domain).colours[colour][0])
    return _with(tale, {place: _painted(tale.phrases[place], adjective)})


def _seen(phrase: Phrase, scene: Scene) -> set[str]:
    return {thing.colour for thing in scene.things if thing.label == phrase.name}


def _sayable(phrase: Phrase, scene: Scene, domain: Domain) -> list[str]:
    """Colours that may be said of what a phrase names: of several things, if they share it."""
    seen, said = _seen(phrase, scene), words_of(domain).colours
    return sorted(colour for colour in seen if said[colour]) if len(seen) == 1 or not phrase.is_plural else []


def _other_colours(phrase: Phrase, scene: Scene, domain: Domain) -> list[str]:
    """Colours of the class that no thing of it has."""
    seen, said = _seen(phrase, scene), words_of(domain).colours
    return [colour for colour in domain.colours_of(phrase.name) if colour not in seen and said[colour]]


def _painted(phrase: Phrase, adjective: tuple[str, str, str]) -> Phrase:
    """The phrase in another colour; a colour that is new goes where captions have it, after the size."""
    others = [one for one in phrase.adjectives if one[0] != "colour"]
    at = sum(one[0] == "size" for one in others)
    return replace(phrase, adjectives=(*others[:at], adjective, *others[at:]))


def _colour(phrase: Phrase) -> str:
    return next((value for kind, value, _ in phrase.adjectives if kind == "colour"), "")


def _absent(tale: Tale, scene: Scene, domain: Domain, adjectives: Sequence[tuple[str, str, str]] = ()) -> list[str]:
    """Known classes that are neither in the scene nor in the sentence, may look so, and may be where the sentence says."""
    grounded = bool(tale.place) and domain.view == "ground"
    taken = {*scene.labels, *(phrase.name for phrase in tale.phrases)}
    looks = {kind: value for kind, value, _ in adjectives}
    return [
        label
        for label in domain.known
        if label not in taken
        and (not grounded or domain.kinds[label].place == "floor")
        and looks.get("colour", domain.colours_of(label)[0]) in domain.colours_of(label)
        and looks.get("material", domain.materials_of(label)[0]) in domain.materials_of(label)
        and looks.get("size", domain.kinds[label].sizes[0]) in domain.kinds[label].sizes
    ]


def _with(tale: Tale, new: dict[int, Phrase]) -> Tale:
    phrases = [new.get(i, phrase) for i, phrase in enumerate(tale.phrases)]
    return replace(tale, first=tuple(phrases[: len(tale.first)]), second=tuple(phrases[len(tale.first) :]))


def _draw(some: Sequence[_T], random: Random) -> _T | None:
    return random.choice(some) if some else None
