"""Captions of a scene as a crowd would write them: five, of many forms and more or less complete, each with its truth.

``tell`` is a pure function of the scene. Some captions name everything and some only a part. About one in twenty denies that
there is more ("only a cup") and is not monotone. Forms that training never sees are marked ``heldout``.
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from jobs.scenes.domain import Domain
from jobs.scenes.grammar import FRAMES, JOINS, LIMITS, RELATION_WORDS, Frame, Join, Phrase, Tale, realise
from jobs.scenes.meaning import Meaning
from jobs.scenes.scene import Scene, Thing
from jobs.scenes.vocabulary import Vocabulary, words_of

Forms = Literal["train", "heldout", "all"]
CAPTIONS = 5
_STYLES = ("A.", "A.", "A", "A", "a", "a.")


@dataclass(frozen=True)
class Mention:
    """What text[start:end] names: one label if ``certain``, else one of several."""

    start: int
    end: int
    labels: tuple[str, ...]
    certain: bool


@dataclass(frozen=True)
class Caption:
    """A caption with its truth."""

    text: str
    tale: Tale
    mentions: tuple[Mention, ...]
    monotone: bool  # stays true when things and the words for them are both removed

    @property
    def form(self) -> str:
        """The name of the sentence's form."""
        return self.tale.form

    @property
    def forms(self) -> Literal["train", "heldout"]:
        """``train`` if training sees this form, else ``heldout``."""
        return "heldout" if self.tale.heldout else "train"

    @property
    def meaning(self) -> Meaning:
        """What the caption says."""
        return self.tale.meaning

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the caption names for certain, each once."""
        return tuple(dict.fromkeys(label for m in self.mentions if m.certain for label in m.labels))


def tell(domain: Domain, scene: Scene, forms: Forms | None = None) -> list[Caption]:
    """Five captions of a scene, all different if the scene offers enough to say.

    Args:
        domain: the scene's domain.
        scene: the scene to describe.
        forms: which forms to use; None: ``train`` in the train split, else ``all``.
    """
    wanted = forms or ("train" if scene.split == "train" else "all")
    # Random hashes its seed text, so captions are the same on every machine. A domain file counts by its name, not its folder.
    random = Random(f"captions of {Path(scene.domain).stem} {scene.split} {scene.seed} {scene.index}")
    teller = _Teller(domain, scene, wanted, random)
    captions: list[Caption] = []
    for attempt in range(20 * CAPTIONS):
        candidate = caption(teller.draw())
        if not any(candidate.text == earlier.text for earlier in captions) or attempt > 15 * CAPTIONS:
            captions.append(candidate)
        if len(captions) == CAPTIONS:
            break
    return captions


def caption(tale: Tale) -> Caption:
    """A tale's caption: its text, and what each span names."""
    text, spans = realise(tale)
    mentions = tuple(Mention(a, b, tuple(dict.fromkeys(p.labels)), p.certain) for a, b, p in spans if p.labels)
    denied = any(not phrase.labels for phrase in tale.phrases)
    # "Three animals" is a count over classes and false after a removal; "some animals" is not.
    counted = any(p.name.startswith("@") and p.is_plural and p.item.count > 1 for p in tale.phrases)
    return Caption(text, tale, mentions, not (tale.frame.exclusive or denied or counted))


