"""How good is the filter, by people's verdicts? Precision and recall with intervals, from the random part alone.

The doubtful pairs were chosen because they are doubtful, so the verdicts on them say nothing about the rest.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import cast

from jobs.engine.policy import IMAGE_VERSION, TEXT_VERSION
from jobs.engine.tables import Store
from jobs.engine.views import latest, run_query
from jobs.look.review.rows import PairKey, VerdictRow
from jobs.look.review.verdicts import QUESTIONS, REASONS
from jobs.look.shares import Share, share_of

QUERIES = Path(__file__).parent / "queries"
HOLES = {"under 2%": 0.02, "2 to 6%": 0.06, "6% and more": 1.01}  # of the image: share up to which a hole has this size


@dataclass(frozen=True)
class Filter:
    """One policy, as it was when its pairs were exported.

    ``precision``: share of the kept pairs that are good. ``missed``: share of the rejected pairs that are good. ``recall``: share
    of the good pairs that are kept, with bounds; None unless pairs of both kinds were judged. ``questions``: share of the kept
    pairs without a reason that answers this question (of ``jobs.look.review.verdicts.QUESTIONS``) with no; a pair that was
    rejected without any reason is left out. ``natural``: that share of the last question by the size of the hole. ``faults``: how
    often people gave each reason for a kept pair, which may have several.
    """

    policy: str
    kept: int  # pairs in the tables
    rejected: int
    precision: Share
    missed: Share
    recall: tuple[float, float, float] | None
    questions: dict[str, Share]
    natural: dict[str, Share]
    faults: dict[str, int]


@dataclass
class Summary:
    """All policies that pairs were drawn under, the latest first, and how far reviewers agree.

    ``agreement`` is the share of (pair, two reviewers) with one verdict, over ``compared`` of them; None without any.
    ``reviewers`` counts the pairs that each has judged, the doubtful ones included.
    """

    filters: list[Filter] = field(default_factory=list)
    reviewers: dict[str, int] = field(default_factory=dict)
    agreement: float | None = None
    compared: int = 0


def summarise(store: Store) -> Summary:
    """The summary of ``reviews``, without withdrawn records and without verdicts on images or texts that have changed since.

    Each reviewer's last verdict on a pair counts, and one rejection outweighs all acceptances, as in the filter. Only verdicts on
    the pair itself count here: one that rejects its image by way of another pair came from another draw.
    """
    rows = _last_verdicts(store) if store.exists("reviews") else []
    rows.sort(key=lambda row: row["judged_at"])
    verdicts: dict[PairKey, dict[str, str]] = {}
    policies: dict[str, dict[PairKey, VerdictRow]] = {}
    reasons: dict[PairKey, dict[str, set[str]]] = {}
    for row in rows:
        pair = (row["record_id"], row["subset"], row["caption_id"])
        verdicts.setdefault(pair, {})[row["reviewer"]] = row["verdict"]
        if row["stratum"] == "random":
            # The policy of the latest verdict comes last; a pair that several reviewers judged was drawn once.
            policies[row["policy"]] = policies.pop(row["policy"], {}) | {pair: row}
            reasons.setdefault(pair, {})[row["reviewer"]] = set(row["reasons"] or ())
    same = [first == second for by_reviewer in verdicts.values() for first, second in combinations(by_reviewer.values(), 2)]
    faults = {pair: set().union(*by_reviewer.values()) for pair, by_reviewer in reasons.items()}
    good = {pair: "reject" not in by_reviewer.values() for pair, by_reviewer in verdicts.items()}
    return Summary(
        [_filter(policy, drawn, good, faults) for policy, drawn in reversed(policies.items())],
        dict(Counter(name for by_reviewer in verdicts.values() for name in by_reviewer).most_common()),
        sum(same) / len(same) if same else None,
        len(same),
    )


def recall_of(precision: Share, missed: Share, kept: int, rejected: int) -> tuple[float, float, float] | None:
    """(share of the good pairs that are kept, its bounds), from the shares of good pairs among kept and among rejected pairs.

    The bounds combine the worst ends of the two intervals, and so are wider than a 95% interval.
    """
    values = [(precision.value, missed.value), (precision.low, missed.high), (precision.high, missed.low)]
    recalls = []
    for good, lost in values:
        if good is None or lost is None or not (whole := kept * good + rejected * lost):
            return None
        recalls.append(kept * good / whole)
    return recalls[0], recalls[1], recalls[2]


def lines(summary: Summary) -> Iterator[str]:
    """The summary for a person to read."""
    if not summary.reviewers:
        yield "nobody has reviewed anything yet: dualset review export"
    for policy in summary.filters:
        yield f"policy: {policy.policy}"
        yield f"  precision  {_shown(policy.precision)}: share of the {policy.kept} kept pairs that are good"
        if policy.recall:
            value, low, high = policy.recall
            yield f"  recall     {value:.3f} ({low:.3f} to {high:.3f}): share of all good pairs that are kept"
        rejected = (
            f"the {policy.rejected} rejected pairs that are good" if policy.missed.total else "rejected pairs that are good"
        )
        yield f"  missed     {_shown(policy.missed)}: share of {rejected}"
        for question, share in policy.questions.items():
            yield f"  {question:9}  {_shown(share)}: share of the kept pairs where {QUESTIONS[question]}"
        for hole, share in policy.natural.items():
            yield f"    hole {hole + ':':12} {_shown(share)}"
        if policy.faults:
            counts = ", ".join(f"{reason} {count}" for reason, count in policy.faults.items())
            yield f"  faults     {counts}: reasons given for kept pairs"
    if summary.reviewers:
        yield f"pairs judged: {', '.join(f'{name} {count}' for name, count in summary.reviewers.items())}"
    if summary.agreement is not None:
        yield f"agreement of two reviewers of a pair: {summary.agreement:.1%} of {summary.compared}"


def _shown(share: Share) -> str:
    if share.value is None:
        return "unknown, none was judged"
    return f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f}; {share.total} judged, of {share.records} records)"


def _filter(
    policy: str, drawn: Mapping[PairKey, VerdictRow], good: Mapping[PairKey, bool], faults: Mapping[PairKey, set[str]]
) -> Filter:
    sizes, shares = {}, {}
    for kept in (True, False):
        part = {pair: row for pair, row in drawn.items() if row["kept"] == kept}
        sizes[kept] = max((row["population"] or 0 for row in part.values()), default=0)
        shares[kept] = share_of([good[pair] for pair in part], [pair[0] for pair in part])
    counts = Counter(reason for pair, row in drawn.items() if row["kept"] for reason in faults[pair])
    recall = recall_of(shares[True], shares[False], sizes[True], sizes[False])
    answered = {pair: row for pair, row in drawn.items() if row["kept"] and (good[pair] or faults[pair])}
    by_hole: dict[str, list[PairKey]] = {hole: [] for hole in HOLES}
    for pair, row in answered.items():
        by_hole[next(hole for hole, top in HOLES.items() if row["edited_fraction"] < top)].append(pair)
    return Filter(
        policy, sizes[True], sizes[False], shares[True], shares[False], recall,
        {question: _answered(question, list(answered), faults) for question in QUESTIONS},
        {hole: _answered("natural", pairs, faults) for hole, pairs in by_hole.items() if pairs},
        dict(counts.most_common()),
    )  # fmt: skip


def _answered(question: str, pairs: Sequence[PairKey], faults: Mapping[PairKey, set[str]]) -> Share:
    """The share of pairs without a reason that answers the question with no."""
    yes = [all(REASONS[reason].question != question for reason in faults[pair]) for pair in pairs]
    return share_of(yes, [record for record, *_ in pairs])


def _last_verdicts(store: Store) -> list[VerdictRow]:
    """Each reviewer's last verdict on each pair that has not changed since, of each draw that the pair was in."""
    withdrawn = store.exists("withdrawn")
    reviews, scores, duals = (latest(store, name, withdrawn=withdrawn) for name in ("reviews", "scores", "dual_images"))
    rows = run_query(
        store,
        QUERIES / "last_verdicts.sql",
        reviews=reviews,
        scores=scores,
        dual_images=duals,
        text_version=TEXT_VERSION,
        image_version=IMAGE_VERSION,
    ).collect()
    return [cast(VerdictRow, row.asDict(recursive=True)) for row in rows]
