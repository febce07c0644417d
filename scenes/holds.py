"""Whether what a text says is true of a scene: by the scene, never by the words."""

from scenes.captions import facts
from scenes.domain import Domain
from scenes.meaning import ANY, MANY, Item, Meaning
from scenes.scene import Scene, Thing
from scenes.words import words_of


def holds(said: Meaning, scene: Scene, domain: Domain) -> bool:
    """Whether all of it is true.

    "A cup" is true of one cup and of several, "two cups" of exactly two, "two red cups" of exactly two red ones among any; a
    relation is true if it holds of some two things that fit. What has no meaning (``unparsed``) makes a text false.
    """
    there = {item: _fitting(item, scene, domain) for item in (*said.items, *(one for a, _, b in said.facts for one in (a, b)))}
    true = set(facts(scene))
    return (
        not said.unparsed
        and said.ground in ("", scene.ground)
        and all(_enough(item, len(there[item])) for item in said.items)
        and all(any((i, name, j) in true for i in there[a] for j in there[b]) for a, name, b in said.facts)
        and (not said.exclusive or {i for item in said.items for i in there[item]} == set(range(len(scene.things))))
    )


def _fitting(item: Item, scene: Scene, domain: Domain) -> list[int]:
    """Places in ``scene.things`` of what a phrase may mean."""
    if item.label == ANY:
        labels = set(scene.labels)
    elif item.label.startswith("@"):
        labels = set(words_of(domain).hypernyms[item.label[1:]])
    else:
        labels = {item.label}
    return [i for i, thing in enumerate(scene.things) if thing.label in labels and _described(item, thing)]


def _described(item: Item, thing: Thing) -> bool:
    return (
        item.colour in ("", thing.colour) and item.material in ("", thing.material) and (not item.size or item.size == thing.size)
    )


def _enough(item: Item, found: int) -> bool:
    if item.count == MANY:
        return found >= (1 if item.label.startswith("@") else 2)  # "some fruit" may be one banana
    return found >= 1 if item.count == 1 else found == item.count
