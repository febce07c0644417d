"""The arms of the study, how often each is run, and in which order.

An arm is a method, its options and its training data; everything else is set by the regime, the same for all arms. Arms are run
in this order: those that decide the primary contrasts come first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Part = Literal["start", "method", "control", "curve", "extended"]
Data = Literal[
    "main", "grey", "true", "more", "quarter", "half", "unfiltered", "random", "one", "two", "four", "colours", "places", "large"
]


@dataclass(frozen=True)
class Weight:
    """A method's own weight, and the values that tuning tries besides its default."""

    name: str
    values: tuple[float, float]


@dataclass(frozen=True)
class Arm:
    """One line of the study.

    ``tuned_as``: the arm whose learning rate it uses; empty: it is tuned itself. ``run``: options that override the regime's
    in its runs. ``extended`` arms run on demand only.
    """

    name: str
    method: str
    says: str
    part: Part
    data: Data = "main"
    options: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    tuned_as: str = ""
    weight: Weight | None = None
    seeds: int = 3


def _control(name: str, says: str, **overrides: Any) -> Arm:
    return Arm(name, "powerset", says, **({"part": "control", "tuned_as": "powerset"} | overrides))


START = Arm("start", "", "the scene-pretrained CLIP before any of it", "start", seeds=1)
METHODS = (
    Arm("clip", "clip", "fine-tuned on the originals alone", "method", seeds=5),
    Arm("negclip", "negclip", "swapped captions as negatives, mined images", "method", seeds=5),
    Arm("simclip", "simclip", "batches of near neighbours in text space", "method", seeds=5),
    Arm("ce_clip", "ce_clip", "intra-modal contrast and ranking", "method", weight=Weight("cmr", (0.1, 0.4)), seeds=5),
    Arm("svlc", "svlc", "negatives by rules, and analogies", "method", weight=Weight("negative", (0.5, 2.0)), seeds=5),
    Arm("laclip", "laclip", "rewritten captions", "method", seeds=5),
    Arm("powerset", "powerset", "whole families: dual images and dual texts", "method", seeds=5),
    Arm("powerset+negclip", "powerset+negclip", "families, and swapped texts as negatives", "method", seeds=5),
    Arm("seven_times", "clip", "CLIP on seven times more really rendered originals", "method", data="more"),
)
CONTROLS = (
    _control("shuffled", "the same duals, no two of a family in a batch", options={"members": 1}, seeds=5),
    Arm(
        *("shuffled+negclip", "powerset+negclip", "the combination, no two of a family in a batch", "control"),
        options={"members": 1}, tuned_as="powerset+negclip", seeds=5,
    ),
    _control("grey_box", "holes painted grey in place of inpainted", data="grey"),
    _control("texts_only", "dual texts with original images", options={"images": "originals", "members": 1}),
    _control("first_form", "dual images whose original caption is false, no dual texts", options={"first_form": True}),
    _control("leave_one_out", "only one component removed at a time", options={"subsets": "leave_one_out"}),
    _control("placebo", "half of the originals with an object-free region inpainted", options={"placebo": 0.5}),
)  # fmt: skip
PARTS: tuple[Data, ...] = ("quarter", "half")
ON: dict[Data, str] = {
    "quarter": "a quarter of the originals",
    "half": "a half of the originals",
    "large": "four times the originals",
}
CURVE = tuple(
    Arm(f"{name}_{data}", name, f"{name} on {ON[data]}", "curve", data=data, tuned_as=name)
    for data in PARTS
    for name in ("clip", "powerset")
)
# Cheap with the lattice, where removal alone teaches nothing: which thing has which colour, and which is where.
EXCHANGES: tuple[Data, ...] = ("colours", "places")
EXCHANGED = tuple(
    Arm(
        *(f"powerset+negclip_{kind}", "powerset+negclip", f"the combination, and two components' {kind} exchanged", "extended"),
        data=kind, tuned_as="powerset+negclip",
    )
    for kind in EXCHANGES
)  # fmt: skip
# What helped separately, combined: the same duals shuffled, colours exchanged, NegCLIP's texts.
DESIGNED = Arm(
    *("shuffled+negclip_colours", "powerset+negclip", "the combination shuffled, and components' colours exchanged", "extended"),
    data="colours", options={"members": 1}, tuned_as="powerset+negclip", seeds=5,
)  # fmt: skip
# From scratch the rate is the regime's middle one; it is not tuned for these arms.
NOTHING = {"checkpoint": ""}
CAPTIONER = NOTHING | {"model": "embedded:coca_study.json"}  # a config without weights: open_clip's CoCa has no ResNet
SCRATCH = (
    *(Arm(f"{name}_scratch", name, f"{name} from nothing", "extended", run=NOTHING) for name in ("clip", "powerset")),
    Arm("coca_scratch", "coca", "a captioner from nothing, with a transformer for images", "extended", run=CAPTIONER),
)
LARGE = tuple(
    Arm(f"{name}_large", name, f"{name} on {ON['large']}", "extended", data="large", tuned_as=name)
    for name in ("clip", "powerset")
)
# Rates were tuned on all originals: CLIP's is high for few originals, and the power set's perhaps low for many. These arms ask
# how much of the curve is due to that.
GENTLE = tuple(
    Arm(f"clip_{data}_gentle", "clip", f"clip on {amount}, at the power set's rate", "extended", data=data, tuned_as="powerset")
    for data, amount in ON.items()
)
BOLD = Arm(
    *("powerset_large_bold", "powerset", f"powerset on {ON['large']}, at CLIP's rate", "extended"),
    data="large", tuned_as="clip",
)  # fmt: skip
# In order of cost: the last ones need further data from the engine.
EXTENDED = (
    *EXCHANGED,
    DESIGNED,
    *GENTLE[:-1],
    _control("image_frozen", "only the text tower is trained", run={"freeze": "image"}, part="extended"),
    _control("text_frozen", "only the image tower is trained", run={"freeze": "text"}, part="extended"),
    _control("only_one", "at most one component of an image: N = 1", data="one", part="extended"),
    _control("only_two", "at most two components of an image: N = 2", data="two", part="extended"),
    _control("oracle", "removals really rendered", data="true", part="extended"),
    _control("unfiltered", "every dual that was made, whatever the filter says", data="unfiltered", part="extended"),
    _control("random_filter", "as many duals rejected, at random", data="random", part="extended"),
    _control("chance_masked", "true by chance of another family: masked", options={"masking": True}, part="extended"),
    _control("soft", "entailed texts as soft targets", options={"entailed": "soft"}, part="extended"),
    _control("ranked", "entailed texts ranked below exact ones", options={"entailed": "rank"}, part="extended"),
    *(
        Arm(f"powerset+{method}", f"powerset+{method}", f"families joined with {method}", "extended", tuned_as="powerset")
        for method in ("simclip", "ce_clip", "svlc", "laclip")
    ),
    *SCRATCH,
    _control("only_four", "up to four components: N = 4", data="four", part="extended"),
    *LARGE,
    GENTLE[-1],
    BOLD,
)
ARMS = (START, *METHODS, *CONTROLS, *CURVE, *EXTENDED)
BY_NAME = {arm.name: arm for arm in ARMS}

