"""The rewriter role: every caption without every subset of the labels that it names, by language models, then by rules.

The first proposal that passes ``udfs.rewrite.checks`` is used. The rules come last. The table names them ``rules`` if no model is
configured, or ``rules (<reason>)`` with the first model's failure or first failed check. A model that cannot be reached stops the
stage; the rules do not stand in for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from udfs import clock
from udfs.rewrite.checks import check, masks
from udfs.rewrite.request import Proposer, RewriteRequest
from udfs.rewrite.rules import rewrite
from udfs.role import Failure, Row
from udfs.settings import RoleSettings
from udfs.truth import submasks

_RULES = "rules"


@dataclass(frozen=True)
class _Task:
    """One text to write; equal tasks are done once per batch. Mentions are tuples of their items, to be hashable."""

    caption: str
    mentions: tuple[tuple[tuple[str, Any], ...], ...]
    subset: int
    labels: tuple[str, ...]
    names: int

    @property
    def mention_rows(self) -> list[Row]:
        return [dict(items) for items in self.mentions]

    def of_bits(self, bits: int) -> list[str]:
        return [label for i, label in enumerate(self.labels) if bits >> i & 1]


@dataclass
class _Proposal:
    """One model's proposal: a text with its failed checks and masks, or the reason for having none."""

    model: str
    text: str | None
    reason: str
    checks: list[str]
    masks: tuple[int, int]

    @property
    def passes(self) -> bool:
        return self.text is not None and not self.checks


class Rewriter:
    """Rewrite captions for all non-empty subsets of what they name."""

    def __init__(self, settings: RoleSettings, device: str, models: Sequence[Proposer] | None = None) -> None:
        """Load the configured language models. ``models``: proposers to use instead of the configured ones."""
        if models is None:
            models = _configured(settings, device)
        self._models = list(models)
        self._judge = _text_judge(settings, device)
        self.name = "+".join([*(model.name for model in self._models), _RULES])
        self.version = "+".join([*(model.version for model in self._models), "3"])  # 3: no word with a new lemma

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Rewrite a batch.

        A row has ``labels`` (bit i of every mask is labels[i]) and ``captions`` (structs of caption_id, caption, status,
        monotone, names, may_name, mentions with their bit). The result's ``texts`` has one struct for each caption and
        non-empty submask of its ``names``, ascending; a caption that is not ok or not monotone gets its structs with that
        status and no text.
        """
        tasks: dict[_Task, list[_Proposal]] = {}
        plans = [[(caption, self._works(row, caption)) for caption in row["captions"]] for row in rows]
        for plan in plans:
            for caption, group in plan:
                if _status(caption) == "ok":
                    tasks.update((task, []) for task in group)
        with clock.spend("model"):
            self._propose(tasks)
            verdicts = self._verdicts(tasks)
        return [{"texts": [self._text(c, w, tasks, verdicts) for c, group in plan for w in group]} for plan in plans]

    def _works(self, row: Row, caption: Row) -> list[_Task]:
        mentions = tuple(tuple(sorted(mention.items())) for mention in caption["mentions"] or [])
        names = int(caption["names"])
        text = caption["caption"] or ""
        return [_Task(text, mentions, subset, tuple(row["labels"]), names) for subset in submasks(names)]

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
            result = rewrite(task.caption, task.mention_rows, task.subset)
            proposals.append(_judge(task, _RULES, result.text, result.status))

    def _verdicts(self, tasks: dict[_Task, list[_Proposal]]) -> dict[_Task, bool]:
        """The judge's verdict on each accepted text; no entry without a judge or a verdict."""
        accepted = {task: text for task, proposals in tasks.items() if (text := _accepted(proposals)) is not None}
        if self._judge is None or not accepted:
            return {}
        cases = [
            {
                "text": text.text,
                "removed": task.of_bits(task.subset),
                "kept": task.of_bits(task.names & ~task.subset),
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
        rules = proposals[-1]
        if accepted is None and rules.text is None:
            return base | _no_text(rules.reason, _rules_name(proposals), agreement)
        chosen = accepted or rules
        return base | {
            "caption": chosen.text,
            "mentions": chosen.masks[0],
            "may_mention": chosen.masks[1],
            "rewriter": chosen.model if chosen is not rules else _rules_name(proposals),
            "checks": chosen.checks,
            "agreement": agreement,
            "status": "ok" if accepted else "check_failed",
            "error": None if accepted else "failed checks: " + ", ".join(chosen.checks),
        }


def _accepted(proposals: Sequence[_Proposal]) -> _Proposal | None:
    return next((proposal for proposal in proposals if proposal.passes), None)


def _agreement(proposals: Sequence[_Proposal], accepted: _Proposal | None, verdict: bool | None) -> float | None:
    """Share of independent models that agree with the accepted text; None with fewer than two of them.

    A rewriter (the rules count as one) agrees if its own text passes and names the same labels; a judge, if it says yes.
    """
    votes = [accepted is not None and p.passes and p.masks == accepted.masks for p in proposals]
    if verdict is not None:
        votes.append(verdict)
    return sum(votes) / len(votes) if len(votes) > 1 else None


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
    removed: list[str] = []
    kept: list[str] = []
    for mention in task.mention_rows:
        if mention["bit"] >= 0:
            (removed if task.subset >> mention["bit"] & 1 else kept).append(mention["phrase"])
    return RewriteRequest(task.caption, tuple(removed), tuple(kept))


def _judge(task: _Task, model: str, text: str | None, reason: str) -> _Proposal:
    if text is None:
        return _Proposal(model, None, reason, [], (0, 0))
    failed = check(task.caption, text, task.of_bits(task.subset), task.of_bits(task.names & ~task.subset))
    return _Proposal(model, text, failed[0] if failed else reason, failed, masks(text, task.labels))


def _rules_name(proposals: Sequence[_Proposal]) -> str:
    """The rules' name in the table, with the reason why the first model was not used."""
    return _RULES if len(proposals) == 1 else f"{_RULES} ({proposals[0].reason})"


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
