"""All results in the records, as numbers; ``report`` turns them into text and pictures.

The primary contrasts, and how they are decided, were registered before the runs (``training/study/results/REGISTERED.md``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from training.study.arms import ARMS, BOLD, BY_NAME, COMBINATIONS, DESIGNED, GENTLE, ON, SCRATCH, TEXT_NEGATIVE, Arm, Unit
from training.study.compare import Columns, Draws, Estimate, columns_of, contrast, drawn_values, estimate, holm
from training.study.endpoints import ENDPOINTS, TOUCHED, EndPoint, group_of
from training.study.questions import Numbers, read_numbers
from training.study.queue import pending, records_of, wanted
from training.study.record import Record, questions_of, read_all
from training.study.regime import Regime

NOT_WORSE = -2.0  # points; a difference whose lower bound is above this is called not worse
SIGNIFICANT = 0.05
SEEDS = 5  # least number for a primary contrast, as registered; fewer decide nothing
CLAIMS = (
    "the power set beats CLIP",
    "families in a batch matter",
    "the best combination beats the best text-negative method",
)


@dataclass(frozen=True)
class Contrast:
    """One arm against another at one end point; ``adjusted`` is Holm's p over the primary contrasts."""

    claim: str
    arm: str
    other: str
    point: str
    estimate: Estimate
    adjusted: float | None = None

    @property
    def decides(self) -> bool:
        """Whether it has the registered number of seeds: with fewer, t finds an effect far too often where there is none."""
        return self.estimate.seeds >= SEEDS

    @property
    def verdict(self) -> str:
        """Supported, the other way round, not worse, or open: by the interval, and by Holm's p where there is one."""
        if not self.decides:
            return "open"
        sure = self.adjusted is None or self.adjusted < SIGNIFICANT
        if self.estimate.low > 0 and sure:
            return "supported"
        if self.estimate.high < 0 and sure:
            return "the other way round"
        return "not worse" if self.estimate.low > NOT_WORSE else "open"


@dataclass(frozen=True)
class Study:
    """A regime's records and questions in a folder."""

    folder: Path
    regime: Regime

    @cached_property
    def records(self) -> dict[str, Record]:
        """All records of the regime."""
        return read_all(records_of(self.folder, self.regime), self.regime.name)

    @cached_property
    def numbers(self) -> Numbers:
        """The scenes of the questions and the blind baselines."""
        return read_numbers(questions_of(records_of(self.folder, self.regime)))

    @cached_property
    def draws(self) -> Draws:
        """The draws of the bootstrap, one set for everything."""
        return Draws.of(self.numbers.scenes, {group_of(name) for point in ENDPOINTS for name in point.columns})


