"""From members to a batch: pixels, tokens and facts."""

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from training.data.batch import Batch, Facts
from training.data.decode import Pixels
from training.data.sampling import Member, Text, drawn_from
from udfs.images import ImageError, Rgb

if TYPE_CHECKING:
    from torch import Tensor

Tokenize = Callable[[list[str]], "Tensor"]  # texts to int64 [N, L]


def collate(
    members: Sequence[Member], epochs: Sequence[int], seed: int, pixels: Pixels, tokenize: Tokenize, vocabulary: Sequence[str]
) -> Batch:
    """A batch of I members, in their order. Each member's augmentation is drawn from the seed, its epoch and its image id.

    Raises:
        ImageError: an image of the snapshot cannot be decoded; the message names it.
    """
    owners = [*range(len(members))] + [i for i, member in enumerate(members) for _ in member.texts[1:]]
    texts = [member.texts[0] for member in members] + [text for member in members for text in member.texts[1:]]
    cut = [_cut(member, pixels, drawn_from(seed, epoch, member.image_id)) for member, epoch in zip(members, epochs, strict=True)]
    return Batch(
        pixels.tensor(cut),
        tokenize([text.text for text in texts]).long(),
        facts(members, texts, owners, vocabulary),
        tuple(member.image_id for member in members),
        tuple(text.text_id for text in texts),
    )


def _cut(member: Member, pixels: Pixels, rng: random.Random) -> Rgb:
    try:
        return pixels.cut(member.image, rng)
    except ImageError as problem:
        raise ImageError(problem.status, f"image {member.image_id}: {problem.error}") from problem


def facts(members: Sequence[Member], texts: Sequence[Text], owners: Sequence[int], vocabulary: Sequence[str]) -> Facts:
    """The facts of I members and T texts. ``owners``: [T], the place of the member that each text was drawn for."""
    import torch

    place = {label: i for i, label in enumerate(vocabulary)}
    present = torch.zeros(len(members), len(vocabulary), dtype=torch.bool)
    for i, member in enumerate(members):
        # Of a class that is several components ("a man", "a woman") some may be left.
        left = {label for bit, label in enumerate(member.labels) if not member.subset >> bit & 1}
        removed = {*member.labels} - left
        present[i, [place[label] for label in {*member.detected, *member.labels} - removed]] = True
    labels = torch.zeros(len(texts), len(vocabulary), dtype=torch.bool)
    for i, text in enumerate(texts):
        labels[i, [place[label] for label in text.labels]] = True
    families = [number(member.record_id) for member in members]
    return Facts(
        image_family=torch.tensor(families),
        removed=torch.tensor([member.subset for member in members]),
        present=present,
        text_family=torch.tensor([families[owner] for owner in owners]),
        named=torch.tensor([text.named for text in texts]),
        mentions=torch.tensor([text.mentions for text in texts]),
        may_mention=torch.tensor([text.may_mention for text in texts]),
        labels=labels,
        text_key=torch.tensor([number(normalised(text.text)) for text in texts]),
        kind=torch.tensor([int(text.kind) for text in texts]),
        variant=torch.tensor([text.variant for text in texts]),
        owner=torch.tensor(list(owners)),
    )


def normalised(text: str) -> str:
    """Case folded, spaces collapsed, without a final full stop. Texts that are equal after this count as one text."""
    return " ".join(text.casefold().split()).removesuffix(".").rstrip()


def number(text: str) -> int:
    """A 63-bit hash of a text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
