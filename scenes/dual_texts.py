"""The right dual texts of a caption: the same sentence, told anew without what was removed."""

from collections.abc import Iterable, Iterator

from scenes.captions import Caption
from scenes.grammar import realise, without
from scenes.meaning import Meaning


def right(caption: Caption, removed: Iterable[str]) -> str | None:
    """What a caption says of the scene without the labels ``removed``.

    With all its things gone the ground is left, if the caption spoke of it ("the grass"); else nothing, None. A caption that
    is not monotone has no dual texts: None.
    """
    if not caption.monotone:
        return None
    return realise(without(caption.tale, frozenset(removed)))[0] or None


def right_meaning(caption: Caption, removed: Iterable[str]) -> Meaning:
    """What the right dual text says."""
    return without(caption.tale, frozenset(removed)).meaning


def subsets(caption: Caption) -> Iterator[tuple[str, ...]]:
    """Every non-empty subset of the labels that a caption surely names, in the order of the bits."""
    labels = caption.labels
    for bits in range(1, 1 << len(labels)):
        yield tuple(label for i, label in enumerate(labels) if bits >> i & 1)
