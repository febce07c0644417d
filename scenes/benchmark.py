"""Benchmarks of composition on scenes that no model has seen, with classes and colours drawn apart.

    python -m scenes.benchmark --count 2000 --seed 950 --size 64 --output DIR

Writes ``images/`` and ``items.json``, a list of {key, group, rule, images, texts}, which ``dualset evaluate --benchmark scenes``
reads. Rules: ``first``, the first text is the right one of all; ``pairs``, image i belongs to text i (Winoground's form);
``order``, the first text is true and says less, the second says more and is false in part. Every right text holds in its scene,
and every wrong one does not (``holds``). Groups:

    replace-*, swap-*, add-*, count   one edit of a caption (``edits``)
    wino-colour, wino-place           two scenes that differ in who has which colour, or stands where
    half-truth                        a part of the caption, against that part with something that is not there
    existence                         a scene and the same without one class: whole caption and its dual text
    level, equal-area                 the same scene without A and without B: both edits are of one kind, and of one size
    single, single-colour             one thing alone, against all classes, or all classes and colours
    retrieval                         a picture and a caption of it, for ranking over the group
"""

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
from scenes.domain import Domain
from scenes.edits import EDITS, add_object
from scenes.grammar import FRAMES, JOINS, RELATION_WORDS, Phrase, Tale, realise, without
from scenes.holds import holds
from scenes.relations import relations
from scenes.render import masks, render
from scenes.scene import Scene, Thing
from scenes.seeds import check
from scenes.words import words_of

LIKE_AREA = 1.25  # areas that count as one, as a ratio
Picture = tuple[Scene, frozenset[str]]  # a scene without some labels


@dataclass(frozen=True)
class Item:
    """One question. ``pictures`` are drawn when it is written."""

    group: str
    rule: str
    pictures: tuple[Picture, ...]
    texts: tuple[str, ...]


def edited(group: str, scene: Scene, domain: Domain, told: list[Caption], random: Random) -> Item | None:
    """A caption against the same with one edit."""
    for one in random.sample(told, len(told)):
        wrong = EDITS[group](one.tale, scene, domain, random)
        if wrong is not None and not holds(wrong.meaning, scene, domain):
            return Item(group, "first", ((scene, frozenset()),), (one.text, realise(wrong)[0]))
    return None


def half_truth(group: str, scene: Scene, domain: Domain, told: list[Caption], random: Random) -> Item | None:
    """A part of a caption, against that part and something that is not there."""
    for one in random.sample(told, len(told)):
        if len(one.labels) < 2 or one.tale.relation:
            continue
        part = without(one.tale, frozenset(random.sample(one.labels, len(one.labels) - 1)))
        more = add_object(part, scene, domain, random)
        if more is not None and holds(part.meaning, scene, domain) and not holds(more.meaning, scene, domain):
            return Item(group, "order", ((scene, frozenset()),), (realise(part)[0], realise(more)[0]))
    return None


def removed(group: str, scene: Scene, domain: Domain, told: list[Caption], random: Random) -> Item | None:
    """A scene without A and without B, or (``existence``) whole and without A, with the texts that fit."""
    known = [label for label in scene.labels if label in domain.known]
    for one in random.sample(told, len(told)):
        named = [label for label in one.labels if label in known]
        if len(named) < 2 or set(one.labels) != set(named):
            continue
        a, b = random.sample(named, 2)
        gone = [frozenset(), frozenset({a})] if group == "existence" else [frozenset({a}), frozenset({b})]
        if group == "equal-area":
            areas = [_area(scene, label) for label in (a, b)]
            if not min(areas) or max(areas) > LIKE_AREA * min(areas):
                continue
        texts = tuple(realise(without(one.tale, some))[0] for some in gone)
        return Item(group, "pairs", tuple((scene, some) for some in gone), texts)
    return None


def swapped_colours(group: str, scene: Scene, domain: Domain, told: list[Caption], random: Random) -> Item | None:  # noqa: ARG001
    """Two single things of two classes, and the same scene with their colours exchanged."""
    said = words_of(domain).colours
    pair = _two(scene, domain, random)
    if pair is None:
        return None
    a, b = (scene.things[i] for i in pair)
    free = a.colour in domain.colours_of(b.label) and b.colour in domain.colours_of(a.label)
    if a.colour == b.colour or not free or not said[a.colour] or not said[b.colour]:
        return None
    things = list(scene.things)
    things[pair[0]], things[pair[1]] = replace(a, colour=b.colour), replace(b, colour=a.colour)
    other = replace(scene, things=tuple(things))
    texts = tuple(_say(domain, (one, two)) for one, two in ((a, b), (things[pair[0]], things[pair[1]])))
    return Item(group, "pairs", ((scene, frozenset()), (other, frozenset())), texts)


