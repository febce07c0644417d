"""Whether a text's meaning is true of a scene: decided from the scene, never from the words."""

from jobs.scenes.captions import facts
from jobs.scenes.domain import Domain
from jobs.scenes.meaning import ANY, MANY, Item, Meaning
from jobs.scenes.scene import Scene, Thing
from jobs.scenes.vocabulary import words_of


def holds(meaning: Meaning, scene: Scene, domain: Domain) -> bool:
    """Whether everything that a text says is true.

    "A cup" is true of one cup and of several, "two cups" of exactly two cups, "two red cups" of exactly two red ones among any
    number. A relation is true if it holds for some pair of matching things. Anything that was not understood (``unparsed``)
    makes a text false.
    """
    items = (*meaning.items, *(item for subject, _, other in meaning.facts for item in (subject, other)))
    matches = {item: _matching(item, scene, domain) for item in items}
    true = set(facts(scene))
    return (
        not meaning.unparsed
        and meaning.ground in ("", scene.ground)
        and all(_enough(item, len(matches[item])) for item in meaning.items)
        and all(any((i, name, j) in true for i in matches[a] for j in matches[b]) for a, name, b in meaning.facts)
        and (not meaning.exclusive or {i for item in meaning.items for i in matches[item]} == set(range(len(scene.things))))
    )


def _matching(item: Item, scene: Scene, domain: Domain) -> list[int]:
    """Indices in ``scene.things`` of the things that a phrase can refer to."""
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


def _enough(item: Item, number: int) -> bool:
    if item.count == MANY:
        return number >= (1 if item.label.startswith("@") else 2)  # "some fruit" may be one banana
    return number >= 1 if item.count == 1 else number == item.count
