"""All that the records say, as numbers; ``report`` puts it into words and pictures.

The primary contrasts, and what decides them, were written down before the runs (``study/REGISTERED.md``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from training.study.arms import ARMS, BOLD, BY_NAME, COMBINATIONS, DESIGNED, GENTLE, ON, SCRATCH, TEXT_NEGATIVE, Arm, Unit
from training.study.compare import Columns, Draws, Estimate, columns_of, contrast, drawn_values, estimate, holm
from training.study.endpoints import ENDPOINTS, TOUCHED, EndPoint, group_of
from training.study.questions import Numbers, read_numbers
from training.study.queue import NUMBERS, pending, records_of, wanted
from training.study.record import Record, read_all
from training.study.regime import Regime

NOT_WORSE = -2.0  # points: the least lower bound of a difference that is called not worse
SIGNIFICANT = 0.05
SEEDS = 5  # of a primary contrast, as registered; fewer decide nothing
CLAIMS = (
    "the power set beats CLIP",
    "families in a batch matter",
    "the best combination beats the best text-negative method",
)


@dataclass(frozen=True)
class Contrast:
    """One arm against another at one end point; ``adjusted`` is Holm's p over the primary ones."""

    claim: str
    one: str
    other: str
    point: str
    found: Estimate
    adjusted: float | None = None

    @property
    def decides(self) -> bool:
        """Whether it has the seeds that were registered: the t of fewer is found far too often where there is nothing."""
        return self.found.seeds >= SEEDS

    @property
    def verdict(self) -> str:
        """Supported, worse, not worse, or open: by the interval, and Holm's p where there is one."""
        if not self.decides:
            return "open"
        sure = self.adjusted is None or self.adjusted < SIGNIFICANT
        if self.found.low > 0 and sure:
            return "supported"
        if self.found.high < 0 and sure:
            return "the other way round"
        return "not worse" if self.found.low > NOT_WORSE else "open"


@dataclass(frozen=True)
class Study:
    """What a folder holds of a regime."""

    folder: Path
    regime: Regime

    @cached_property
    def records(self) -> dict[str, Record]:
        """All records of the regime."""
        return read_all(records_of(self.folder, self.regime), self.regime.name)

    @cached_property
    def numbers(self) -> Numbers:
        """What is known of the questions."""
        return read_numbers(records_of(self.folder, self.regime) / NUMBERS)

    @cached_property
    def draws(self) -> Draws:
        """The bootstrap's, one set for everything."""
        return Draws.of(self.numbers.scenes, {group_of(name) for point in ENDPOINTS for name in point.columns})


