"""How well the filter tells good pairs from spoilt ones, in the columns that the engine measures.

    python -m scenes.score_filter --choose --count 250 --seed 100     thresholds on scenes that nothing is reported on
    python -m scenes.score_filter --count 250 --seed 900              recall a fault, and good pairs that are rejected

A *natural good output* is a pair as the engine made it, with something removed, in which every thing that is to go is covered by
the edit (98% of its seen pixels), nothing else for the most part (50%), and whose text says what the right dual text says, as
``scenes.meaning`` reads it, in good grammar. How well the hole is filled does not enter. A spoilt pair is a good one with a fault
of ``scenes.spoilt``; each scene gives at most one of each kind. Intervals are of 95%, by bootstrap over scenes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from jobs.policy import OF_TEXT, RULES
from jobs.settings import Policy, Settings, load_settings
from scenes import layout
from scenes.natural import Engine
from scenes.scene import Scene, Split
from scenes.scores import Score, not_scored, score, show
from scenes.seeds import check
from scenes.spoilt import SPOILERS, spoil
from udfs.role import Row

STAGE = "filter"
FALSE_REJECTS = 0.05  # at most, on the scenes that thresholds are chosen on
CHOSEN = ("max_residual", "max_intruder", "max_seam", "min_survivor", "min_clip_true", "min_clip_drop", "min_clip_image")
SEGMENTER = Path(__file__).parent / "models" / "segmenter_objects.pt"
EMBEDDER = Path(__file__).parent / "models" / "clip_objects.json"
STEPS = (0.0, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05)  # good pairs that a candidate for a threshold rejects


@dataclass(frozen=True)
class Measured:
    """A pair's columns. ``kind``: its fault; empty: a natural good output."""

    scene: int
    kind: str
    columns: Row
    text: str
    caption: str


def reasons(policy: Policy, row: Row) -> list[str]:
    """Why a pair is rejected: ``jobs.policy.reasons_sql`` for one row of plain values."""
    found = ["unknown_relation"] if row["relation"] != "exact" else []
    for setting, column, sign, reason in RULES:
        limit, value = getattr(policy, setting), row[column]
        guarded = row["subset"] == 0 and column not in OF_TEXT
        if limit is not None and value is not None and not guarded and (value > limit if sign == ">" else value < limit):
            found.append(reason)
    return found + ["text_checks"] * (policy.require_text_ok and row["text_ok"] is False)


def measure(engine: Engine, scenes: Iterable[tuple[int, Scene]]) -> Iterator[Measured]:
    """Natural good outputs and spoilt pairs of numbered scenes. The scene's number is the seed of its faults."""
    for number, scene in scenes:
        made = engine.make(scene)
        good = [pair for pair in engine.pairs(made) if engine.good(made, pair)]
        if not good:
            continue
        pairs = good + spoil(engine, made, good, Random(f"faults of {scene.key}"))
        for pair, columns in zip(pairs, engine.measure(made, pairs), strict=True):
            yield Measured(number, pair.kind, columns, pair.text, made.captions[pair.caption].text)


def run(settings: Settings, count: int, seed: int, size: int, domain: str = "objects") -> list[Measured]:
    """Measure ``count`` scenes of each split."""
    engine = Engine(settings)
    splits: tuple[Split, ...] = ("train", "test")
    scenes = (
        (h * count + i, layout.sample(domain, split, seed, i, size)) for h, split in enumerate(splits) for i in range(count)
    )
    return list(measure(engine, scenes))


def report(measured: Sequence[Measured], policy: Policy) -> Iterator[Score]:
    """The lines of the table: recall of each kind of fault, false rejects, and what they were rejected for."""
    why = [reasons(policy, one.columns) for one in measured]
    for kind in SPOILERS:
        mine = [(bool(r), one.scene) for one, r in zip(measured, why, strict=True) if one.kind == kind]
        yield score(STAGE, "faults rejected", kind, [hit for hit, _ in mine], [scene for _, scene in mine])
    natural = [(r, one.scene) for one, r in zip(measured, why, strict=True) if not one.kind]
    where = [scene for _, scene in natural]
    yield score(STAGE, "good pairs rejected", "all", [bool(r) for r, _ in natural], where)
    for name in dict.fromkeys(name for r, _ in natural for name in r):
        yield score(STAGE, "good pairs rejected", f"  {name}", [name in r for r, _ in natural], where)