class _Teller:
    """Draws random tales of one scene."""

    def __init__(self, domain: Domain, scene: Scene, forms: Forms, random: Random) -> None:
        self.scene, self.random, self.forms = scene, random, forms
        self.words: Vocabulary = words_of(domain)
        self.habits = domain.habits
        self.absent = [label for label in domain.known if label not in scene.labels]
        # A caption must not say that something is on the ground if it hangs, flies or stands on something else.
        raised = {r.subject for r in scene.relations if r.name == "on"}
        self.raised = {
            thing.label
            for i, thing in enumerate(scene.things)
            if i in raised or (domain.view == "ground" and domain.kinds[thing.label].place != "floor")
        }
        unknown = set(domain.unknown)
        known = [i for i, thing in enumerate(scene.things) if thing.label not in unknown]
        # Things that no detector knows are sometimes named too, next to those it knows.
        self.named = list(range(len(scene.things))) if known and random.random() < 0.3 else known

    def draw(self) -> Tale:
        """Draw one tale, of the wanted forms."""
        while True:
            tale = self._draw()
            if tale.place and any(not self.raised.isdisjoint(phrase.labels) for phrase in tale.phrases):
                continue
            if tale.heldout == (self.forms == "heldout") or self.forms == "all":
                return tale

    def _draw(self) -> Tale:
        random = self.random
        ground, place = "", ""
        if self.scene.ground in self.words.grounds and (random.random() < 0.4 or not self.named):
            ground, place = self.scene.ground, random.choice(self.words.grounds[self.scene.ground])
        frame = self._frame(bool(place), LIMITS if self.named and random.random() < 0.04 else FRAMES)
        style = random.choice(_STYLES)
        if not self.named:
            return Tale(frame, JOINS[0], (), ground=ground, place=place, style=style)
        related = [] if frame.exclusive else self._related()
        if related and random.random() < 0.45:
            relation, a, b = random.choice(related)
            join = random.choice([j for j in JOINS if j.related and (self.forms != "train" or not j.heldout)])
            a, b = (b, a) if join.turned else (a, b)
            frame = FRAMES[0] if join.verb else frame
            relation_words = random.choice(RELATION_WORDS[relation])
            first, second = (self._single(a),), (self._single(b),)
            return Tale(frame, join, first, second, relation, relation_words, ground, place, style)
        phrases = self._phrases(everything=frame.exclusive or random.random() < self.habits.names_all)
        if not frame.exclusive and self.absent and random.random() < 0.02:
            label = random.choice(self.absent)
            phrases.append(Phrase((), label, random.choice(self.words.nouns[label])))
            return Tale(frame, JOINS[0], tuple(phrases[:-1]), tuple(phrases[-1:]), ground=ground, place=place, style=style)
        if len(phrases) == 1:
            return Tale(frame, JOINS[0], tuple(phrases), ground=ground, place=place, style=style)
        join = self._list_join(frame)
        cut = len(phrases) - 1 if join.name in ("and", "oxford") else 1
        return Tale(frame, join, tuple(phrases[:cut]), tuple(phrases[cut:]), ground=ground, place=place, style=style)

    def _frame(self, place: bool, frames: tuple[Frame, ...]) -> Frame:
        possible = [f for f in frames if (place or not f.place) and (self.forms != "train" or not f.heldout)]
        return self.random.choice(possible)

    def _list_join(self, frame: Frame) -> Join:
        possible = [j for j in JOINS if not j.related and (self.forms != "train" or not j.heldout)]
        return self.random.choice(possible[:1] if frame.exclusive else possible)

    def _related(self) -> list[tuple[str, int, int]]:
        """(relation, subject, object) of pairs that a caption can name without ambiguity."""
        return [
            (relation, subject, other)
            for subject, relation, other in facts(self.scene)
            if {subject, other} <= set(self.named) and self._unique(subject) and self._unique(other)
        ]

    def _unique(self, i: int) -> bool:
        """Whether a thing is the only one of its class, so that "a cup" is unambiguous."""
        return sum(thing.label == self.scene.things[i].label for thing in self.scene.things) == 1

    def _single(self, i: int) -> Phrase:
        return self._describe([self.scene.things[i]], "")

    def _noun(self, label: str) -> str:
        nouns = self.words.nouns[label]
        return nouns[0] if self.random.random() < 0.5 else self.random.choice(nouns)

    def _phrases(self, everything: bool) -> list[Phrase]:
        """Phrases for all classes, or for some of them, in random order."""
        random = self.random
        labels = list(dict.fromkeys(self.scene.things[i].label for i in self.named))
        random.shuffle(labels)
        if not everything and len(labels) > 1:
            labels = labels[: random.randint(1, len(labels) - 1)]
        phrases = []
        if random.random() < 0.12 and (group := self._group(labels)):
            phrases.append(group)
            labels = [label for label in labels if label not in group.labels]
        for label in labels:
            phrases += self._class([self.scene.things[i] for i in self.named if self.scene.things[i].label == label])
        return phrases

    def _class(self, things: list[Thing]) -> list[Phrase]:
        """All things of one class: in one phrase, or in one for each colour ("a red cup and two blue cups")."""
        random, label = self.random, things[0].label
        if len(things) > 1 and len({thing.colour for thing in things}) > 1 and random.random() < 0.5:
            colours = list(dict.fromkeys(thing.colour for thing in things))
            parts = [[thing for thing in things if thing.colour == colour] for colour in colours]
            adjectives = [
                ("colour", colour, random.choice(self.words.colours[colour])) for colour in colours if self.words.colours[colour]
            ]
            if len(adjectives) == len(colours):
                noun = self._noun(label)
                return [
                    Phrase((label,) * len(part), label, noun, adjectives=(adjective,))
                    for part, adjective in zip(parts, adjectives, strict=True)
                ]
        return [self._describe(things, random.choice(("", "", "", "some", "a pair of", "a couple of", "several", "bare")))]

    def _describe(self, things: list[Thing], number: str) -> Phrase:
        label = things[0].label
        adjectives = self._adjectives(things)
        after = len(adjectives) == 1 and self.forms != "train" and self.random.random() < 0.1
        return Phrase((label,) * len(things), label, self._noun(label), number, adjectives, after)

    def _adjectives(self, things: list[Thing]) -> tuple[tuple[str, str, str], ...]:
        """Size, colour and material, each at random and only if all the things share it."""
        colour = ("colour", self.words.colours, self.habits.names_colour)
        tables = (("size", self.words.sizes, 0.2), colour, ("material", self.words.materials, 0.3))
        adjectives = []
        for kind, table, share in tables:
            values = {getattr(thing, kind) for thing in things}
            drawn = self.random.random() < share
            if drawn and len(values) == 1 and (words := table[value := values.pop()]):
                adjectives.append((kind, value, self.random.choice(words)))
        return tuple(adjectives)

    def _group(self, labels: list[str]) -> Phrase | None:
        """A word for several classes ("some fruit") that stands for all the things it can name; None if there is none."""
        possible = [(noun, members) for noun, members in self.words.hypernyms.items() if set(members) & set(labels)]
        if not possible:
            return None
        noun, members = self.random.choice(possible)
        covered = tuple(t.label for i, t in enumerate(self.scene.things) if i in self.named and t.label in members)
        if noun in self.words.mass:
            return Phrase(covered, f"@{noun}", noun, "mass")
        return Phrase(covered, f"@{noun}", noun, self.random.choice(("", "some")))


def facts(scene: Scene) -> list[tuple[int, str, int]]:
    """The scene's relations as (subject, name, object), plus "next to": side by side, less than a width apart."""
    triples: list[tuple[int, str, int]] = [(r.subject, r.name, r.object) for r in scene.relations if r.name in RELATION_WORDS]
    for i, thing in enumerate(scene.things):
        for j, other in enumerate(scene.things):
            reach = 0.9 * (thing.height + other.height)
            if i != j and abs(thing.x - other.x) < reach and abs(thing.y - other.y) < 0.5 * min(thing.height, other.height):
                triples.append((i, "next to", j))
    return triples