@dataclass(frozen=True)
class Findings:
    """The results in a study's records, for one set of weights (``final`` or ``best``)."""

    study: Study
    which: str = "final"
    extended: bool = False

    @property
    def regime(self) -> Regime:
        """The study's regime."""
        return self.study.regime

    @property
    def records(self) -> dict[str, Record]:
        """All records of the regime."""
        return self.study.records

    @property
    def numbers(self) -> Numbers:
        """The scenes of the questions and the blind baselines."""
        return self.study.numbers

    @cached_property
    def runs(self) -> dict[str, dict[int, Columns]]:
        """Verdicts by arm and seed, in the order of the arms."""
        runs: dict[str, dict[int, Columns]] = {arm.name: {} for arm in ARMS}
        for record in self.records.values():
            if record.trial is None and record.arm in runs and record.questions == self.numbers.version:
                runs[record.arm][record.seed] = columns_of(record, self.which)
        return {name: seeds for name, seeds in runs.items() if seeds}

    def records_of(self, arm: str) -> list[Record]:
        """The records of an arm's runs, without tuning."""
        return [record for record in self.records.values() if record.arm == arm and record.trial is None]

    @property
    def missing(self) -> list[Unit]:
        """Runs that have no record."""
        return pending(self.regime, self.study.folder, self.extended)

    @cached_property
    def planned(self) -> set[str]:
        """The names of all runs in the plan."""
        return {unit.name for unit in wanted(self.regime, self.extended)}

    def value(self, arm: str, points: Sequence[EndPoint]) -> Estimate:
        """An arm's value at the mean of some end points."""
        return estimate(*drawn_values(list(self.runs[arm].values()), points, self.study.draws))

    def difference(self, arm: str, other: str, points: Sequence[EndPoint]) -> Estimate | None:
        """An arm minus another; None if they have no seed in common."""
        return contrast(self.runs.get(arm, {}), self.runs.get(other, {}), points, self.study.draws)

    def chosen(self, names: Sequence[str]) -> str | None:
        """The arm with the best validation over its seeds; None if none has run."""
        scored = {name: [record.score for record in self.records_of(name)] for name in names}
        means = {name: sum(values) / len(values) for name, values in scored.items() if values}
        return max(means, key=lambda name: means[name]) if means else None

    @cached_property
    def primary(self) -> list[Contrast]:
        """The three contrasts at the four end points, with Holm's correction over all twelve."""
        best, rival = self.chosen(COMBINATIONS), self.chosen(TEXT_NEGATIVE)
        arms = (("powerset", "clip"), ("powerset", "shuffled"), (best, rival))
        claims = [(claim, arm, other) for claim, (arm, other) in zip(CLAIMS, arms, strict=True) if arm and other]
        contrasts = [
            Contrast(claim, arm, other, point.name, difference)
            for claim, arm, other in claims
            for point in ENDPOINTS
            if (difference := self.difference(arm, other, [point])) is not None
        ]
        # A contrast that is missing or decides nothing counts as p = 1, so that the correction is the registered one.
        tests = {(claim, point.name): 1.0 for claim in CLAIMS for point in ENDPOINTS}
        adjusted = holm(tests | {(c.claim, c.point): c.estimate.p for c in contrasts if c.decides})
        return [Contrast(c.claim, c.arm, c.other, c.point, c.estimate, adjusted[c.claim, c.point]) for c in contrasts]

    @cached_property
    def secondary(self) -> list[Contrast]:
        """Each method against CLIP and each control against the power set, at the mean of the end points; not corrected."""
        pairs = [(f"{arm.name} against CLIP", arm.name, "clip") for arm in self._with_runs("method") if arm.name != "clip"]
        pairs += [(arm.says, arm.name, against(arm)) for arm in self._with_runs("control") + self._with_runs("extended")]
        pairs += [(f"the power set against CLIP on {size}", f"powerset_{data}", f"clip_{data}") for data, size in ON.items()]
        return self._at_the_mean(pairs) + self.best + self.over_methods(DESIGNED.name, "what was designed from this")

    @cached_property
    def best(self) -> list[Contrast]:
        """The best combination against each other method, at the mean of the end points; not corrected."""
        best = self.chosen(COMBINATIONS)
        return self.over_methods(best, "best combination") if best else []

    def over_methods(self, name: str, label: str) -> list[Contrast]:
        """An arm against each other method, at the mean of the end points."""
        return self._at_the_mean([(f"{label} against {arm.name}", name, arm.name) for arm in self._with_runs("method")])

    def _at_the_mean(self, pairs: Sequence[tuple[str, str, str]]) -> list[Contrast]:
        return [
            Contrast(claim, arm, other, "mean", difference)
            for claim, arm, other in pairs
            if arm != other and (difference := self.difference(arm, other, ENDPOINTS)) is not None
        ]

    @property
    def flags(self) -> list[str]:
        """Warnings that a reader needs before trusting a number."""
        flags = []
        for name in TEXT_NEGATIVE:
            binding = self.difference(name, "clip", ENDPOINTS[:1])
            if binding and binding.high < 0:
                flags.append(f"{name} falls below plain CLIP on edits, its own target: it is not beaten, it failed here")
        devices = sorted({record.device for record in self.records.values() if record.trial is None})  # tuning enters no contrast
        if len(devices) > 1:
            flags.append(f"runs of several devices: {', '.join(devices)}; contrasts between them are not to be trusted")
        starts = {record.start for record in self.records.values()}
        if len(starts) > 1:
            flags.append(f"runs of several start models: {', '.join(sorted(starts))}")
        changed = sorted(name for name, record in self.records.items() if record.commit.endswith("+"))
        if changed:
            flags.append(f"{len(changed)} runs were made with files that differ from their commit")
        strange = [name for name, record in self.records.items() if record.questions != self.numbers.version]
        if strange:
            flags.append(f"{len(strange)} runs were asked other questions and are left out")
        return flags

    def column(self, arm: str, name: str) -> float | None:
        """The mean verdict of a column over an arm's runs; None if it was not asked."""
        values = [float(columns[name].mean()) for columns in self.runs.get(arm, {}).values() if name in columns]
        return sum(values) / len(values) if values else None

    @cached_property
    def columns(self) -> list[str]:
        """All columns, "group/metric"."""
        return list(dict.fromkeys(name for runs in self.runs.values() for columns in runs.values() for name in columns))

    def _with_runs(self, part: str) -> list[Arm]:
        return [arm for name in self.runs if (arm := BY_NAME[name]).part == part]


def against(arm: Arm) -> str:
    """The arm that a control or an extended arm is compared with: the one from which it differs in one thing."""
    if arm == DESIGNED:
        return "shuffled+negclip"
    if arm == BOLD:
        return f"clip_{arm.data}"
    if arm in GENTLE:
        return f"powerset_{arm.data}"
    return "clip_scratch" if arm in SCRATCH else arm.tuned_as


def is_touched(column: str) -> bool:
    """Whether a column asks what removal trains."""
    return group_of(column) in TOUCHED
