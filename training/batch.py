"""What one step of training sees: images, texts, and the facts that say which text is true of which image.

A reader makes batches (``training.reader``), the loop embeds and gathers them (``training.loop``), a method turns features and
facts into a loss (``training.methods``). Texts come in one list: first each image's own text, in the images' order, then what a
method asked for besides, such as hard negatives.
"""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class TextKind(IntEnum):
    """What a text is to the image that it was picked for."""

    OWN = 0  # the text that its image is trained on
    NEGATIVE = 1  # made to be false of that image: words swapped or replaced
    POSITIVE = 2  # made to be true of it besides its own: a paraphrase


@dataclass(frozen=True)
class Facts:
    """Of I images and T texts, T >= I; all tensors of one device.

    Families are known by a number made of the record id, the same in every process. Bits are over the components of the image's
    or the text's own family, and mean nothing across families; labels, over the V labels of the whole snapshot, do.
    """

    image_family: "Tensor"  # int64 [I]
    removed: "Tensor"  # int64 [I]: R, the components removed
    present: "Tensor"  # bool [I, V]: labels that the detector found in the original and that were not removed
    text_family: "Tensor"  # int64 [T]
    named: "Tensor"  # int64 [T]: C, of the source caption
    mentions: "Tensor"  # int64 [T]: M
    may_mention: "Tensor"  # int64 [T]: U
    labels: "Tensor"  # bool [T, V]: labels that the text surely names
    text_key: "Tensor"  # int64 [T]: equal for strings that are equal after normalisation
    kind: "Tensor"  # int64 [T]: TextKind
    variant: "Tensor"  # int64 [T]: place of its kind of variant in Needs.variants, -1 of OWN texts
    owner: "Tensor"  # int64 [T]: the image that it was picked for

    def to(self, device: "torch.device | str") -> "Facts":
        """The same on a device."""
        return Facts(*(getattr(self, one.name).to(device) for one in fields(self)))


@dataclass(frozen=True)
class Batch:
    """One process's share of a step."""

    pixels: "Tensor"  # float32 [I, 3, H, W], normalised as the model wants it
    tokens: "Tensor"  # int64 [T, L]
    facts: Facts
    image_ids: tuple[str, ...]  # I times "record_id/subset", with "p" of a placebo
    text_ids: tuple[str, ...]  # T times "record_id/caption_id", with "#kind" of a variant


@dataclass(frozen=True)
class Needs:
    """What a method asks of the reader. All methods see equally many images a step.

    Args:
        members: k, images of one family in a batch; whole families if it exceeds their size. A mixture is given as
            (k, share of the families).
        duals: whether members may be dual images, or the original alone.
        subsets: which dual images: "all", or those without exactly one component ("leave_one_out").
        own: which text an image gets: one that is exact for it ("dual"), any of its family that is true of it ("true"), or always
            an original caption ("original"), though it may be false of a dual image.
        rewrites: kind of variant that stands in for an own text with equal chance among all there are; "" for none (LaCLIP).
        variants: kinds of variants that come besides, and how many of each for every image; an image with fewer has fewer.
        neighbours: batches of families whose captions are near each other (SimCLIP), or drawn at random.
        mined: images of a batch that are near neighbours of others in it (NegCLIP); they count as images of the step.
        placebo: share of originals that come with an object-free region inpainted, text unchanged, of those that have such an
            image in the snapshot: a family without components has none, nor one in which no place was free.
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
