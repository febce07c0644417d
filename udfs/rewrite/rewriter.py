"""The rewriter role: every caption without every subset of the labels that it names, by language models and by rules.

Each of them proposes a text, in the order of the settings. Of the texts that pass ``udfs.rewrite.checks`` the first is used,
unless a later one says more: has all its nouns and another. A model's text that lacks a noun of the rules' passing text fails
with ``says_less``: what the rules could keep need not go.

The rules stand where the settings have ``kind: rules``, else before the first small model, else last. The table names them
``rules`` if no model stands before them, or ``rules (<reason>)`` with the first model's failure or first failed check; so too if
they stand first and nobody has a text that passes. A model that cannot be reached stops the stage; the rules do not stand in
for it.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self, cast

from udfs import clock
from udfs.captions.referents import NamedRow, OtherRow, Reference, Referents
from udfs.captions.vocabulary import ANY
from udfs.rewrite.checks import Apart, check, nouns
from udfs.rewrite.request import Proposer, RewriteRequest
from udfs.rewrite.rules import Removal, without
from udfs.role import Failure, Row
from udfs.settings import RoleSettings
from udfs.truth import submasks

_RULES: Final = "rules"
_SAYS_LESS = "says_less"
# Of the rules and the checks. 7: what is in the hand goes along; 6: verbs agree in number; 5: what a component carries names it;
# 4: the man stands, not his phone; prepositions, counts and signs are checked.
_VERSION = "8"
# Parameters. With 0.5 and 1.5 billion of them the rules' texts were right more often than the model's; more were not tried.
_SMALL = 3e9


@dataclass(frozen=True)
class _Family:
    """The components of a family and its ``others``, as JSON, to be hashable."""

    rows: str

    @classmethod
    def of(cls, row: Row) -> Self:
        """The family of an input row."""
        return cls(json.dumps([row["components"], row.get("others") or []], sort_keys=True, default=list))

    @cached_property
    def components(self) -> list[NamedRow]:
        return cast("list[NamedRow]", json.loads(self.rows)[0])

    @cached_property
    def others(self) -> list[OtherRow]:
        return cast("list[OtherRow]", json.loads(self.rows)[1])

    @cached_property
    def referents(self) -> Referents:
        return Referents(self.components, self.others)

    @cached_property
    def divided(self) -> int:
        """The components that share their class with others, as a bit mask."""
        counts = Counter(row["label"] for row in (*self.components, *self.others))
        return sum(1 << bit for bit, row in enumerate(self.components) if counts[row["label"]] > 1)


@dataclass(frozen=True)
class _Task:
    """One text to write; equal tasks are done once per batch. Mentions are tuples of their items, to be hashable."""

    caption: str
    mentions: tuple[tuple[tuple[str, Any], ...], ...]
    subset: int
    family: _Family
    names: int

    @cached_property
    def mention_rows(self) -> list[Row]:
        """The caption's mentions."""
        return [dict(items) for items in self.mentions]

    @cached_property
    def references(self) -> list[tuple[Row, Reference]]:
        """Each mention with what it refers to."""
        return [(mention, self.family.referents.of(self.caption, mention)) for mention in self.mention_rows]

    @property
    def kept(self) -> int:
        """The components that the text has to name."""
        return self.names & ~self.subset

    @property
    def lost(self) -> list[Row]:
        """The mentions of which nothing is left."""
        return [mention for mention, reference in self.references if reference.lost(self.subset)]

    def named(self, bits: int, *, labels_of_divided: bool) -> list[str]:
        """What the caption surely names of these components and of what they carry: labels, or names of parts of a class."""
        sure = {mention["label"] for mention in self.mention_rows if mention["certain"]}
        chosen: dict[str, None] = {}
        for bit, row in enumerate(self.family.components):
            if bits >> bit & 1:
                if not self.family.divided >> bit & 1:
                    chosen |= dict.fromkeys({row["label"]} & sure)
                elif labels_of_divided:
                    chosen[row.get("name") or row["label"]] = None
                chosen |= dict.fromkeys(label for label in row.get("carries") or () if label in sure)
        return list(chosen)

    def propose(self) -> Removal:
        """The rules' text. There is none where a mention is false without being gone: one of "two men"."""
        if any(reference.wronged(self.subset) for _, reference in self.references):
            return Removal(None, "not_rewritable")
        seen = [mention for mention, reference in self.references if reference.fits or reference.stays]
        return without(self.caption, self.mention_rows, self.lost, seen)

    def failed(self, text: str) -> list[str]:
        """The checks that a text fails."""
        removed, kept = (self.named(bits, labels_of_divided=False) for bits in (self.subset, self.kept))
        return check(self.caption, text, removed, kept, self._apart)

    @property
    def _apart(self) -> Apart | None:
        divided = self.family.divided
        if not divided:
            return None
        labels = frozenset(row["label"] for bit, row in enumerate(self.family.components) if divided >> bit & 1)
        lost = [mention for mention in self.lost if mention["certain"]]
        return Apart(self.family.referents, self.subset & divided, self.kept & divided, labels, lost)


