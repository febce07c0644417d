"""Benchmarks of composition on scenes that no model has seen, with classes and colours drawn apart.

    python -m scenes.benchmark --count 2000 --seed 950 --size 64 --output DIR

Writes ``images/`` and ``items.json``, a list of {key, group, rule, images, texts}, which ``dualset evaluate --benchmark scenes``
reads. Rules: ``first``, the first text is the right one of all; ``pairs``, image i belongs to text i (Winoground's form);
``order``, the first text is true and says less, the second says more and is false in part. Every right text holds in its scene,
and every wrong one does not (``holds``). Groups:

    replace-*, swap-*       a caption, against the same with one edit (``edits``)
    add-obj, add-att        a caption and one class or colour more that is there, against it and one that is not
    count                   two things of a class said to be three, or three two: each as often
    wino-colour, wino-place two scenes that differ in who has which colour, or stands where
    half-truth              a part of a caption, against that part with something that is not there
    half-truth-even         two or three things named, of which all are there, against three or two, of which one is not
    existence               a scene and the same without one class: whole caption and its dual text
    level, equal-area       the same scene without A and without B: both edits are of one kind, and of one size
    single, single-colour   one thing alone, against all classes, or all classes and colours
    retrieval               a picture and a caption of it, for ranking over the group

Who prefers the shorter text, or the longer, is right in half of the items of a group (``training.blind``). Only ``half-truth``
is about length: there the shorter text is the right one, and whoever scores 100% may have read no more than that.
"""

import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer

from scenes import domain as domains
from scenes import layout
from scenes.captions import Caption, tell
from scenes.domain import Domain, DomainError
from scenes.edits import EDITS, Pair, count, plain
from scenes.grammar import FRAMES, JOINS, RELATION_WORDS, Phrase, Tale, realise, without
from scenes.holds import holds
from scenes.relations import relations
from scenes.render import masks, render
from scenes.scene import Scene, Thing
from scenes.seeds import check
from scenes.words import words_of

PATIENCE = 5000  # scenes after which a group without any item is given up
LIKE_AREA = 1.25  # areas that count as one, as a ratio
COUNTED = ((2, 3), (3, 2))  # how many there are, and how many the false text says
Picture = tuple[Scene, frozenset[str]]  # a scene without some labels


