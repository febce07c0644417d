"""The rewriter role: every caption without every subset of what it names, by language models, then by rules.

The first proposal that passes ``udfs.rewrite_checks`` is taken. Rules come last and are a model of their own: ``rules`` alone, or
``rules (<reason>)`` where a configured model's reply had failed, the reason being that failure or its first failed check. A model
that is out of reach stops the stage: its place is not the rules'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.settings import Settings
from jobs.truth import submasks
from udfs import clock
from udfs.rewrite_checks import check, masks
from udfs.rewrite_request import Proposer, RewriteRequest
from udfs.rewrite_rules import rewrite
from udfs.role import Failure, Row

_RULES = "rules"


@dataclass(frozen=True)
class _Work:
    """One text to make; equal works are made once a batch. Mentions are tuples of their items, to be hashable."""

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
    """What one model said: a text with its failed checks and masks, or why there is none."""

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

    def __init__(self, settings: Settings, device: str, models: Sequence[Proposer] | None = None) -> None:
        """Load the configured language models. ``models``: proposers to use instead of the configured ones."""
        if models is None:
            models = _configured(settings, device)
        self._models = list(models)
        self._judge = _text_judge(settings, device)
        self.name = "+".join([*(model.name for model in self._models), _RULES])
        self.version = "+".join([*(model.version for model in self._models), "3"])  # 3: no word that the caption has in no form

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Rewrite a batch.

        A row has ``labels`` (bit i of every mask is labels[i]) and ``captions`` (structs of caption_id, caption, status,
        monotone, names, may_name, mentions with their bit). The result's ``texts`` has one struct for each caption and
        non-empty submask of its ``names``, ascending; a caption that is not ok or not monotone gets its structs with that
        status and no text.
        """
        works: dict[_Work, list[_Proposal]] = {}
        plans = [[(caption, self._works(row, caption)) for caption in row["captions"]] for row in rows]
        for plan in plans:
            for caption, group in plan:
                if _status(caption) == "ok":
                    works.update((work, []) for work in group)
        with clock.spend("model"):
            self._propose(works)
            verdicts = self._verdicts(works)
        return [{"texts": [self._text(c, w, works, verdicts) for c, group in plan for w in group]} for plan in plans]

    def _works(self, row: Row, caption: Row) -> list[_Work]:
        mentions = tuple(tuple(sorted(mention.items())) for mention in caption["mentions"] or [])
        names = int(caption["names"])
        text = caption["caption"] or ""
        return [_Work(text, mentions, subset, tuple(row["labels"]), names) for subset in submasks(names)]

    def _propose(self, works: dict[_Work, list[_Proposal]]) -> None:
        if not works:
            return
        requests = [_request(work) for work in works]
        for model in self._models:
            for (work, proposals), reply in zip(works.items(), model.propose(requests), strict=True):
                if isinstance(reply, Failure):
                    proposals.append(_Proposal(model.name, None, reply.status, [], (0, 0)))
                else:
                    proposals.append(_judge(work, model.name, reply.strip(), "ok"))
        for work, proposals in works.items():
            result = rewrite(work.caption, work.mention_rows, work.subset)
            proposals.append(_judge(work, _RULES, result.text, result.status))

    def _verdicts(self, works: dict[_Work, list[_Proposal]]) -> dict[_Work, bool]:
        """What the judge says of each text that is taken; nothing where there is no judge or it had no verdict."""
        taken = {work: text for work, proposals in works.items() if (text := _taken(proposals)) is not None}
        if self._judge is None or not taken:
            return {}
        cases = [
            {
                "text": text.text,
                "removed": work.of_bits(work.subset),
                "kept": work.of_bits(work.names & ~work.subset),
            }
            for work, text in taken.items()
        ]
        answers = zip(taken, self._judge(cases), strict=True)
        return {w: a["verdict"] for w, a in answers if not isinstance(a, Failure) and a["verdict"] is not None}

    def _text(self, caption: Row, work: _Work, works: dict[_Work, list[_Proposal]], verdicts: dict[_Work, bool]) -> Row:
        base = {"caption_id": caption["caption_id"], "subset": work.subset}
        status = _status(caption)
        if status != "ok":
            return base | _nothing(status, None, None)
        proposals = works[work]
        taken = _taken(proposals)
        agreement = _agreement(proposals, taken, verdicts.get(work))
        rules = proposals[-1]
        if taken is None and rules.text is None:
            return base | _nothing(rules.reason, _named(proposals), agreement)
        chosen = taken or rules
        return base | {
            "caption": chosen.text,
            "mentions": chosen.masks[0],
            "may_mention": chosen.masks[1],
            "rewriter": chosen.model if chosen is not rules else _named(proposals),
            "checks": chosen.checks,
            "agreement": agreement,
            "status": "ok" if taken else "check_failed",
            "error": None if taken else "failed checks: " + ", ".join(chosen.checks),
        }


def _taken(proposals: Sequence[_Proposal]) -> _Proposal | None:
    return next((proposal for proposal in proposals if proposal.passes), None)


def _agreement(proposals: Sequence[_Proposal], taken: _Proposal | None, verdict: bool | None) -> float | None:
    """Share of independent models that agree with the text taken; None with fewer than two of them.

    A rewriter (the rules are one) agrees if its own text passes and names the same; a judge agrees if it says yes.
    """
    votes = [taken is not None and p.passes and p.masks == taken.masks for p in proposals]
    if verdict is not None:
        votes.append(verdict)
    return sum(votes) / len(votes) if len(votes) > 1 else None


def _configured(settings: Settings, device: str) -> list[Proposer]:
    wanted = [model for model in settings.rewriter.models if model.kind != _RULES]
    if not wanted:
        return []
    from udfs.rewrite_llm import LanguageModelRewriter

    with clock.spend("load"):
        return [LanguageModelRewriter(model, device) for model in wanted]


def _text_judge(settings: Settings, device: str) -> Any:
    if settings.judge.text is None or settings.judge.text.kind == _RULES:
        return None
    from udfs.judge_text import TextJudge

    with clock.spend("load"):
        return TextJudge(settings, device)


def _status(caption: Row) -> str:
    if caption["status"] != "ok":
        return str(caption["status"])
    return "ok" if caption["monotone"] else "not_monotone"


def _request(work: _Work) -> RewriteRequest:
    gone: list[str] = []
    kept: list[str] = []
    for mention in work.mention_rows:
        if mention["bit"] >= 0:
            (gone if work.subset >> mention["bit"] & 1 else kept).append(mention["phrase"])
    return RewriteRequest(work.caption, tuple(gone), tuple(kept))


def _judge(work: _Work, model: str, text: str | None, reason: str) -> _Proposal:
    if text is None:
        return _Proposal(model, None, reason, [], (0, 0))
    failed = check(work.caption, text, work.of_bits(work.subset), work.of_bits(work.names & ~work.subset))
    return _Proposal(model, text, failed[0] if failed else reason, failed, masks(text, work.labels))


def _named(proposals: Sequence[_Proposal]) -> str:
    """The rules' name in the table, with why the model before them was not taken."""
    return _RULES if len(proposals) == 1 else f"{_RULES} ({proposals[0].reason})"


def _nothing(status: str, rewriter: str | None, agreement: float | None) -> Row:
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