@dataclass
class _Proposal:
    """A model's proposal, or the rules': a text with its failed checks and masks, or the reason for having none."""

    model: str
    text: str | None
    reason: str
    checks: list[str]
    masks: tuple[int, int]
    by_rules: bool = False

    @property
    def passes(self) -> bool:
        return self.text is not None and not self.checks

    @property
    def is_opinion(self) -> bool:
        """Whether it says anything of another's text; one that says less does."""
        return self.text is not None and set(self.checks) <= {_SAYS_LESS}

    @cached_property
    def nouns(self) -> frozenset[str]:
        """The nouns of the text."""
        return nouns(self.text or "")


class Rewriter:
    """Rewrite captions for all non-empty subsets of what they name."""

    def __init__(self, settings: RoleSettings, device: str, models: Sequence[Proposer] | None = None) -> None:
        """Load the configured language models. ``models``: proposers to use instead of the configured ones."""
        if models is None:
            models = _configured(settings, device)
        self._models = list(models)
        self._place = _place_of_rules(settings, self._models)
        self._judge = _text_judge(settings, device)
        self.name = "+".join(self._with_rules([model.name for model in self._models], _RULES))
        self.version = "+".join(self._with_rules([model.version for model in self._models], _VERSION))

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Rewrite a batch.

        A row has ``components`` (``NamedRow``; bit i of every mask is the i-th), ``others`` (``OtherRow``; may be missing) and
        ``captions`` (structs of caption_id, caption, status, monotone, names, may_name, mentions). The result's ``texts`` has one
        struct for each caption and non-empty submask of its ``names``, ascending; a caption that is not ok or not monotone gets
        its structs with that status and no text.
        """
        tasks: dict[_Task, list[_Proposal]] = {}
        plans = [self._plan(row) for row in rows]
        for plan in plans:
            for caption, group in plan:
                if _status(caption) == "ok":
                    tasks.update((task, []) for task in group)
        with clock.spend("model"):
            self._propose(tasks)
            verdicts = self._verdicts(tasks)
        return [{"texts": [self._text(c, w, tasks, verdicts) for c, group in plan for w in group]} for plan in plans]

    def _with_rules(self, of_models: list[str], of_rules: str) -> list[str]:
        return [*of_models[: self._place], of_rules, *of_models[self._place :]]

    def _plan(self, row: Row) -> list[tuple[Row, list[_Task]]]:
        """Each caption with its texts to write; they share the family, whose names are looked up again and again."""
        family = _Family.of(row)
        return [(caption, self._works(family, caption)) for caption in row["captions"]]

    def _works(self, family: _Family, caption: Row) -> list[_Task]:
        mentions = tuple(tuple(sorted(mention.items())) for mention in caption["mentions"] or [])
        names, text = int(caption["names"]), caption["caption"] or ""
        return [_Task(text, mentions, subset, family, names) for subset in submasks(names)]

    def _propose(self, tasks: dict[_Task, list[_Proposal]]) -> None:
        if not tasks:
            return
        requests = [_request(task) for task in tasks]
        for model in self._models:
            for (task, proposals), reply in zip(tasks.items(), model.propose(requests), strict=True):
                if isinstance(reply, Failure):
                    proposals.append(_Proposal(model.name, None, reply.status, [], (0, 0)))
                else:
                    proposals.append(_judge(task, model.name, reply.strip(), "ok"))
        for task, proposals in tasks.items():
            result = task.propose()
            by_rules = _judge(task, _RULES, result.text, result.status, by_rules=True)
            _compare(proposals, by_rules)
            proposals.insert(self._place, by_rules)

    def _verdicts(self, tasks: dict[_Task, list[_Proposal]]) -> dict[_Task, bool]:
        """The judge's verdict on each accepted text; no entry without a judge or a verdict."""
        accepted = {task: text for task, proposals in tasks.items() if (text := _accepted(proposals)) is not None}
        if self._judge is None or not accepted:
            return {}
        cases = [
            {
                "text": text.text,
                "removed": task.named(task.subset, labels_of_divided=True),
                "kept": task.named(task.kept, labels_of_divided=True),
            }
            for task, text in accepted.items()
        ]
        answers = zip(accepted, self._judge(cases), strict=True)
        return {w: a["verdict"] for w, a in answers if not isinstance(a, Failure) and a["verdict"] is not None}

    def _text(self, caption: Row, task: _Task, tasks: dict[_Task, list[_Proposal]], verdicts: dict[_Task, bool]) -> Row:
        base = {"caption_id": caption["caption_id"], "subset": task.subset}
        status = _status(caption)
        if status != "ok":
            return base | _no_text(status, None, None)
        proposals = tasks[task]
        accepted = _accepted(proposals)
        agreement = _agreement(proposals, accepted, verdicts.get(task))
        rules = next(proposal for proposal in proposals if proposal.by_rules)
        if accepted is None and rules.text is None:
            return base | _no_text(rules.reason, _rules_name(proposals, accepted), agreement)
        chosen = accepted or rules
        return base | {
            "caption": chosen.text,
            "mentions": chosen.masks[0],
            "may_mention": chosen.masks[1],
            "rewriter": chosen.model if chosen is not rules else _rules_name(proposals, accepted),
            "checks": chosen.checks,
            "agreement": agreement,
            "status": "ok" if accepted else "check_failed",
            "error": None if accepted else "failed checks: " + ", ".join(chosen.checks),
        }


