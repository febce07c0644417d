"""The training methods by name. Each is a loss over features and facts, and its needs from the reader."""

from typing import Any

from training.methods.base import Loss, Method
from training.methods.ce_clip import CeClip
from training.methods.clip import Clip
from training.methods.coca import CoCa
from training.methods.joined import Joined
from training.methods.laclip import LaClip
from training.methods.negclip import NegClip
from training.methods.powerset import PowerSet
from training.methods.simclip import SimClip
from training.methods.svlc import Svlc

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (Clip, NegClip, SimClip, CeClip, Svlc, LaClip, CoCa, PowerSet)
}
JOINED = tuple(f"powerset+{name}" for name in ("negclip", "simclip", "ce_clip", "svlc", "laclip"))
NAMES = (*METHODS, *JOINED)

__all__ = ["JOINED", "METHODS", "NAMES", "Loss", "Method", "make"]


def make(name: str, **options: Any) -> Method:
    """A method by its name. For a joined name such as "powerset+negclip" the options are the power set's.

    Raises:
        ValueError: there is no such method or option, or a value is invalid.
    """
    if name not in NAMES:
        raise ValueError(f"no method {name!r}: choose one of {', '.join(NAMES)}")
    first, _, second = name.partition("+")
    try:
        method = METHODS[first](**options)
    except TypeError as problem:
        raise ValueError(f"method {first}: {problem}") from None
    if not second:
        return method
    assert isinstance(method, PowerSet), "only the power set is joined with another method"
    return Joined(method, METHODS[second](masking=method.masking))
