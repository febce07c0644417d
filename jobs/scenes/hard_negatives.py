"""Hard negatives: a true sentence and a false one that differ in one detail, of the kinds that composition benchmarks use.

The kinds and their names are SugarCrepe's (Hsieh et al., 2023), with counts added. Edits change the content of a sentence rather
than its words, so both sentences have the same form and neither reads oddly. SugarCrepe adds something to the false sentence
only, so there the shorter one is right; here something is added to both. An edit does not decide what is true: ``truth.holds``
checks both sentences against the scene.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import TypeVar

from jobs.scenes.domain import Domain
from jobs.scenes.grammar import JOINS, RELATION_WORDS, Phrase, Tale
from jobs.scenes.scene import Scene
from jobs.scenes.vocabulary import words_of

OPPOSITE = {
    "left of": "right of", "right of": "left of", "above": "below", "below": "above",
    "in front of": "behind", "behind": "in front of",
}  # fmt: skip
_T = TypeVar("_T")
Pair = tuple[Tale, Tale]  # the true tale, and the false one
Edit = Callable[[Tale, Scene, Domain, Random], Pair | None]


def replace_object(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:
    """Replace a class by one that is not in the scene."""
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
    """Add a class to both: one that is in the scene and was not named, and one that is not in the scene.

    Sentences that name a ground are left out, as the added thing may not stand on it.
    """
    if tale.relation or tale.place or not tale.phrases:
        return None
    named = {label for phrase in tale.phrases for label in phrase.labels}
    present = _draw([label for label in domain.known if label in scene.labels and label not in named], random)
    absent = _draw(_absent(tale, scene, domain), random)
    if present is None or absent is None:
        return None
    true, false = (
        replace(tale, first=tale.phrases, second=(plain(label, domain),), join=JOINS[0]) for label in (present, absent)
    )
    return true, false


def plain(label: str, domain: Domain) -> Phrase:
    """The phrase for one thing of a class, with the class's first noun: "a cup"."""
    return Phrase((label,), label, words_of(domain).nouns[label][0])


def replace_attribute(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:
    """Replace a colour by one that no thing of the class has in the scene."""
    place = _draw([i for i, phrase in enumerate(tale.phrases) if phrase.certain and _colour(phrase)], random)
    false = (
        None if place is None else _recoloured(tale, place, _other_colours(tale.phrases[place], scene, domain), domain, random)
    )
    return (tale, false) if false else None


def add_attribute(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:
    """Add a colour to both, where none was named: one that the thing has, and one that no thing of its class has."""
    places = [
        i
        for i, phrase in enumerate(tale.phrases)
        if phrase.certain and not phrase.after and not _colour(phrase) and _shared_colours(phrase, scene, domain)
    ]
    if not places:
        return None
    # Two draws, which may be equal: the place of the colour must not give the false text away.
    true_place, false_place = random.choice(places), random.choice(places)
    true = _recoloured(tale, true_place, _shared_colours(tale.phrases[true_place], scene, domain), domain, random)
    false = _recoloured(tale, false_place, _other_colours(tale.phrases[false_place], scene, domain), domain, random)
    return (true, false) if true and false else None


def swap_attribute(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:
    """Swap the colours of two phrases."""
    coloured = [i for i, phrase in enumerate(tale.phrases) if phrase.certain and _colour(phrase)]
    pairs = [(i, j) for i in coloured for j in coloured if i < j and _colour(tale.phrases[i]) != _colour(tale.phrases[j])]
    pair = _draw(pairs, random)
    if pair is None:
        return None
    first, second = (tale.phrases[i] for i in pair)
    first_colour, second_colour = (next(a for a in phrase.adjectives if a[0] == "colour") for phrase in (first, second))
    if first_colour[1] not in domain.colours_of(second.name) or second_colour[1] not in domain.colours_of(first.name):
        return None
    return tale, _with(tale, {pair[0]: _painted(first, second_colour), pair[1]: _painted(second, first_colour)})


def replace_relation(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:  # noqa: ARG001 - an Edit
    """Replace a relation by its opposite."""
    if tale.relation not in OPPOSITE or not tale.second:
        return None
    other = OPPOSITE[tale.relation]
    trained = [words for words in RELATION_WORDS[other] if not words[1]]
    return tale, replace(tale, relation=other, relation_words=random.choice(trained))


def swap_object(tale: Tale, scene: Scene, domain: Domain, random: Random) -> Pair | None:  # noqa: ARG001 - an Edit
    """Swap the two sides of a relation."""
    if tale.relation not in (*OPPOSITE, "on") or len(tale.first) != 1 or len(tale.second) != 1:
        return None
    return tale, replace(tale, first=tale.second, second=tale.first)


def count(tale: Tale, actual: int, claimed: int, random: Random) -> Pair | None:
    """Name ``claimed`` things where there are ``actual``. Both are 2 or more, as "a cup" is true of two cups."""
    exact = [i for i, p in enumerate(tale.phrases) if p.certain and not p.number and p.item.count == actual]
    place = None if tale.relation else _draw(exact, random)
    if place is None:
        return None
    old = tale.phrases[place]
    return tale, _with(tale, {place: replace(old, labels=old.labels[:1] * claimed)})


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


def _colours_in_scene(phrase: Phrase, scene: Scene) -> set[str]:
    return {thing.colour for thing in scene.things if thing.label == phrase.name}


def _shared_colours(phrase: Phrase, scene: Scene, domain: Domain) -> list[str]:
    """Colours that are true of what a phrase names: of several things, only if they share it."""
    present, words = _colours_in_scene(phrase, scene), words_of(domain).colours
    return sorted(colour for colour in present if words[colour]) if len(present) == 1 or not phrase.is_plural else []


def _other_colours(phrase: Phrase, scene: Scene, domain: Domain) -> list[str]:
    """Colours that the class can have but no thing of it has in the scene."""
    present, words = _colours_in_scene(phrase, scene), words_of(domain).colours
    return [colour for colour in domain.colours_of(phrase.name) if colour not in present and words[colour]]


def _painted(phrase: Phrase, adjective: tuple[str, str, str]) -> Phrase:
    """The phrase in another colour. The colour comes after the size, as in captions."""
    others = [other for other in phrase.adjectives if other[0] != "colour"]
    at = sum(other[0] == "size" for other in others)
    return replace(phrase, adjectives=(*others[:at], adjective, *others[at:]))


def _colour(phrase: Phrase) -> str:
    return next((value for kind, value, _ in phrase.adjectives if kind == "colour"), "")


def _absent(tale: Tale, scene: Scene, domain: Domain, adjectives: Sequence[tuple[str, str, str]] = ()) -> list[str]:
    """Known classes that are in neither scene nor sentence, can have ``adjectives``, and can be where the sentence says."""
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


def _draw(options: Sequence[_T], random: Random) -> _T | None:
    return random.choice(options) if options else None
