"""The filter: thresholds of the settings as SQL over the columns of ``scores``. The only place where a pair is judged.

A column that is null was not measured and rejects nothing; the reason text of the policy says which columns count. Where people
have looked (table ``reviews``) their word wins over the thresholds.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.settings import Policy

# setting, column, comparison that rejects, reason code
RULES = (
    ("max_residual", "residual", ">", "residual"),
    ("max_intruder", "intruder", ">", "intruder"),
    ("min_survivor", "survivor", "<", "survivor"),
    ("max_seam", "seam", ">", "seam"),
    ("max_edited_fraction", "edited_fraction", ">", "edited_fraction"),
    ("min_clip_true", "clip_true", "<", "clip_true"),
    ("min_clip_drop", "clip_drop", "<", "clip_drop"),
    ("min_clip_image", "clip_image", "<", "clip_image"),
    ("min_text_agreement", "text_agreement", "<", "text_agreement"),
    ("min_judge", "judge", "<", "judge"),
)

OF_TEXT = ("clip_true", "judge", "text_agreement")  # columns that may reject an original: in it nothing was edited
# The columns of ``scores`` that a person is shown, in this order.
MEASURED = (
    "residual", "intruder", "survivor", "edited_fraction", "seam",
    "clip_true", "clip_drop", "clip_image", "text_agreement", "judge",
)  # fmt: skip
PERSON = "person"  # the reason code of a pair that a person rejected
# What a review was about. Other settings may make another image or text under the same key; the old word is not about that one.
IMAGE_VERSION = "hex(xxhash64(model, model_version, settings_hash, edited_fraction, seam, width, height))"  # of `dual_images`
TEXT_VERSION = "hex(xxhash64(caption))"  # of `scores`


def reasons_sql(policy: "Policy") -> str:
    """A Spark SQL expression for the array of reasons why a row of ``scores`` is rejected; empty: it is kept.

    An original (subset 0) with its own caption has nothing edited, and only its text can reject it.
    """
    tests = ["CASE WHEN relation <> 'exact' THEN 'unknown_relation' END"]
    for setting, column, sign, reason in RULES:
        limit = getattr(policy, setting)
        if limit is not None:
            guard = "" if column in OF_TEXT else "subset <> 0 AND "
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


def judged_sql(policy: "Policy", scores: str, reviews: str = "", dual_images: str = "") -> str:
    """SQL for ``scores`` with ``policy_reasons``, ``review`` (accept, reject or null) and ``reasons``: why a row is not kept.

    A pair's words are those on itself and the rejections of its image, of each reviewer the last one. One who rejects outweighs
    all who accept: a bad pair costs more than a lost one. An accepted pair is kept whatever the thresholds say, but a text that
    may name what is gone stays out: that is a fact of the bit masks that training goes by, not a matter of looks.

    Args:
        policy: the thresholds.
        scores: SQL for the current rows of that table; likewise ``reviews`` and ``dual_images``.
        reviews: empty where nobody has looked yet.
        dual_images: with ``reviews``, to see whether a word is about the present image.
    """
    parts = {"scores": scores, "reasons": reasons_sql(policy), "image": IMAGE_VERSION, "text": TEXT_VERSION}
    if not reviews:
        return UNREVIEWED.format(**parts)
    return REVIEWED.format(**parts, reviews=reviews, dual_images=dual_images, person=PERSON)


UNREVIEWED = """(SELECT *, policy_reasons AS reasons
    FROM (SELECT *, {reasons} AS policy_reasons, cast(null AS STRING) AS review FROM {scores}))"""

# Reviews are made by hand and so are few: they are broadcast, and a pair compares the handful about its image.
REVIEWED = """(
WITH scored AS (SELECT *, {reasons} AS policy_reasons, {text} AS said_text FROM {scores}),
     shown AS (SELECT record_id, subset, {image} AS image_version FROM {dual_images}),
     said AS (SELECT /*+ BROADCAST(r) */ r.record_id, r.subset, r.reviewer, r.caption_id,
                  max(struct(r.judged_at, r.verdict, r.scope, r.text_version)) AS word
              FROM {reviews} r JOIN shown ON shown.record_id = r.record_id AND shown.subset = r.subset
                  AND shown.image_version = r.image_version
              GROUP BY r.record_id, r.subset, r.reviewer, r.caption_id),
     standing AS (SELECT record_id AS about_record, subset AS about_subset,
                      collect_list(struct(reviewer, caption_id, word.*)) AS words
                  FROM said GROUP BY record_id, subset),
     met AS (SELECT /*+ BROADCAST(standing) */ scored.*, filter(words, w -> w.scope = 'image'
                 OR (w.caption_id = scored.caption_id AND w.text_version = scored.said_text)) AS bearing
             FROM scored LEFT JOIN standing ON about_record = record_id AND about_subset = subset),
     last AS (SELECT *, filter(bearing, w -> NOT exists(bearing,
                  v -> v.reviewer = w.reviewer AND v.judged_at > w.judged_at)) AS counts FROM met),
     ruled AS (SELECT *, CASE WHEN exists(counts, w -> w.verdict = 'reject') THEN 'reject'
                   WHEN size(counts) > 0 THEN 'accept' END AS review FROM last)
SELECT * EXCEPT (said_text, bearing, counts), CASE review WHEN 'reject' THEN array_append(policy_reasons, '{person}')
    WHEN 'accept' THEN filter(policy_reasons, r -> r = 'unknown_relation') ELSE policy_reasons END AS reasons
FROM ruled)"""