@dataclass(frozen=True)
class Item:
    """One question. ``pictures`` are drawn when it is written."""

    group: str
    rule: str
    pictures: tuple[Picture, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Ask:
    """What an item is made of."""

    group: str
    turn: int  # items of the group so far, for groups whose kinds take turns
    scene: Scene
    domain: Domain
    told: list[Caption]  # true captions of it
    random: Random

    def shuffled(self) -> list[Caption]:
        """The captions in a drawn order."""
        return self.random.sample(self.told, len(self.told))

    def choice(self, pair: Pair | None) -> Item | None:
        """The item of a true text and a false one, if that is what they are."""
        if pair is None:
            return None
        true, false = (holds(tale.meaning, self.scene, self.domain) for tale in pair)
        texts = tuple(realise(tale)[0] for tale in pair)
        return Item(self.group, "first", ((self.scene, frozenset()),), texts) if true and not false else None


def edited(ask: Ask) -> Item | None:
    """A caption against the same with one edit."""
    edit = EDITS[ask.group]
    found = (ask.choice(edit(one.tale, ask.scene, ask.domain, ask.random)) for one in ask.shuffled())
    return next((item for item in found if item), None)


def counted(ask: Ask) -> Item | None:
    """A caption against the same with another number; which number is right takes turns."""
    numbers = COUNTED[ask.turn % len(COUNTED)]
    found = (ask.choice(count(one.tale, *numbers, ask.random)) for one in ask.shuffled())
    return next((item for item in found if item), None)


def half_truth(ask: Ask) -> Item | None:
    """A part of a caption, against that part and something that is not there."""
    for one in ask.shuffled():
        if len(one.labels) < 2 or one.tale.relation:
            continue
        part = without(one.tale, frozenset(ask.random.sample(one.labels, len(one.labels) - 1)))
        absent = _absent(ask, bool(part.place))
        if part.phrases and absent:
            more = replace(part, first=part.phrases, second=(plain(absent, ask.domain),), join=JOINS[0])
            if item := ask.choice((part, more)):
                return replace(item, rule="order")
    return None


def half_truth_even(ask: Ask) -> Item | None:
    """Two things that are there against three of which one is not, or three against two; one thing is in both texts.

    Neither text contains the other, so that what follows from what is of no help either.
    """
    there = [label for label in ask.scene.labels if label in ask.domain.known]
    frames = [one.tale for one in ask.shuffled() if not one.tale.relation and not one.tale.place]
    absent = _absent(ask)
    if len(there) < 3 or not frames or not absent:
        return None
    a, b, c = ask.random.sample(there, 3)
    true, false = ([a, b], [a, c, absent]) if ask.turn % 2 else ([a, b, c], [a, absent])
    phrases = ([plain(label, ask.domain) for label in ask.random.sample(some, len(some))] for some in (true, false))
    one, other = (replace(frames[0], first=tuple(some[:-1]), second=(some[-1],), join=JOINS[0]) for some in phrases)
    return ask.choice((one, other))


def removed(ask: Ask) -> Item | None:
    """A scene without A and without B, or (``existence``) whole and without A, with the texts that fit."""
    known = [label for label in ask.scene.labels if label in ask.domain.known]
    areas: Counter[str] = Counter()
    for one in ask.shuffled():
        named = [label for label in one.labels if label in known]
        if len(named) < 2 or set(one.labels) != set(named):
            continue
        a, b = ask.random.sample(named, 2)
        gone = [frozenset(), frozenset({a})] if ask.group == "existence" else [frozenset({a}), frozenset({b})]
        if ask.group == "equal-area":
            areas = areas or _areas(ask.scene)
            if not min(areas[a], areas[b]) or max(areas[a], areas[b]) > LIKE_AREA * min(areas[a], areas[b]):
                continue
        texts = tuple(realise(without(one.tale, some))[0] for some in gone)
        return Item(ask.group, "pairs", tuple((ask.scene, some) for some in gone), texts)
    return None


def swapped_colours(ask: Ask) -> Item | None:
    """Two single things of two classes, and the same scene with their colours exchanged."""
    said = words_of(ask.domain).colours
    pair = _two(ask.scene, ask.domain, ask.random)
    if pair is None:
        return None
    a, b = (ask.scene.things[i] for i in pair)
    free = a.colour in ask.domain.colours_of(b.label) and b.colour in ask.domain.colours_of(a.label)
    if a.colour == b.colour or not free or not said[a.colour] or not said[b.colour]:
        return None
    things = list(ask.scene.things)
    things[pair[0]], things[pair[1]] = replace(a, colour=b.colour), replace(b, colour=a.colour)
    other = replace(ask.scene, things=tuple(things))
    texts = tuple(_say(ask.domain, (one, two)) for one, two in ((a, b), (things[pair[0]], things[pair[1]])))
    return Item(ask.group, "pairs", ((ask.scene, frozenset()), (other, frozenset())), texts)


def swapped_places(ask: Ask) -> Item | None:
    """Two single things, one left of the other, and the same scene with their places from left to right exchanged."""
    pair = _two(ask.scene, ask.domain, ask.random)
    if pair is None or any(r.name == "on" for r in ask.scene.relations):
        return None
    i, j = pair
    things = list(ask.scene.things)
    things[i], things[j] = replace(things[i], x=things[j].x), replace(things[j], x=things[i].x)
    other = replace(ask.scene, things=tuple(things), relations=relations(ask.scene.domain, tuple(things), []))
    names = [{(r.subject, r.object): r.name for r in one.relations}.get((i, j)) for one in (ask.scene, other)]
    if set(names) != {"left of", "right of"}:
        return None
    texts = tuple(_say(ask.domain, (ask.scene.things[i], ask.scene.things[j]), name) for name in names if name)
    return Item(ask.group, "pairs", ((ask.scene, frozenset()), (other, frozenset())), texts)


def single(ask: Ask) -> Item | None:
    """One thing alone; the first text is the right one."""
    (thing, *others), said = ask.scene.things, words_of(ask.domain)
    if others or thing.label not in ask.domain.known or not said.colours[thing.colour]:
        return None
    named = _alone(ask.scene.domain, ask.group == "single-colour")
    right = thing.label, thing.colour if ask.group == "single-colour" else ""
    texts = (named[right], *(text for phrase, text in named.items() if phrase != right))
    return Item(ask.group, "first", ((ask.scene, frozenset()),), texts)


@functools.cache
def _alone(domain_name: str, coloured: bool) -> dict[tuple[str, str], str]:
    """Texts by (class, colour) or (class, "")."""
    domain = domains.load(domain_name)
    said = words_of(domain).colours
    phrases = {
        (label, colour): _coloured(label, colour, domain) if coloured else plain(label, domain)
        for label in domain.known
        for colour in (domain.colours_of(label) if coloured else ("",))
        if not coloured or said[colour]
    }
    return {named: realise(Tale(FRAMES[2], JOINS[0], (phrase,)))[0] for named, phrase in phrases.items()}


def retrieval(ask: Ask) -> Item | None:
    """The caption that says most."""
    most = max(ask.told, key=lambda one: (len(one.labels), len(one.text)))
    return Item(ask.group, "retrieval", ((ask.scene, frozenset()),), (most.text,))


Maker = Callable[[Ask], Item | None]
MAKERS: dict[str, Maker] = {
    **dict.fromkeys(EDITS, edited), "count": counted,
    "wino-colour": swapped_colours, "wino-place": swapped_places,
    "half-truth": half_truth, "half-truth-even": half_truth_even,
    **dict.fromkeys(("existence", "level", "equal-area"), removed),
    **dict.fromkeys(("single", "single-colour"), single),
    "retrieval": retrieval,
}  # fmt: skip


def items(domain_name: str, seed: int, size: int, count: int, groups: list[str]) -> Iterator[tuple[str, Item]]:
    """``count`` items of each group with their keys, at most one of a group from a scene, till all groups are full.

    Raises:
        DomainError: a group is asked for that the domain's scenes have no items for.
    """
    domain = domains.load(domain_name)
    made: Counter[str] = Counter()
    for index in itertools.count():
        open_groups = [group for group in groups if made[group] < count]
        if not open_groups:
            return
        if index == PATIENCE and (none := [group for group in open_groups if not made[group]]):
            raise DomainError(f"{domain_name}: no item of {', '.join(none)} in {PATIENCE} scenes; name the other groups")
        scene = layout.sample(domain_name, "test", seed, index, size)
        told = [one for one in tell(domain, scene, "train") if one.monotone and holds(one.meaning, scene, domain)]
        for group in open_groups if told else ():
            ask = Ask(group, made[group], scene, domain, told, Random(f"{group} {seed} {index}"))
            item = MAKERS[group](ask)
            if item is not None and len(set(item.texts)) == len(item.texts) and all(item.texts):
                made[group] += 1
                yield f"{group}_{index:06d}", item


def write(domain: str, seed: int, size: int, count: int, groups: list[str], folder: Path) -> list[dict[str, Any]]:
    """Write the images and ``items.json``; returns what is in it. A picture that serves several items is one file."""
    from PIL import Image

    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows, names = [], dict[Picture, str]()
    for key, item in items(domain, seed, size, count, groups):
        for scene, gone in item.pictures:
            if (scene, gone) not in names:
                names[scene, gone] = f"{len(names):06d}.png"
                Image.fromarray(render(scene, gone)).save(folder / "images" / names[scene, gone])
        images = [names[picture] for picture in item.pictures]
        rows.append({"key": key, "group": item.group, "rule": item.rule, "images": images, "texts": item.texts})
    (folder / "items.json").write_text(json.dumps(rows), encoding="utf-8")
    return rows


def _absent(ask: Ask, grounded: bool = False) -> str | None:
    """A known class that is not in the scene; ``grounded``: one that stands on the ground."""
    flat = not grounded or ask.domain.view == "flat"
    labels = [one for one in ask.domain.known if one not in ask.scene.labels and (flat or ask.domain.kinds[one].place == "floor")]
    return ask.random.choice(labels) if labels else None


def _two(scene: Scene, domain: Domain, random: Random) -> tuple[int, int] | None:
    """Places of two things, each the only one of its class."""
    numbers = Counter(thing.label for thing in scene.things)
    lone = [i for i, thing in enumerate(scene.things) if numbers[thing.label] == 1 and thing.label in domain.known]
    return tuple(random.sample(lone, 2)) if len(lone) > 1 else None  # type: ignore[return-value]


def _say(domain: Domain, things: tuple[Thing, Thing], relation: str = "") -> str:
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


def main(
    output: Annotated[Path, typer.Option(help="folder to write to")],
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    count: Annotated[int, typer.Option(min=1, help="items of each group")] = 2000,
    seed: Annotated[int, typer.Option(help="of the scenes: 900 to 999; 100 to 199 while something is still being chosen")] = 950,
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the pictures in pixels")] = 64,
    groups: Annotated[str, typer.Option(help="with commas between; empty: all")] = "",
) -> None:
    """Write the scene benchmarks."""
    check(seed, "choosing" if seed < 900 else "evaluation")
    chosen = groups.split(",") if groups else list(MAKERS)
    if unknown := sorted(set(chosen) - set(MAKERS)):
        raise typer.BadParameter(f"no group {', '.join(unknown)}; there are {', '.join(MAKERS)}")
    try:
        rows = write(domain, seed, size, count, chosen, output)
    except DomainError as problem:
        raise typer.BadParameter(str(problem)) from None
    pictures = len({image for row in rows for image in row["images"]})
    typer.echo(f"{output}: {len(rows)} items of {len(chosen)} groups over {pictures} pictures")


if __name__ == "__main__":
    typer.run(main)