def choose(measured: Sequence[Measured], policy: Policy, most: float = FALSE_REJECTS) -> Policy:
    """The policy with the thresholds of ``CHOSEN`` that are worth most and reject at most a share ``most`` of the good pairs.

    Worth is the mean recall of the kinds of faults less the share of good pairs that are rejected, so that nothing is spent on
    a fault that no column sees. From no thresholds at all, the single change that helps most is made until none helps. Columns
    that were not measured keep what the policy has.
    """
    natural = [one.columns for one in measured if not one.kind]
    candidates: dict[str, list[float]] = {}
    for setting, column, sign, _ in RULES:
        values = [row[column] for row in natural if row[column] is not None] if setting in CHOSEN else []
        if values:
            outer = [1 - step if sign == ">" else step for step in STEPS]
            candidates[setting] = sorted({_rounded(v, sign) for v in np.quantile(values, outer)})
    best = policy.model_copy(update=dict.fromkeys(candidates))
    kinds = np.array([one.kind for one in measured])
    fixed = np.array([bool(reasons(best, one.columns)) for one in measured])
    caught = {setting: {None: np.zeros(len(measured), bool)} for setting in candidates}
    for setting, column, sign, _ in RULES:
        for limit in candidates.get(setting, ()):
            caught[setting][limit] = _beyond([one.columns[column] for one in measured], limit, sign)  # type: ignore[index]
    limits: dict[str, float | None] = dict.fromkeys(candidates)
    value = _worth(kinds, fixed)
    while True:
        tried = []
        for setting, some in candidates.items():
            rest = np.logical_or.reduce([fixed, *(caught[s][limits[s]] for s in limits if s != setting)])  # type: ignore[index]
            for limit in some:
                rejected = rest | caught[setting][limit]  # type: ignore[index]
                if rejected[kinds == ""].mean() <= max(most, fixed[kinds == ""].mean()):
                    tried.append((_worth(kinds, rejected), setting, limit))
        gain = max(tried, default=None)
        if gain is None or gain[0] <= value:
            return policy.model_copy(update=limits)
        value, limits[gain[1]] = gain[0], gain[2]


def _worth(kinds: npt.NDArray[Any], rejected: npt.NDArray[np.bool_]) -> float:
    recalls = [float(rejected[kinds == kind].mean()) for kind in SPOILERS if (kinds == kind).any()]
    return float(np.mean(recalls or [0.0])) - float(rejected[kinds == ""].mean())


def _rounded(value: float, sign: str) -> float:
    """Three digits, to the side that rejects less."""
    return float(np.ceil(value * 1000) / 1000 if sign == ">" else np.floor(value * 1000) / 1000)


def _beyond(values: Sequence[float | None], limit: float, sign: str) -> npt.NDArray[np.bool_]:
    numbers = np.array([np.nan if value is None else value for value in values], float)
    return numbers > limit if sign == ">" else numbers < limit


def models(segmenter: Path, embedder: Path) -> list[str]:
    """Settings that name a segmenter and an open_clip config (its weights beside it), each if it is there.

    Else the source's annotations take the segmenter's place, and there is no embedder, whatever a profile says.
    """
    seeing = ["segmenter.kind=annotations"]
    if segmenter.is_file():
        seeing = ["segmenter.kind=yolo", f"segmenter.weights={segmenter}", "segmenter.image_size=128"]
    if embedder.is_file():
        return [*seeing, f"embedder.model={embedder}", f"embedder.checkpoint={embedder.with_suffix('.safetensors')}"]
    return [*seeing, 'embedder.model=""']


def missing(settings: Settings, segmenter: Path, embedder: Path) -> Iterator[Score]:
    """Lines that say which columns are null, for want of a model."""
    if settings.segmenter.kind == "annotations":
        yield not_scored(STAGE, "residual, intruder", f"no weights at {segmenter}, the source's annotations in their place")
    if not settings.embedder.model:
        yield not_scored(STAGE, "CLIP columns", f"no weights at {embedder}")


def main(
    count: Annotated[int, typer.Option(min=1, help="scenes of each split")] = 250,
    seed: Annotated[int, typer.Option(help="of the scenes: 900 to 999; 100 to 199 with --choose")] = 900,
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the pictures in pixels")] = 128,
    domain: Annotated[str, typer.Option(help="a built-in domain or a definition file")] = "objects",
    profile: Annotated[str, typer.Option(help="whose models and thresholds are used")] = "embedded",
    segmenter: Annotated[Path, typer.Option(help="YOLO-seg weights; without them the source's annotations")] = SEGMENTER,
    embedder: Annotated[Path, typer.Option(help="an open_clip config, its weights beside it as .safetensors")] = EMBEDDER,
    set_: Annotated[list[str], typer.Option("--set", help="a setting, a.b=c")] = [],  # noqa: B006 - typer's
    choose_: Annotated[bool, typer.Option("--choose", help="propose thresholds")] = False,
    sample: Annotated[int, typer.Option(help="pairs on which the filter is wrong that are shown")] = 0,
) -> None:
    """Score the filter on scenes of both splits, or choose its thresholds."""
    check(seed, "choosing" if choose_ else "evaluation")
    settings = load_settings(profile, [*models(segmenter, embedder), *set_])
    measured = run(settings, count, seed, size, domain)
    policy = choose(measured, settings.policy) if choose_ else settings.policy
    show(
        [*missing(settings, segmenter, embedder), *report(measured, policy)],
        f"{domain}, seed {seed}, {size} px, {settings.segmenter.kind}, {settings.inpainter.kind}",
    )
    wrong = [one for one in measured if bool(one.kind) != bool(reasons(policy, one.columns))]
    for one in Random(0).sample(wrong, min(sample, len(wrong))):
        typer.echo(f"{one.kind or 'good'}: {one.caption!r} -> {one.text!r} {reasons(policy, one.columns)} {one.columns}")
    if choose_:
        typer.echo(" ".join(f"--set policy.{name}={getattr(policy, name)}" for name in CHOSEN if hasattr(policy, name)))


if __name__ == "__main__":
    typer.run(main)