def swapped_places(group: str, scene: Scene, domain: Domain, told: list[Caption], random: Random) -> Item | None:  # noqa: ARG001
    """Two single things, one left of the other, and the same scene with their places from left to right exchanged."""
    pair = _two(scene, domain, random)
    if pair is None or any(r.name == "on" for r in scene.relations):
        return None
    i, j = pair
    things = list(scene.things)
    things[i], things[j] = replace(things[i], x=things[j].x), replace(things[j], x=things[i].x)
    other = replace(scene, things=tuple(things), relations=relations(scene.domain, tuple(things), []))
    names = [{(r.subject, r.object): r.name for r in one.relations}.get((i, j)) for one in (scene, other)]
    if set(names) != {"left of", "right of"}:
        return None
    texts = tuple(_say(domain, (scene.things[i], scene.things[j]), name) for name in names if name)
    return Item(group, "pairs", ((scene, frozenset()), (other, frozenset())), texts)


def single(group: str, scene: Scene, domain: Domain, told: list[Caption], random: Random) -> Item | None:  # noqa: ARG001
    """One thing alone; the first text is the right one."""
    said = words_of(domain)
    if len(scene.things) != 1 or scene.things[0].label not in domain.known or not said.colours[scene.things[0].colour]:
        return None
    thing = scene.things[0]
    if group == "single":
        right, others = Phrase((thing.label,), thing.label, said.nouns[thing.label][0]), list(domain.known)
        phrases = [right, *(Phrase((o,), o, said.nouns[o][0]) for o in others if o != thing.label)]
    else:
        pairs = [(o, c) for o in domain.known for c in domain.colours_of(o) if said.colours[c]]
        pairs.sort(key=lambda pair: pair != (thing.label, thing.colour))
        phrases = [Phrase((o,), o, said.nouns[o][0], adjectives=(("colour", c, said.colours[c][0]),)) for o, c in pairs]
    texts = tuple(realise(Tale(FRAMES[2], JOINS[0], (phrase,)))[0] for phrase in phrases)
    return Item(group, "first", ((scene, frozenset()),), texts)


def retrieval(group: str, scene: Scene, domain: Domain, told: list[Caption], random: Random) -> Item | None:  # noqa: ARG001
    """The caption that says most."""
    return Item(group, "retrieval", ((scene, frozenset()),), (max(told, key=lambda one: (len(one.labels), len(one.text))).text,))


Maker = Callable[[str, Scene, Domain, list[Caption], Random], Item | None]
MAKERS: dict[str, Maker] = {
    **dict.fromkeys(EDITS, edited),
    "wino-colour": swapped_colours, "wino-place": swapped_places, "half-truth": half_truth,
    **dict.fromkeys(("existence", "level", "equal-area"), removed),
    **dict.fromkeys(("single", "single-colour"), single),
    "retrieval": retrieval,
}  # fmt: skip


def items(domain_name: str, seed: int, size: int, count: int, groups: list[str]) -> Iterator[tuple[str, Item]]:
    """``count`` items of each group with their keys, at most one of a group from a scene, till all groups are full."""
    domain = domains.load(domain_name)
    made: Counter[str] = Counter()
    for index in itertools.count():
        open_groups = [group for group in groups if made[group] < count]
        if not open_groups:
            return
        scene = layout.sample(domain_name, "test", seed, index, size)
        told = [one for one in tell(domain, scene, "train") if one.monotone and holds(one.meaning, scene, domain)]
        for group in open_groups if told else ():
            item = MAKERS[group](group, scene, domain, told, Random(f"{group} {seed} {index}"))
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


def _two(scene: Scene, domain: Domain, random: Random) -> tuple[int, int] | None:
    """Places of two things, each the only one of its class."""
    numbers = Counter(thing.label for thing in scene.things)
    lone = [i for i, thing in enumerate(scene.things) if numbers[thing.label] == 1 and thing.label in domain.known]
    return tuple(random.sample(lone, 2)) if len(lone) > 1 else None  # type: ignore[return-value]


def _say(domain: Domain, things: tuple[Thing, Thing], relation: str = "") -> str:
    """ "A red cup and a blue vase", or "a cup to the left of a vase"."""
    said = words_of(domain)
    first, second = (
        Phrase(
            (thing.label,),
            thing.label,
            said.nouns[thing.label][0],
            adjectives=() if relation else (("colour", thing.colour, said.colours[thing.colour][0]),),
        )
        for thing in things
    )
    if not relation:
        return realise(Tale(FRAMES[0], JOINS[0], (first,), (second,)))[0]
    join = next(join for join in JOINS if join.name == "relation")
    return realise(Tale(FRAMES[0], join, (first,), (second,), relation, RELATION_WORDS[relation][0]))[0]


def _area(scene: Scene, label: str) -> int:
    visible = masks(scene).visible
    return int(sum(visible[i].sum() for i, thing in enumerate(scene.things) if thing.label == label))


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
    rows = write(domain, seed, size, count, chosen, output)
    pictures = len({image for row in rows for image in row["images"]})
    typer.echo(f"{output}: {len(rows)} items of {len(chosen)} groups over {pictures} pictures")


if __name__ == "__main__":
    typer.run(main)
