"""How good is the filter, by what people said? Precision and recall with intervals, from the random part alone.

The doubtful pairs were chosen because they are doubtful; what people say of them says nothing of the rest.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING, Any

from jobs.policy import IMAGE_VERSION, TEXT_VERSION
from jobs.views import latest

if TYPE_CHECKING:
    from jobs.tables import Store

Z = 1.959964  # of a 95% interval


@dataclass(frozen=True)
class Share:
    """A share of ``judged`` pairs with its 95% interval; 0 to 1, all None where none was judged."""

    accepted: int
    judged: int
    records: int  # photographs that they come from
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Filter:
    """One policy, as it was when its pairs were exported.

    ``precision``: share of the kept pairs that are good. ``missed``: share of the rejected pairs that are good. ``recall``: share
    of the good pairs that are kept, with bounds; None unless pairs of both kinds were judged. ``faults``: how often people gave
    each reason for a kept pair, which may have several.
    """

    policy: str
    kept: int  # pairs in the tables
    rejected: int
    precision: Share
    missed: Share
    recall: tuple[float, float, float] | None
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


def summarise(store: "Store") -> Summary:
    """The summary of ``reviews``, without withdrawn records and without words about what was made anew since.

    Of each reviewer the last word on a pair counts, and one rejection outweighs all acceptances, as in the filter. Only words on
    the very pair count here: a rejection of its image by way of another pair came from another draw.
    """
    rows = [row.asDict(recursive=True) for row in _words(store).collect()] if store.exists("reviews") else []
    rows.sort(key=lambda row: row["judged_at"])
    verdicts: dict[Pair, dict[str, str]] = {}
    policies: dict[str, dict[Pair, Row]] = {}
    faults: dict[Pair, set[str]] = {}
    for row in rows:
        pair = (row["record_id"], row["subset"], row["caption_id"])
        verdicts.setdefault(pair, {})[row["reviewer"]] = row["verdict"]
        if row["stratum"] == "random":
            # The policy of the latest word comes last; a pair that several have judged was drawn once.
            policies[row["policy"]] = policies.pop(row["policy"], {}) | {pair: row}
            faults.setdefault(pair, set()).update(row["reasons"] or ())
    same = [one == other for said in verdicts.values() for one, other in combinations(said.values(), 2)]
    good = {pair: "reject" not in said.values() for pair, said in verdicts.items()}
    return Summary(
        [_filter(policy, drawn, good, faults) for policy, drawn in reversed(policies.items())],
        dict(Counter(name for said in verdicts.values() for name in said).most_common()),
        sum(same) / len(same) if same else None,
        len(same),
    )


Row = dict[str, Any]
Pair = tuple[str, int, str]  # record_id, subset, caption_id


def share_of(good: Sequence[bool], records: Sequence[str]) -> Share:
    """The share of good pairs with Wilson's interval (1927), widened as pairs of one photograph are alike.

    The number of pairs is divided by the design effect: the variance of the share between photographs over that of independent
    pairs (Rao and Scott 1992), at least 1. Where all pairs agree it cannot be seen, and photographs are counted, not pairs.
    """
    judged, accepted = len(good), sum(good)
    if not judged:
        return Share(0, 0, 0, None, None, None)
    share, count = accepted / judged, len(set(records))
    residuals: Counter[str] = Counter()
    for one, record in zip(good, records, strict=True):
        residuals[record] += one - share  # type: ignore[assignment]
    effect = judged / count
    if 0 < share < 1 and count > 1:
        between = count / (count - 1) * sum(value**2 for value in residuals.values()) / judged**2
        effect = max(1.0, between / (share * (1 - share) / judged))
    return Share(accepted, judged, count, share, *wilson(share, judged / effect))


def wilson(share: float, number: float) -> tuple[float, float]:
    """Wilson's 95% score interval for a share of ``number`` independent trials, which need not be whole."""
    middle = (share + Z**2 / (2 * number)) / (1 + Z**2 / number)
    half = Z / (1 + Z**2 / number) * sqrt(share * (1 - share) / number + Z**2 / (4 * number**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def recall_of(precision: Share, missed: Share, kept: int, rejected: int) -> tuple[float, float, float] | None:
    """(share of the good pairs that are kept, its bounds), from the shares of good ones among kept and rejected pairs.

    The bounds take the worst of both intervals together, and so are wider than 95% asks for.
    """
    if not rejected and precision.judged:
        return 1.0, 1.0, 1.0
    values = [(precision.value, missed.value), (precision.low, missed.high), (precision.high, missed.low)]
    found = []
    for good, lost in values:
        if good is None or lost is None or not (whole := kept * good + rejected * lost):
            return None
        found.append(kept * good / whole)
    return found[0], found[1], found[2]


def lines(found: Summary) -> Iterator[str]:
    """The summary for a person to read."""
    if not found.reviewers:
        yield "nobody has reviewed anything yet: dualset review export"
    for one in found.filters:
        yield f"policy: {one.policy}"
        yield f"  precision  {_shown(one.precision)}: of the {one.kept} kept pairs, so many are good"
        if one.recall:
            value, low, high = one.recall
            yield f"  recall     {value:.3f} ({low:.3f} to {high:.3f}): of all good pairs, so many are kept"
        yield f"  missed     {_shown(one.missed)}: of the {one.rejected} rejected pairs, so many are good"
        if one.faults:
            counts = ", ".join(f"{reason} {count}" for reason, count in one.faults.items())
            yield f"  faults     {counts}: reasons given for kept pairs"
    if found.reviewers:
        yield f"pairs judged: {', '.join(f'{name} {count}' for name, count in found.reviewers.items())}"
    if found.agreement is not None:
        yield f"two reviewers of a pair say the same in {found.agreement:.1%} of {found.compared}"


def _shown(share: Share) -> str:
    if share.value is None:
        return "not known, none was judged"
    return f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f}; {share.judged} judged, of {share.records} records)"


