"""The questions of the scene benchmarks: one maker for each group, which turns a scene and its captions into an item.

Makers draw from ``Source.random`` alone, so the same source gives the same item. ``benchmark`` has the table of groups, and says
what each of them asks.
"""

import functools
from collections import Counter
from dataclasses import dataclass, replace
from random import Random

from jobs.scenes import domain as domains
from jobs.scenes.captions import Caption
from jobs.scenes.domain import Domain
from jobs.scenes.grammar import FRAMES, JOINS, RELATION_WORDS, Phrase, Tale, realise, without
from jobs.scenes.hard_negatives import EDITS, Pair, count, plain
from jobs.scenes.relations import relations
from jobs.scenes.render import masks
from jobs.scenes.scene import Scene, Thing
from jobs.scenes.truth import holds
from jobs.scenes.vocabulary import words_of

LIKE_AREA = 1.25  # largest ratio of two areas that count as equal
COUNTED = ((2, 3), (3, 2))  # (things in the scene, things that the false text claims)
Picture = tuple[Scene, frozenset[str]]  # a scene, and the labels removed from it


@dataclass(frozen=True)
class Item:
    """One question. Its ``pictures`` are rendered when the item is written."""

    group: str
    rule: str
    pictures: tuple[Picture, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """What an item is made from."""

    group: str
    turn: int  # items that the group has so far, for groups that alternate between two kinds
    scene: Scene
    domain: Domain
    captions: list[Caption]  # true ones of the scene
    random: Random

    def shuffled(self) -> list[Caption]:
        """The captions in random order."""
        return self.random.sample(self.captions, len(self.captions))

    def choice(self, pair: Pair | None) -> Item | None:
        """The item of a true and a false text; None if the scene does not make them so."""
        if pair is None:
            return None
        true, false = (holds(tale.meaning, self.scene, self.domain) for tale in pair)
        texts = tuple(realise(tale)[0] for tale in pair)
        return Item(self.group, "first", ((self.scene, frozenset()),), texts) if true and not false else None


def edited(source: Source) -> Item | None:
    """A caption against the same caption with one edit."""
    edit = EDITS[source.group]
    items = (source.choice(edit(caption.tale, source.scene, source.domain, source.random)) for caption in source.shuffled())
    return next((item for item in items if item), None)


def counted(source: Source) -> Item | None:
    """A caption against the same caption with another number; the right number alternates."""
    numbers = COUNTED[source.turn % len(COUNTED)]
    items = (source.choice(count(caption.tale, *numbers, source.random)) for caption in source.shuffled())
    return next((item for item in items if item), None)


def half_truth(source: Source) -> Item | None:
    """Part of a caption, against that part plus something that is not in the scene."""
    for caption in source.shuffled():
        if len(caption.labels) < 2 or caption.tale.relation:
            continue
        part = without(caption.tale, frozenset(source.random.sample(caption.labels, len(caption.labels) - 1)))
        absent = _absent(source, bool(part.place))
        if part.phrases and absent:
            more = replace(part, first=part.phrases, second=(plain(absent, source.domain),), join=JOINS[0])
            if item := source.choice((part, more)):
                return replace(item, rule="order")
    return None


def half_truth_even(source: Source) -> Item | None:
    """Two things that are in the scene against three of which one is absent, or the reverse; one thing is in both texts.

    Neither text contains the other, so entailment does not give the answer away either.
    """
    present = [label for label in source.scene.labels if label in source.domain.known]
    frames = [caption.tale for caption in source.shuffled() if not caption.tale.relation and not caption.tale.place]
    absent = _absent(source)
    if len(present) < 3 or not frames or not absent:
        return None
    a, b, c = source.random.sample(present, 3)
    true_labels, false_labels = ([a, b], [a, c, absent]) if source.turn % 2 else ([a, b, c], [a, absent])
    groups = (
        [plain(label, source.domain) for label in source.random.sample(labels, len(labels))]
        for labels in (true_labels, false_labels)
    )
    true, false = (replace(frames[0], first=tuple(phrases[:-1]), second=(phrases[-1],), join=JOINS[0]) for phrases in groups)
    return source.choice((true, false))


def removed(source: Source) -> Item | None:
    """A scene without A and without B, or (``existence``) complete and without A, with the matching texts."""
    known = [label for label in source.scene.labels if label in source.domain.known]
    areas: Counter[str] = Counter()
    for caption in source.shuffled():
        named = [label for label in caption.labels if label in known]
        if len(named) < 2 or set(caption.labels) != set(named):
            continue
        a, b = source.random.sample(named, 2)
        removals = [frozenset(), frozenset({a})] if source.group == "existence" else [frozenset({a}), frozenset({b})]
        if source.group == "equal-area":
            areas = areas or _areas(source.scene)
            if not min(areas[a], areas[b]) or max(areas[a], areas[b]) > LIKE_AREA * min(areas[a], areas[b]):
                continue
        texts = tuple(realise(without(caption.tale, labels))[0] for labels in removals)
        return Item(source.group, "pairs", tuple((source.scene, labels) for labels in removals), texts)
    return None


def swapped_colours(source: Source) -> Item | None:
    """Two things, each the only one of its class, and the same scene with their colours swapped."""
    colour_words = words_of(source.domain).colours
    pair = _two(source.scene, source.domain, source.random)
    if pair is None:
        return None
    a, b = (source.scene.things[i] for i in pair)
    possible = a.colour in source.domain.colours_of(b.label) and b.colour in source.domain.colours_of(a.label)
    if a.colour == b.colour or not possible or not colour_words[a.colour] or not colour_words[b.colour]:
        return None
    things = list(source.scene.things)
    things[pair[0]], things[pair[1]] = replace(a, colour=b.colour), replace(b, colour=a.colour)
    swapped = replace(source.scene, things=tuple(things))
    texts = tuple(_text(source.domain, two) for two in ((a, b), (things[pair[0]], things[pair[1]])))
    return Item(source.group, "pairs", ((source.scene, frozenset()), (swapped, frozenset())), texts)


def swapped_places(source: Source) -> Item | None:
    """Two things, each the only one of its class, one left of the other, and the same scene with their x swapped."""
    pair = _two(source.scene, source.domain, source.random)
    if pair is None or any(r.name == "on" for r in source.scene.relations):
        return None
    i, j = pair
    things = list(source.scene.things)
    things[i], things[j] = replace(things[i], x=things[j].x), replace(things[j], x=things[i].x)
    swapped = replace(source.scene, things=tuple(things), relations=relations(source.scene.domain, tuple(things), []))
    names = [{(r.subject, r.object): r.name for r in scene.relations}.get((i, j)) for scene in (source.scene, swapped)]
    if set(names) != {"left of", "right of"}:
        return None
    texts = tuple(_text(source.domain, (source.scene.things[i], source.scene.things[j]), name) for name in names if name)
    return Item(source.group, "pairs", ((source.scene, frozenset()), (swapped, frozenset())), texts)


def single(source: Source) -> Item | None:
    """A scene of one thing; the first text is the right one."""
    (thing, *others), vocabulary = source.scene.things, words_of(source.domain)
    if others or thing.label not in source.domain.known or not vocabulary.colours[thing.colour]:
        return None
    by_name = _single_texts(source.scene.domain, source.group == "single-colour")
    right = thing.label, thing.colour if source.group == "single-colour" else ""
    texts = (by_name[right], *(text for name, text in by_name.items() if name != right))
    return Item(source.group, "first", ((source.scene, frozenset()),), texts)


@functools.cache
def _single_texts(domain_name: str, coloured: bool) -> dict[tuple[str, str], str]:
    """Texts by (class, colour) or (class, "")."""
    domain = domains.load(domain_name)
    colour_words = words_of(domain).colours
    phrases = {
        (label, colour): _coloured(label, colour, domain) if coloured else plain(label, domain)
        for label in domain.known
        for colour in (domain.colours_of(label) if coloured else ("",))
        if not coloured or colour_words[colour]
    }
    return {name: realise(Tale(FRAMES[2], JOINS[0], (phrase,)))[0] for name, phrase in phrases.items()}


def retrieval(source: Source) -> Item | None:
    """The caption that names most labels, and of those the longest."""
    fullest = max(source.captions, key=lambda caption: (len(caption.labels), len(caption.text)))
    return Item(source.group, "retrieval", ((source.scene, frozenset()),), (fullest.text,))


def _absent(source: Source, grounded: bool = False) -> str | None:
    """A known class that is not in the scene; ``grounded``: one that stands on the ground."""
    anywhere = not grounded or source.domain.view == "flat"
    labels = [
        label
        for label in source.domain.known
        if label not in source.scene.labels and (anywhere or source.domain.kinds[label].place == "floor")
    ]
    return source.random.choice(labels) if labels else None


def _two(scene: Scene, domain: Domain, random: Random) -> tuple[int, int] | None:
    """Indices of two things, each the only one of its class."""
    numbers = Counter(thing.label for thing in scene.things)
    unique = [i for i, thing in enumerate(scene.things) if numbers[thing.label] == 1 and thing.label in domain.known]
    return tuple(random.sample(unique, 2)) if len(unique) > 1 else None  # type: ignore[return-value]


def _text(domain: Domain, things: tuple[Thing, Thing], relation: str = "") -> str:
    """ "A red cup and a blue vase", or "a cup to the left of a vase"."""
    first, second = (plain(t.label, domain) if relation else _coloured(t.label, t.colour, domain) for t in things)
    if not relation:
        return realise(Tale(FRAMES[0], JOINS[0], (first,), (second,)))[0]
    join = next(join for join in JOINS if join.name == "relation")
    return realise(Tale(FRAMES[0], join, (first,), (second,), relation, RELATION_WORDS[relation][0]))[0]


def _coloured(label: str, colour: str, domain: Domain) -> Phrase:
    """ "A red cup"."""
    return replace(plain(label, domain), adjectives=(("colour", colour, words_of(domain).colours[colour][0]),))


def _areas(scene: Scene) -> Counter[str]:
    """Visible pixels of each class."""
    areas: Counter[str] = Counter()
    for thing, visible in zip(scene.things, masks(scene).visible, strict=True):
        areas[thing.label] += int(visible.sum())
    return areas
