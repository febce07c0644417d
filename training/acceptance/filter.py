"""How well the filter separates good pairs from spoilt ones, by the columns that the engine measures.

    python -m training.acceptance filter --choose --count 250 --seed 100     chooses thresholds on scenes that no report uses
    python -m training.acceptance filter --count 250 --seed 900              recall per fault, and rejected good pairs

A *natural good output* is a pair from the engine with something removed. The edit covers each removed thing (98% of its visible
pixels) and no other thing by more than half. The text has the meaning of the right dual text, as ``jobs.scenes.meaning`` reads
it, in good grammar. How well the hole is filled does not matter. A spoilt pair is a good one with a fault from
``training.acceptance.corruptions``; each scene has at most one of each kind. Intervals are 95%, by bootstrap over scenes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from jobs.engine.policy import OF_TEXT, RULES
from jobs.scenes import layout
from jobs.scenes.scene import Scene, Split
from jobs.scenes.seeds import check
from jobs.settings import Policy, Settings, load_settings
from training.acceptance.corruptions import SPOILERS, spoil
from training.acceptance.engine import Engine
from training.acceptance.scores import Score, not_scored, score, show
from udfs.role import Row
from udfs.weights import FOLDER

STAGE = "filter"
FALSE_REJECTS = 0.05  # at most, on the scenes for choosing thresholds
CHOSEN = ("max_residual", "max_intruder", "max_seam", "min_survivor", "min_clip_true", "min_clip_drop", "min_clip_image")
SEGMENTER = FOLDER / "segmenter_objects.pt"
EMBEDDER = FOLDER / "clip_objects.json"
# Shares of good pairs that the candidates for a threshold reject.
STEPS = (0.0, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05)


@dataclass(frozen=True)
class Measured:
    """A pair's measured columns. ``kind``: its fault; empty: a natural good output."""

    scene: int
    kind: str
    columns: Row
    text: str
    caption: str


def reasons(policy: Policy, row: Row) -> list[str]:
    """Why a pair is rejected: ``jobs.engine.policy.reasons_sql`` for one row of plain values."""
    rejections = ["unknown_relation"] if row["relation"] != "exact" else []
    for setting, column, sign, reason in RULES:
        limit, value = getattr(policy, setting), row[column]
        guarded = row["subset"] == 0 and column not in OF_TEXT
        if limit is not None and value is not None and not guarded and (value > limit if sign == ">" else value < limit):
            rejections.append(reason)
    return rejections + ["text_checks"] * (policy.require_text_ok and row["text_ok"] is False)


def measure(engine: Engine, scenes: Iterable[tuple[int, Scene]]) -> Iterator[Measured]:
    """Measure the natural good outputs and the spoilt pairs of numbered scenes. The scene's key is the seed of its faults."""
    for number, scene in scenes:
        output = engine.make(scene)
        good = [pair for pair in engine.pairs(output) if engine.good(output, pair)]
        if not good:
            continue
        pairs = good + spoil(engine, output, good, Random(f"faults of {scene.key}"))
        for pair, columns in zip(pairs, engine.measure(output, pairs), strict=True):
            yield Measured(number, pair.kind, columns, pair.text, output.captions[pair.caption].text)


def run(settings: Settings, count: int, seed: int, size: int, domain: str = "objects") -> list[Measured]:
    """Measure ``count`` scenes of each split."""
    engine = Engine(settings)
    splits: tuple[Split, ...] = ("train", "test")
    scenes = (
        (h * count + i, layout.sample(domain, split, seed, i, size)) for h, split in enumerate(splits) for i in range(count)
    )
    return list(measure(engine, scenes))