def _compare(by_models: Sequence[_Proposal], by_rules: _Proposal) -> None:
    """Let models' texts that say less than the rules' fail."""
    for proposal in by_models:
        if by_rules.passes and proposal.passes and by_rules.nouns - proposal.nouns:
            proposal.checks.append(_SAYS_LESS)
            proposal.reason = _SAYS_LESS


def _accepted(proposals: Sequence[_Proposal]) -> _Proposal | None:
    """The first text that passes, unless a later one says more."""
    passing = [proposal for proposal in proposals if proposal.passes]
    best = passing[0] if passing else None
    for proposal in passing[1:]:
        if best is not None and proposal.nouns > best.nouns:
            best = proposal
    return best


def _agreement(proposals: Sequence[_Proposal], accepted: _Proposal | None, verdict: bool | None) -> float | None:
    """How far the others agree with the accepted text, 0 to 1; None if there is none, or nobody else has an opinion.

    It is the mean over other writers (the rules count as one) of the share of nouns that both texts have, 0 where they name other
    labels, and over judges of yes (1) or no (0). A text's own writer has no vote: with it, the agreement of one model and the
    rules would never be less than a half. Nor has one whose own text fails its checks: where a model of 0.5 billion parameters
    failed, the rules were right as often as elsewhere (60 of 68 and 32 of 35 texts).
    """
    if accepted is None:
        return None
    votes = [_overlap(p, accepted) for p in proposals if p is not accepted and p.is_opinion]
    if verdict is not None:
        votes.append(float(verdict))
    return sum(votes) / len(votes) if votes else None


def _overlap(first: _Proposal, second: _Proposal) -> float:
    """The share of two texts' nouns that both have; 0 if they name other labels."""
    together = first.nouns | second.nouns
    shared = len(first.nouns & second.nouns) / len(together) if together else 1.0
    return shared if first.masks == second.masks else 0.0


def _place_of_rules(settings: RoleSettings, models: Sequence[Proposer]) -> int:
    """How many models stand before the rules."""
    kinds = [model.kind for model in settings.rewriter.models]
    if _RULES in kinds:
        return kinds.index(_RULES)
    small = (i for i, model in enumerate(models) if model.parameters is not None and model.parameters < _SMALL)
    return next(small, len(models))


def _configured(settings: RoleSettings, device: str) -> list[Proposer]:
    models = [model for model in settings.rewriter.models if model.kind != _RULES]
    if not models:
        return []
    from udfs.rewrite.llm import LanguageModelRewriter

    with clock.spend("load"):
        return [LanguageModelRewriter(model, device) for model in models]


def _text_judge(settings: RoleSettings, device: str) -> Any:
    if settings.judge.text is None or settings.judge.text.kind == _RULES:
        return None
    from udfs.judge.text import TextJudge

    with clock.spend("load"):
        return TextJudge(settings, device)


def _status(caption: Row) -> str:
    if caption["status"] != "ok":
        return str(caption["status"])
    return "ok" if caption["monotone"] else "not_monotone"


def _request(task: _Task) -> RewriteRequest:
    removed, kept = [], []
    for mention, reference in task.references:
        if reference.lost(task.subset):
            removed.append(mention["phrase"])
        elif reference.fits and mention["label"] != ANY:
            kept.append(mention["phrase"])
    return RewriteRequest(task.caption, tuple(removed), tuple(kept))


def _judge(task: _Task, model: str, text: str | None, reason: str, by_rules: bool = False) -> _Proposal:
    if text is None:
        return _Proposal(model, None, reason, [], (0, 0), by_rules)
    failed = task.failed(text)
    named = task.family.referents.masks(text)
    return _Proposal(model, text, failed[0] if failed else reason, failed, named, by_rules)


def _rules_name(proposals: Sequence[_Proposal], accepted: _Proposal | None) -> str:
    """The rules' name in the table, with the reason why the first model was not used, where it was to be."""
    first = next((proposal for proposal in proposals if not proposal.by_rules), None)
    preferred = proposals[0].by_rules and accepted is not None
    return _RULES if first is None or preferred else f"{_RULES} ({first.reason})"


def _no_text(status: str, rewriter: str | None, agreement: float | None) -> Row:
    return {
        "caption": None,
        "mentions": 0,
        "may_mention": 0,
        "rewriter": rewriter,
        "checks": [],
        "agreement": agreement,
        "status": status,
        "error": None,
    }