def _filter(policy: str, drawn: Mapping[Pair, Row], good: Mapping[Pair, bool], faults: Mapping[Pair, set[str]]) -> Filter:
    sizes, shares = {}, {}
    for kept in (True, False):
        mine = {pair: row for pair, row in drawn.items() if row["kept"] == kept}
        sizes[kept] = max((row["population"] for row in mine.values()), default=0)
        shares[kept] = share_of([good[pair] for pair in mine], [pair[0] for pair in mine])
    found = Counter(reason for pair, row in drawn.items() if row["kept"] for reason in faults[pair])
    recall = recall_of(shares[True], shares[False], sizes[True], sizes[False])
    return Filter(policy, sizes[True], sizes[False], shares[True], shares[False], recall, dict(found.most_common()))


def _words(store: "Store") -> Any:
    """Each reviewer's last word on each pair that is still what it was, of each draw that the pair was in."""
    gone = store.exists("withdrawn")
    reviews, scores, duals = (latest(store, name, withdrawn=gone) for name in ("reviews", "scores", "dual_images"))
    return store.spark.sql(
        f"""SELECT /*+ BROADCAST(r) */ r.record_id, r.subset, r.caption_id, r.reviewer, r.judged_at, r.verdict, r.reasons,
            r.stratum, r.population, r.kept, r.policy
        FROM (SELECT *, row_number() OVER (PARTITION BY reviewer, record_id, subset, caption_id, stratum, policy
                  ORDER BY judged_at DESC) AS turn FROM {reviews}) r
        JOIN (SELECT record_id, subset, caption_id, {TEXT_VERSION} AS version FROM {scores}) s
            ON s.record_id = r.record_id AND s.subset = r.subset AND s.caption_id = r.caption_id AND s.version = r.text_version
        JOIN (SELECT record_id, subset, {IMAGE_VERSION} AS version FROM {duals}) d
            ON d.record_id = r.record_id AND d.subset = r.subset AND d.version = r.image_version
        WHERE turn = 1"""  # noqa: S608 - names come from this project
    )