COMBINATIONS = ("powerset+negclip", "shuffled+negclip")
TEXT_NEGATIVE = ("negclip", "ce_clip", "svlc")


@dataclass(frozen=True)
class Unit:
    """One run: an arm and a seed, or one trial of its tuning (``trial`` counts from 0; the seed is then 0)."""

    arm: str
    seed: int = 0
    trial: int | None = None

    @property
    def name(self) -> str:
        """The name of the run, used for its folder, lock and record."""
        return f"{self.arm}_tune{self.trial}" if self.trial is not None else f"{self.arm}_seed{self.seed}"


def units(trials: int, seeds: int, extended: bool) -> Iterator[Unit]:
    """All runs in order: the start, tuning, methods seed by seed, the primary contrasts' further seeds, then the rest.

    Args:
        trials: trials of tuning for each tuned arm; 0: none.
        seeds: most seeds of an arm.
        extended: also the arms that run on demand.
    """
    yield Unit(START.name)
    yield from (Unit(arm.name, trial=trial) for arm in METHODS for trial in range(trials))
    groups = (METHODS, CONTROLS[:2])
    for seed in range(min(3, seeds)):
        yield from (Unit(arm.name, seed) for group in groups for arm in group if seed < arm.seeds)
    for seed in range(3, seeds):
        yield from (Unit(arm.name, seed) for group in groups for arm in group if seed < arm.seeds)
    later = (*CONTROLS[2:], *CURVE, *(EXTENDED if extended else ()))
    for seed in range(seeds):
        yield from (Unit(arm.name, seed) for arm in later if seed < arm.seeds)