@dataclass(frozen=True)
class Findings:
    """Of a study's records, for one set of weights (``final`` or ``best``)."""

    study: Study
    which: str = "final"
    extended: bool = False

    @property
    def regime(self) -> Regime:
        """The study's."""
        return self.study.regime

    @property
    def records(self) -> dict[str, Record]:
        """All records of the regime."""
        return self.study.records

    @property
    def numbers(self) -> Numbers:
        """What is known of the questions."""
        return self.study.numbers

    @cached_property
    def runs(self) -> dict[str, dict[int, Columns]]:
        """Verdicts by arm and seed, in the order of the arms."""
        found: dict[str, dict[int, Columns]] = {arm.name: {} for arm in ARMS}
        for record in self.records.values():
            if record.trial is None and record.arm in found and record.questions == self.numbers.version:
                found[record.arm][record.seed] = columns_of(record, self.which)
        return {name: runs for name, runs in found.items() if runs}

    def records_of(self, arm: str) -> list[Record]:
        """The records of an arm's runs, tuning apart."""
        return [record for record in self.records.values() if record.arm == arm and record.trial is None]

    @property
    def missing(self) -> list[Unit]:
        """Runs that have no record."""
        return pending(self.regime, self.study.folder, self.extended)

    @property
    def planned(self) -> int:
        """Runs that there are to be."""
        return len(wanted(self.regime, self.extended))

    def value(self, arm: str, points: Sequence[EndPoint]) -> Estimate:
        """An arm's value at the mean of some end points."""
        return estimate(*drawn_values(list(self.runs[arm].values()), points, self.study.draws))

    def difference(self, one: str, other: str, points: Sequence[EndPoint]) -> Estimate | None:
        """One arm less another; None where they have no seed in common."""
        return contrast(self.runs.get(one, {}), self.runs.get(other, {}), points, self.study.draws)

    def chosen(self, names: Sequence[str]) -> str | None:
        """Of some arms the one with the best validation, over its seeds; None: none has run."""
        scored = {name: [record.score for record in self.records_of(name)] for name in names}
        means = {name: sum(values) / len(values) for name, values in scored.items() if values}
        return max(means, key=lambda name: means[name]) if means else None

    @cached_property
    def primary(self) -> list[Contrast]:
        """The three contrasts at the four end points, with Holm's correction over all that there are."""
        best, rival = self.chosen(COMBINATIONS), self.chosen(TEXT_NEGATIVE)
        arms = (("powerset", "clip"), ("powerset", "shuffled"), (best, rival))
        claims = [(claim, one, other) for claim, (one, other) in zip(CLAIMS, arms, strict=True) if one and other]
        found = [
            Contrast(claim, one, other, point.name, made)
            for claim, one, other in claims
            for point in ENDPOINTS
            if (made := self.difference(one, other, [point])) is not None
        ]
        # What is missing or decides nothing counts as a test that found nothing, so that the correction is the registered one.
        tests = {(claim, point.name): 1.0 for claim in CLAIMS for point in ENDPOINTS}
        adjusted = holm(tests | {(c.claim, c.point): c.found.p for c in found if c.decides})
        return [Contrast(c.claim, c.one, c.other, c.point, c.found, adjusted[c.claim, c.point]) for c in found]

    @cached_property
    def secondary(self) -> list[Contrast]:
        """Each method against CLIP and each control against the power set, at the mean of the end points; not corrected."""
        pairs = [(f"{arm.name} against CLIP", arm.name, "clip") for arm in self._there("method") if arm.name != "clip"]
        pairs += [(arm.says, arm.name, against(arm)) for arm in self._there("control") + self._there("extended")]
        pairs += [(f"the power set against CLIP on {words}", f"powerset_{data}", f"clip_{data}") for data, words in ON.items()]
        return self._at_the_mean(pairs) + self.best + self.over_methods(DESIGNED.name, "what was designed from this")

    @cached_property
    def best(self) -> list[Contrast]:
        """The best combination against each other method, at the mean of the end points; not corrected."""
        best = self.chosen(COMBINATIONS)
        return self.over_methods(best, "best combination") if best else []

    def over_methods(self, name: str, what: str) -> list[Contrast]:
        """An arm against each other method, at the mean of the end points."""
        return self._at_the_mean([(f"{what} against {arm.name}", name, arm.name) for arm in self._there("method")])

    def _at_the_mean(self, pairs: Sequence[tuple[str, str, str]]) -> list[Contrast]:
        return [
            Contrast(claim, one, other, "mean", made)
            for claim, one, other in pairs
            if one != other and (made := self.difference(one, other, ENDPOINTS)) is not None
        ]

    @property
    def flags(self) -> list[str]:
        """What a reader must know before believing a number."""
        found = []
        for name in TEXT_NEGATIVE:
            binding = self.difference(name, "clip", ENDPOINTS[:1])
            if binding and binding.high < 0:
                found.append(f"{name} falls below plain CLIP on edits, its own target: it is not beaten, it failed here")
        devices = sorted({record.device for record in self.records.values() if record.trial is None})  # tuning is no contrast
        if len(devices) > 1:
            found.append(f"runs of several devices: {', '.join(devices)}; contrasts between them are not to be trusted")
        starts = {record.start for record in self.records.values()}
        if len(starts) > 1:
            found.append(f"runs of several start models: {', '.join(sorted(starts))}")
        changed = sorted(name for name, record in self.records.items() if record.commit.endswith("+"))
        if changed:
            found.append(f"{len(changed)} runs were made with files that differ from their commit")
        strange = [name for name, record in self.records.items() if record.questions != self.numbers.version]
        if strange:
            found.append(f"{len(strange)} runs were asked other questions and are left out")
        return found

    def column(self, arm: str, name: str) -> float | None:
        """The mean verdict of a column over an arm's runs; None: it was not asked."""
        values = [float(columns[name].mean()) for columns in self.runs.get(arm, {}).values() if name in columns]
        return sum(values) / len(values) if values else None

    @cached_property
    def columns(self) -> list[str]:
        """All columns, "group/metric"."""
        return list(dict.fromkeys(name for runs in self.runs.values() for columns in runs.values() for name in columns))

    def _there(self, part: str) -> list[Arm]:
        return [arm for name in self.runs if (arm := BY_NAME[name]).part == part]


def against(arm: Arm) -> str:
    """What a control or an extended arm is compared with: what it differs from in one thing."""
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
