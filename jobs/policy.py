"""The filter: thresholds of the settings as SQL over the columns of ``scores``. The only place where a pair is judged.

A column that is null was not measured and rejects nothing; the reason text of the policy says which columns count.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.settings import Policy

# setting, column, comparison that rejects, reason code
RULES = (
    ("max_residual", "residual", ">", "residual"),
    ("max_intruder", "intruder", ">", "intruder"),
    ("max_seam", "seam", ">", "seam"),
    ("max_edited_fraction", "edited_fraction", ">", "edited_fraction"),
    ("min_clip_true", "clip_true", "<", "clip_true"),
    ("min_clip_drop", "clip_drop", "<", "clip_drop"),
    ("min_clip_image", "clip_image", "<", "clip_image"),
    ("min_text_agreement", "text_agreement", "<", "text_agreement"),
    ("min_judge", "judge", "<", "judge"),
)


def reasons_sql(policy: "Policy") -> str:
    """A Spark SQL expression for the array of reasons why a row of ``scores`` is rejected; empty: it is kept.

    An original (subset 0) with its own caption has nothing edited, and only its text can reject it.
    """
    tests = ["CASE WHEN relation <> 'exact' THEN 'unknown_relation' END"]
    for setting, column, sign, reason in RULES:
        limit = getattr(policy, setting)
        if limit is not None:
            guard = "" if column in ("clip_true", "judge", "text_agreement") else "subset <> 0 AND "
            tests.append(f"CASE WHEN {guard}{column} {sign} {float(limit)!r}D THEN '{reason}' END")
    if policy.require_text_ok:
        tests.append("CASE WHEN NOT text_ok THEN 'text_checks' END")
    return f"filter(array({', '.join(tests)}), reason -> reason IS NOT NULL)"


def describe(policy: "Policy", *, embedder: bool) -> str:
    """The policy in words, for the ``policy`` column: what counts, and whether the CLIP columns were measured."""
    parts = [
        f"{column} {sign} {limit} rejects"
        for setting, column, sign, _ in RULES
        if (limit := getattr(policy, setting)) is not None
    ]
    parts += ["failed text checks reject"] if policy.require_text_ok else []
    return "; ".join(parts) + ("" if embedder else "; no embedder configured, CLIP columns are null and reject nothing")
