"""One row of a snapshot: a family, with everything that training needs of one record."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, cast

from jobs.snapshot.manifest import COLUMNS, LISTS, NUMBERS, PLACEBO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row = dict[str, Any]  # a family as Parquet readers return it

# Columns whose arrays have the same length.
PARALLEL = (
    ("subsets", "images"),
    ("caption_id", "text", "text_named", "text_mentions", "text_may_mention"),
    ("variant_text", "variant_of", "variant_kind", "variant_mentions", "variant_may_mention", "variant_names"),
)
IMAGE_COLUMNS = ("images", "placebo")


class Family(TypedDict):
    """A family of K images, T texts and W variants. Masks are bit masks over ``labels``."""

    record_id: str
    shard: int
    n: int  # components
    labels: list[str]  # of the n components
    subsets: "NDArray[np.int32]"  # [K] R, the components removed from each image; ascending
    images: list[bytes]  # [K], encoded
    caption_id: list[str]  # [T]
    text: list[str]  # [T]
    text_named: "NDArray[np.int32]"  # [T] C, named by the source caption
    text_mentions: "NDArray[np.int32]"  # [T] M
    text_may_mention: "NDArray[np.int32]"  # [T] U
    detected: list[str]  # labels that the detector saw in the original
    variant_text: list[str]  # [W]
    variant_of: "NDArray[np.int32]"  # [W] index of the source in ``text``
    variant_kind: list[str]  # [W]
    variant_mentions: "NDArray[np.int32]"  # [W] M
    variant_may_mention: "NDArray[np.int32]"  # [W] U
    variant_names: list[str]  # [W] the labels that a variant surely names, joined by ``JOINT``
    placebo: bytes | None  # encoded; the original with an object-free region inpainted


def typed(row: Mapping[str, Any]) -> Family:
    """A row with Python lists and int32 arrays, whichever reader it comes from; a missing placebo is None."""
    import numpy as np

    plain: Row = {"record_id": str(row["record_id"]), "shard": int(row["shard"]), "n": int(row["n"])}
    for name in LISTS:
        plain[name] = np.asarray(row[name], dtype=np.int32) if name in NUMBERS else list(cast("Sequence[Any]", row[name]))
    (placebo,) = PLACEBO
    return cast("Family", {name: plain[name] for name in COLUMNS} | {placebo: row.get(placebo)})


def is_consistent(family: Family) -> bool:
    """Whether the arrays that belong together are equally long."""
    columns = cast("Mapping[str, Any]", family)
    return all(len({len(columns[name]) for name in names}) == 1 for names in PARALLEL)
