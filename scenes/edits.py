"""One small change that makes a true sentence false, in the kinds that benchmarks of composition ask for.

The kinds and their names are SugarCrepe's (Hsieh et al., 2023), with counts added. They change what is to be said, not words, so
that both sentences have one form and neither is odd. Whether the changed one is false is not taken on trust: ``holds`` says.
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
Edit = Callable[[Tale, Scene, Domain, Random], Tale | None]


def replace_object(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Tale | None:
    """Another class, that is not in the scene, in place of one."""
    place = _draw([i for i, phrase in enumerate(tale.phrases) if phrase.certain and phrase.labels], random)
    if place is None:
        return None
    old = tale.phrases[place]
    label = _draw(_absent(tale, scene, domain, old.adjectives), random)
    if label is None:
        return None
    noun = words_of(domain).nouns[label][0]
    return _with(tale, {place: replace(old, labels=(label,) * len(old.labels), name=label, noun=noun)})


def add_object(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Tale | None:
    """One class more, that is not in the scene."""
    label = _draw(_absent(tale, scene, domain), random)
    if label is None or tale.relation or not tale.phrases:
        return None
    more = Phrase((label,), label, words_of(domain).nouns[label][0])
    first = tale.phrases
    return replace(tale, first=first, second=(more,), join=JOINS[0])


def replace_attribute(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Tale | None:
    """Another colour than that of any thing of the class in the scene."""
    return _coloured(tale, scene, domain, random, described=True)


def add_attribute(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Tale | None:
    """A colour that no thing of the class in the scene has, where none was said."""
    return _coloured(tale, scene, domain, random, described=False)


def swap_attribute(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Tale | None:
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
    return _with(tale, {pair[0]: _painted(one, words[1]), pair[1]: _painted(other, words[0])})


def replace_relation(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Tale | None:  # noqa: ARG001 - an Edit
    """The opposite relation."""
    if tale.relation not in OPPOSITE or not tale.second:
        return None
    other = OPPOSITE[tale.relation]
    words = [said for said in RELATION_WORDS[other] if not said[1]]
    return replace(tale, relation=other, relation_words=random.choice(words))


def swap_object(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Tale | None:  # noqa: ARG001 - an Edit
    """The two sides of a relation, exchanged."""
    if tale.relation not in (*OPPOSITE, "on") or len(tale.first) != 1 or len(tale.second) != 1:
        return None
    return replace(tale, first=tale.second, second=tale.first)


def count(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Tale | None:  # noqa: ARG001 - an Edit
    """Another number of things."""
    exact = [i for i, phrase in enumerate(tale.phrases) if phrase.certain and phrase.item.count > 0 and not phrase.number]
    place = _draw(exact, random)
    if place is None or tale.relation:
        return None
    old = tale.phrases[place]
    number = random.choice([n for n in (1, 2, 3, 4) if n != len(old.labels)])
    # One thing is there too where there are more: "a cup" of two cups is true.
    return _with(tale, {place: replace(old, labels=old.labels[:1] * number)}) if number > 1 else None


EDITS: dict[str, Edit] = {
    "replace-obj": replace_object, "replace-att": replace_attribute, "replace-rel": replace_relation,
    "swap-obj": swap_object, "swap-att": swap_attribute, "add-obj": add_object, "add-att": add_attribute, "count": count,
}  # fmt: skip


def _coloured(tale: Tale, scene: Scene, domain: Domain, random: Random, described: bool) -> Tale | None:
    said = words_of(domain).colours
    places = [
        i
        for i, phrase in enumerate(tale.phrases)
        if phrase.certain and bool(_colour(phrase)) == described and (described or not phrase.after)
    ]
    place = _draw(places, random)
    if place is None:
        return None
    old = tale.phrases[place]
    seen = {thing.colour for thing in scene.things if thing.label == old.name}
    colour = _draw([name for name in domain.colours_of(old.name) if name not in seen and said[name]], random)
    return _with(tale, {place: _painted(old, ("colour", colour, said[colour][0]))}) if colour else None


def _painted(phrase: Phrase, adjective: tuple[str, str, str]) -> Phrase:
    """The phrase in another colour; a colour that is new goes where captions have it, after the size."""
    others = [one for one in phrase.adjectives if one[0] != "colour"]
    at = sum(one[0] == "size" for one in others)
    return replace(phrase, adjectives=(*others[:at], adjective, *others[at:]))


def _colour(phrase: Phrase) -> str:
    return next((value for kind, value, _ in phrase.adjectives if kind == "colour"), "")


def _absent(tale: Tale, scene: Scene, domain: Domain, adjectives: Sequence[tuple[str, str, str]] = ()) -> list[str]:
    """Known classes that are neither in the scene nor in the sentence, and may look so."""
    taken = {*scene.labels, *(phrase.name for phrase in tale.phrases)}
    looks = {kind: value for kind, value, _ in adjectives}
    return [
        label
        for label in domain.known
        if label not in taken
        and looks.get("colour", domain.colours_of(label)[0]) in domain.colours_of(label)
        and looks.get("material", domain.materials_of(label)[0]) in domain.materials_of(label)
        and looks.get("size", domain.kinds[label].sizes[0]) in domain.kinds[label].sizes
    ]


def _with(tale: Tale, new: dict[int, Phrase]) -> Tale:
    phrases = [new.get(i, phrase) for i, phrase in enumerate(tale.phrases)]
    return replace(tale, first=tuple(phrases[: len(tale.first)]), second=tuple(phrases[len(tale.first) :]))


def _draw(some: Sequence[_T], random: Random) -> _T | None:
    return random.choice(some) if some else None
