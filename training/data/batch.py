"""The data of one training step: images, texts, and the facts that tell which text is true of which image.

The reader makes batches (``training.data.reader``), the loop embeds and gathers them (``training.loop``), and a method turns
features and facts into a loss (``training.methods``). All texts are in one list: first each image's own text, in the order of the
images, then the further texts that the method asks for, such as hard negatives.
"""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class TextKind(IntEnum):
    """The role of a text for the image that it was drawn for."""

    OWN = 0  # the text that its image is trained on
    NEGATIVE = 1  # a hard negative, made to be false of the image: words swapped or replaced
    POSITIVE = 2  # a further text made to be true of the image: a paraphrase


@dataclass(frozen=True)
class Facts:
    """What is known of I images and T texts, T >= I. All tensors are on one device.

    A family's number is a hash of its record id, the same in every process. Bit masks are over the components of the image's or
    text's own family and cannot be compared across families. Labels can: they are over the V labels of the whole snapshot.
    """

    image_family: "Tensor"  # int64 [I]
    removed: "Tensor"  # int64 [I]: R, the components removed
    present: "Tensor"  # bool [I, V]: labels that the detector saw in the original and that were not removed
    text_family: "Tensor"  # int64 [T]
    named: "Tensor"  # int64 [T]: C, the components named by the source caption
    mentions: "Tensor"  # int64 [T]: M, the components that the text mentions
    may_mention: "Tensor"  # int64 [T]: U, the components that it may mention
    labels: "Tensor"  # bool [T, V]: labels that the text surely names
    text_key: "Tensor"  # int64 [T]: equal for texts that are equal after normalisation
    kind: "Tensor"  # int64 [T]: TextKind
    variant: "Tensor"  # int64 [T]: index of its kind of variant in Needs.variants; -1 for OWN texts
    owner: "Tensor"  # int64 [T]: index of the image that the text was drawn for

    def to(self, device: "torch.device | str") -> "Facts":
        """Copy all tensors to a device."""
        return Facts(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class Batch:
    """One process's share of a step."""

    pixels: "Tensor"  # float32 [I, 3, H, W], normalised for the model
    tokens: "Tensor"  # int64 [T, L]
    facts: Facts
    image_ids: tuple[str, ...]  # I times "record_id/subset", with a final "p" for a placebo
    text_ids: tuple[str, ...]  # T times "record_id/caption_id", with "#kind" for a variant


@dataclass(frozen=True)
class Needs:
    """What a method needs from the reader. All methods see equally many images in a step.

    Args:
        members: k, the images of one family in a batch; whole families if k exceeds their size. A mixture is a tuple of
            (k, share of the families).
        duals: whether members may be dual images; otherwise only originals.
        subsets: which dual images: "all", or only those with exactly one component removed ("leave_one_out").
        own: an image's own text: one that is exact for it ("dual"), any text of its family that is true of it ("true"), or always
            an original caption ("original"), even if it is false of a dual image.
        rewrites: kind of variant that may replace the own text, drawn uniformly from the text and its rewrites (LaCLIP).
        variants: kinds of further texts, and how many of each for every image; an image that has fewer gets fewer.
        neighbours: batches of families with near captions (SimCLIP); otherwise drawn at random.
        mined: share of a batch's images that are near neighbours of the others (NegCLIP); they count as images of the step.
        placebo: share of originals that are replaced by their placebo (an object-free region inpainted, text unchanged), among
            those that have one: a family without components or without a free region has none.
    """

    members: int | tuple[tuple[int, float], ...] = 1
    duals: bool = False
    subsets: str = "all"
    own: str = "dual"
    rewrites: str = ""
    variants: tuple[tuple[str, int], ...] = ()
    neighbours: bool = False
    mined: float = 0.0
    placebo: float = 0.0