def report(measured: Sequence[Measured], policy: Policy) -> Iterator[Score]:
    """The rows of the table: recall of each kind of fault, false rejects, and the reasons for them."""
    why = [reasons(policy, pair.columns) for pair in measured]
    for kind in SPOILERS:
        of_kind = [(bool(r), pair.scene) for pair, r in zip(measured, why, strict=True) if pair.kind == kind]
        yield score(STAGE, "faults rejected", kind, [hit for hit, _ in of_kind], [scene for _, scene in of_kind])
    natural = [(r, pair.scene) for pair, r in zip(measured, why, strict=True) if not pair.kind]
    where = [scene for _, scene in natural]
    yield score(STAGE, "good pairs rejected", "all", [bool(r) for r, _ in natural], where)
    for name in dict.fromkeys(name for r, _ in natural for name in r):
        yield score(STAGE, "good pairs rejected", f"  {name}", [name in r for r, _ in natural], where)


def choose(measured: Sequence[Measured], policy: Policy, most: float = FALSE_REJECTS) -> Policy:
    """Choose the thresholds in ``CHOSEN``: those of the highest worth that reject at most a share ``most`` of the good pairs.

    Worth is the mean recall over the kinds of faults minus the share of good pairs rejected, so that no good pairs are lost to a
    fault that no column detects. The search is greedy: it starts without thresholds and makes the single best change until none
    helps. Thresholds of columns that were not measured stay as in ``policy``.
    """
    natural = [pair.columns for pair in measured if not pair.kind]
    candidates: dict[str, list[float]] = {}
    for setting, column, sign, _ in RULES:
        values = [row[column] for row in natural if row[column] is not None] if setting in CHOSEN else []
        if values:
            outer = [1 - step if sign == ">" else step for step in STEPS]
            candidates[setting] = sorted({_rounded(v, sign) for v in np.quantile(values, outer)})
    best = policy.model_copy(update=dict.fromkeys(candidates))
    kinds = np.array([pair.kind for pair in measured])
    fixed = np.array([bool(reasons(best, pair.columns)) for pair in measured])
    caught = {setting: {None: np.zeros(len(measured), bool)} for setting in candidates}
    for setting, column, sign, _ in RULES:
        for limit in candidates.get(setting, ()):
            caught[setting][limit] = _beyond([pair.columns[column] for pair in measured], limit, sign)  # type: ignore[index]
    limits: dict[str, float | None] = dict.fromkeys(candidates)
    value = _worth(kinds, fixed)
    while True:
        tried = []
        for setting, setting_limits in candidates.items():
            rest = np.logical_or.reduce([fixed, *(caught[s][limits[s]] for s in limits if s != setting)])  # type: ignore[index]
            for limit in setting_limits:
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
    """Round to three decimals, towards rejecting less."""
    return float(np.ceil(value * 1000) / 1000 if sign == ">" else np.floor(value * 1000) / 1000)


def _beyond(values: Sequence[float | None], limit: float, sign: str) -> npt.NDArray[np.bool_]:
    numbers = np.array([np.nan if value is None else value for value in values], float)
    return numbers > limit if sign == ">" else numbers < limit


def models(segmenter: Path, embedder: Path) -> list[str]:
    """Settings for a segmenter and an open_clip config (weights in the same folder), each if its file exists.

    Otherwise the source's annotations replace the segmenter, and there is no embedder, whatever the profile says.
    """
    seeing = ["segmenter.kind=annotations"]
    if segmenter.is_file():
        seeing = ["segmenter.kind=yolo", f"segmenter.weights={segmenter}", "segmenter.image_size=128"]
    if embedder.is_file():
        return [*seeing, f"embedder.model={embedder}", f"embedder.checkpoint={embedder.with_suffix('.safetensors')}"]
    return [*seeing, 'embedder.model=""']


def missing(settings: Settings, segmenter: Path, embedder: Path) -> Iterator[Score]:
    """Rows that say which columns are null because a model is missing."""
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
    wrong = [pair for pair in measured if bool(pair.kind) != bool(reasons(policy, pair.columns))]
    for pair in Random(0).sample(wrong, min(sample, len(wrong))):
        typer.echo(f"{pair.kind or 'good'}: {pair.caption!r} -> {pair.text!r} {reasons(policy, pair.columns)} {pair.columns}")
    if choose_:
        typer.echo(" ".join(f"--set policy.{name}={getattr(policy, name)}" for name in CHOSEN if hasattr(policy, name)))
