"""The right dual texts of a caption: the same sentence, generated again without what was removed."""

from collections.abc import Iterable, Iterator

from jobs.scenes.captions import Caption
from jobs.scenes.grammar import realise, without
from jobs.scenes.meaning import Meaning


def right(caption: Caption, removed: Iterable[str]) -> str | None:
    """The caption of the scene without the labels ``removed``.

    If all its things are removed, the ground remains if the caption named it ("the grass"), else None. A caption that is not
    monotone has no dual texts: None.
    """
    if not caption.monotone:
        return None
    return realise(without(caption.tale, frozenset(removed)))[0] or None


def right_meaning(caption: Caption, removed: Iterable[str]) -> Meaning:
    """The meaning of the right dual text."""
    return without(caption.tale, frozenset(removed)).meaning


def subsets(caption: Caption) -> Iterator[tuple[str, ...]]:
    """Every non-empty subset of the labels that a caption names for certain, in the order of their bit masks."""
    labels = caption.labels
    for bits in range(1, 1 << len(labels)):
        yield tuple(label for i, label in enumerate(labels) if bits >> i & 1)
