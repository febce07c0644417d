"""The order of an epoch: chunks drawn at random, or near each other, out of a bounded buffer of families, into full batches.

A chunk is taken once, so every member is seen once an epoch. The buffer is as large as families and encoded bytes allow: images
stay encoded in it.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.sampling import Chunk, Member

if TYPE_CHECKING:
    import numpy as np

Embed = Callable[[list[str]], "np.ndarray"]  # texts to [N, D] of any length


@dataclass
class _Waiting:
    chunk: Chunk
    vector: "np.ndarray | None" = None  # of length 1


class Buffer:
    """What waits to be drawn, of at most ``families`` families and about ``size`` bytes of images; one epoch's.

    Args:
        arriving: the chunks of one family after another.
        rng: draws the order.
        families: of which it holds chunks, at most.
        size: bytes of encoded images at which it takes in no more.
        embed: vectors of texts, where chunks are to be drawn near each other.
    """

    def __init__(
        self, arriving: Iterator[list[Chunk]], rng: random.Random, families: int, size: int, embed: Embed | None = None
    ) -> None:
        self.arriving, self.rng, self.families, self.size, self.embed = arriving, rng, families, size, embed
        self.waiting: list[_Waiting] = []

    def fill(self) -> bool:
        """Take in families until it is full or none is left; whether there is anything to draw."""
        self.waiting = [one for one in self.waiting if one.chunk]
        held = {one.chunk[0].record_id for one in self.waiting}
        size = sum(len(member.image) for one in self.waiting for member in one.chunk)
        new: list[_Waiting] = []
        while len(held) < self.families and size < self.size:
            family = next(self.arriving, None)
            if family is None:
                break
            held.update(chunk[0].record_id for chunk in family)
            size += sum(len(member.image) for chunk in family for member in chunk)
            new += map(_Waiting, family)
        if self.embed and new:
            for one, vector in zip(new, _unit(self.embed([_said(one.chunk) for one in new])), strict=True):
                one.vector = vector
        self.waiting += new
        return bool(self.waiting)

    def draw(self, room: int, near: float = 0.0) -> list[Member]:
        """At most ``room`` members, fewer at the epoch's end; of a share of ``near`` each is a nearest neighbour of the others.

        A family comes once, unless no other is left. A chunk is cut only if none fits.
        """
        drawn: list[Member] = []
        anchors: list[_Waiting] = []
        families: set[str] = set()
        alone = max(1, room - round(near * room))
        while len(drawn) < alone and (one := self._any(room - len(drawn), families)):
            anchors.append(_Waiting(one.chunk, one.vector))
            drawn += _cut(one, room - len(drawn), families)
        for one in self._nearest(anchors) if len(drawn) < room else ():
            if one.chunk and len(one.chunk) <= room - len(drawn) and one.chunk[0].record_id not in families:
                drawn += _cut(one, room - len(drawn), families)
            if len(drawn) == room:
                break
        while len(drawn) < room and (last := self._any(room - len(drawn), families)):
            drawn += _cut(last, room - len(drawn), families)
        return drawn

    def _any(self, room: int, families: set[str]) -> _Waiting | None:
        """One at random: the first from there on that fits, else that is of another family, else any."""
        count = len(self.waiting)
        start = self.rng.randrange(count) if count else 0
        second = third = None
        for i in range(count):
            one = self.waiting[(start + i) % count]
            if not one.chunk:
                continue
            other = one.chunk[0].record_id not in families
            if other and len(one.chunk) <= room:
                return one
            second = second or (one if other else None)
            third = third or one
        return second or third

    def _nearest(self, anchors: Sequence[_Waiting]) -> Iterator[_Waiting]:
        """The nearest of each anchor in turn, then the second nearest of each, and so on: cosine of own texts."""
        import numpy as np

        others = [one for one in self.waiting if one.chunk]
        if not anchors or not others:
            return
        similar = _matrix(anchors) @ _matrix(others).T
        for column in np.argsort(-similar, axis=1, kind="stable").T:
            yield from (others[i] for i in column)


def _said(chunk: Chunk) -> str:
    """The own text of the member of which least was removed: what a family is near by, whatever chunk of it comes first."""
    return min(chunk, key=lambda one: one.subset.bit_count()).texts[0].text


def _cut(one: _Waiting, room: int, families: set[str]) -> list[Member]:
    families.add(one.chunk[0].record_id)
    taken, one.chunk = one.chunk[:room], one.chunk[room:]
    return taken


def _matrix(chunks: Sequence[_Waiting]) -> "np.ndarray":
    import numpy as np

    return np.stack([one.vector for one in chunks if one.vector is not None])


def _unit(vectors: "np.ndarray") -> "np.ndarray":
    import numpy as np

    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
