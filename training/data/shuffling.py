"""The order of an epoch: chunks drawn from a bounded buffer of families into full batches, at random or near each other.

Each chunk is taken once, so every member is seen once an epoch. The buffer is limited by families and by encoded bytes: images
stay encoded in it.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.data.sampling import Chunk, Member

if TYPE_CHECKING:
    import numpy as np

Embed = Callable[[list[str]], "np.ndarray"]  # texts to [N, D], of any length


@dataclass
class _Waiting:
    chunk: Chunk
    vector: "np.ndarray | None" = None  # [D], of unit length


class Buffer:
    """Chunks of one epoch that wait to be drawn.

    Args:
        arriving: the chunks of one family after another.
        rng: draws the order.
        families: largest number of families in the buffer.
        size: encoded images, in bytes, at which the buffer takes no more families.
        embed: texts to vectors, if chunks are to be drawn near each other.
    """

    def __init__(
        self, arriving: Iterator[list[Chunk]], rng: random.Random, families: int, size: int, embed: Embed | None = None
    ) -> None:
        self.arriving, self.rng, self.families, self.size, self.embed = arriving, rng, families, size, embed
        self.waiting: list[_Waiting] = []

    def fill(self) -> bool:
        """Take in families until the buffer is full or none is left; returns whether there is anything to draw."""
        self.waiting = [entry for entry in self.waiting if entry.chunk]
        families = {entry.chunk[0].record_id for entry in self.waiting}
        size = sum(len(member.image) for entry in self.waiting for member in entry.chunk)
        new: list[_Waiting] = []
        while len(families) < self.families and size < self.size:
            family = next(self.arriving, None)
            if family is None:
                break
            families.update(chunk[0].record_id for chunk in family)
            size += sum(len(member.image) for chunk in family for member in chunk)
            new += map(_Waiting, family)
        if self.embed and new:
            for entry, vector in zip(new, _unit(self.embed([_fullest_text(entry.chunk) for entry in new])), strict=True):
                entry.vector = vector
        self.waiting += new
        return bool(self.waiting)

    def draw(self, room: int, near: float = 0.0) -> list[Member]:
        """Draw at most ``room`` members (fewer at the end of an epoch), a share ``near`` of them as neighbours of the rest.

        A family is drawn once, unless no other is left. A chunk is cut only if none fits.
        """
        drawn: list[Member] = []
        anchors: list[_Waiting] = []
        families: set[str] = set()
        at_random = max(1, room - round(near * room))
        while len(drawn) < at_random and (entry := self._any(room - len(drawn), families)):
            anchors.append(_Waiting(entry.chunk, entry.vector))
            drawn += _take(entry, room - len(drawn), families)
        for neighbour in self._nearest(anchors) if len(drawn) < room else ():
            chunk = neighbour.chunk
            if chunk and len(chunk) <= room - len(drawn) and chunk[0].record_id not in families:
                drawn += _take(neighbour, room - len(drawn), families)
            if len(drawn) == room:
                break
        while len(drawn) < room and (last := self._any(room - len(drawn), families)):
            drawn += _take(last, room - len(drawn), families)
        return drawn

    def _any(self, room: int, families: set[str]) -> _Waiting | None:
        """A chunk at random: from a random place on, the first of a new family that fits, else of a new family, else any."""
        count = len(self.waiting)
        start = self.rng.randrange(count) if count else 0
        new_family = fallback = None
        for i in range(count):
            entry = self.waiting[(start + i) % count]
            if not entry.chunk:
                continue
            is_new = entry.chunk[0].record_id not in families
            if is_new and len(entry.chunk) <= room:
                return entry
            new_family = new_family or (entry if is_new else None)
            fallback = fallback or entry
        return new_family or fallback

    def _nearest(self, anchors: Sequence[_Waiting]) -> Iterator[_Waiting]:
        """The nearest neighbour of each anchor in turn, then the second nearest of each, and so on, by cosine of own texts."""
        import numpy as np

        others = [entry for entry in self.waiting if entry.chunk]
        if not anchors or not others:
            return
        similar = _matrix(anchors) @ _matrix(others).T
        for column in np.argsort(-similar, axis=1, kind="stable").T:
            yield from (others[i] for i in column)


def _fullest_text(chunk: Chunk) -> str:
    """The own text of the member with the fewest removed components: a family's neighbours do not depend on the chunk."""
    return min(chunk, key=lambda member: member.subset.bit_count()).texts[0].text


def _take(entry: _Waiting, room: int, families: set[str]) -> list[Member]:
    families.add(entry.chunk[0].record_id)
    taken, entry.chunk = entry.chunk[:room], entry.chunk[room:]
    return taken


def _matrix(entries: Sequence[_Waiting]) -> "np.ndarray":
    import numpy as np

    return np.stack([entry.vector for entry in entries if entry.vector is not None])


def _unit(vectors: "np.ndarray") -> "np.ndarray":
    import numpy as np

    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
