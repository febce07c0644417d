"""Handmade batches for tests and timings of losses: images and texts with their facts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.batch import Facts, TextKind

LABELS = ("apple", "banana", "cat", "dog")


@dataclass(frozen=True)
class Image:
    """An image of a family without the components of ``removed``; ``present``: labels that are still visible."""

    family: int
    removed: int
    present: str


@dataclass(frozen=True)
class Text:
    """A text with its masks; the words of ``string`` also tell which labels it names."""

    family: int
    named: int
    mentions: int
    string: str
    may_mention: int = 0
    kind: TextKind = TextKind.OWN
    variant: int = -1
    owner: int = -1  # for an own text: its own index


def facts(images: Sequence[Image], texts: Sequence[Text]) -> Facts:
    """The facts of a batch; a text names the labels that are words of its string."""
    strings = list(dict.fromkeys(text.string for text in texts))
    owners = [i if text.owner < 0 else text.owner for i, text in enumerate(texts)]
    return Facts(
        image_family=torch.tensor([image.family for image in images]),
        removed=torch.tensor([image.removed for image in images]),
        present=torch.tensor([[label in image.present.split() for label in LABELS] for image in images]),
        text_family=torch.tensor([text.family for text in texts]),
        named=torch.tensor([text.named for text in texts]),
        mentions=torch.tensor([text.mentions for text in texts]),
        may_mention=torch.tensor([text.may_mention for text in texts]),
        labels=torch.tensor([[label in text.string.split() for label in LABELS] for text in texts]),
        text_key=torch.tensor([strings.index(text.string) for text in texts]),
        kind=torch.tensor([int(text.kind) for text in texts]),
        variant=torch.tensor([text.variant for text in texts]),
        owner=torch.tensor(owners),
    )


def random_batch(images: int, kinds: Sequence[TextKind], seed: int, members: int = 2) -> tuple[Tensor, Tensor, Facts]:
    """Unit features and facts of families of two components, ``members`` images each, with one variant of each kind per image.

    Returns:
        [I, 16], [T, 16] float32, and their facts; T = I (1 + kinds).
    """
    random = torch.Generator().manual_seed(seed)
    shown, positives, variants = [], [], []
    for i in range(images):
        family, removed = 1000 * seed + i // members, i % members % 4
        remaining = 3 & ~removed
        labels = [LABELS[(family + bit) % 4] for bit in (0, 1) if remaining >> bit & 1]
        shown.append(Image(family, removed, " ".join(labels)))
        positives.append(Text(family, 3, remaining, f"{family} with {' and '.join(labels) or 'nothing'}"))
        for index, kind in enumerate(kinds):
            extra = LABELS[(family + 2) % 4]
            variants.append(
                Text(family, 3, remaining, f"{positives[-1].string} {extra} {index}", kind=kind, variant=index, owner=i)
            )
    texts = [*positives, *variants]
    features = [torch.nn.functional.normalize(torch.randn(n, 16, generator=random), dim=1) for n in (images, len(texts))]
    return features[0], features[1], facts(shown, texts)
