"""The filter: the thresholds of the settings as SQL over the columns of ``scores``. Pairs are kept or rejected only here.

A column that is null was not measured and rejects nothing; the policy's text (``describe``) says which columns count. Where
people have reviewed a pair (table ``reviews``), their verdict overrides the thresholds.
"""

from jobs.settings import Policy

# setting, column, comparison that rejects, reason code
RULES = (
    ("max_residual", "residual", ">", "residual"),
    ("max_intruder", "intruder", ">", "intruder"),
    ("min_survivor", "survivor", "<", "survivor"),
    ("max_seam", "seam", ">", "seam"),
    ("max_smear", "smear", ">", "smear"),
    ("max_edited_fraction", "edited_fraction", ">", "edited_fraction"),
    ("min_clip_true", "clip_true", "<", "clip_true"),
    ("min_clip_drop", "clip_drop", "<", "clip_drop"),
    ("min_clip_image", "clip_image", "<", "clip_image"),
    ("min_text_agreement", "text_agreement", "<", "text_agreement"),
    ("min_judge", "judge", "<", "judge"),
)

OF_TEXT = ("clip_true", "judge", "text_agreement")  # the columns that may reject an original, in which nothing was edited
# The columns of ``scores`` that a person is shown, in this order.
MEASURED = (
    "residual", "intruder", "survivor", "edited_fraction", "seam", "smear",
    "clip_true", "clip_drop", "clip_image", "text_agreement", "judge",
)  # fmt: skip
PERSON = "person"  # the reason code of a pair that a person rejected
# What a review was about. Other settings may make another image or text under the same key, which the old review does not judge.
IMAGE_VERSION = "hex(xxhash64(model, model_version, settings_hash, edited_fraction, seam, width, height))"  # of `dual_images`
TEXT_VERSION = "hex(xxhash64(caption))"  # of `scores`


def reasons_sql(policy: "Policy") -> str:
    """A Spark SQL expression for the array of reasons that reject a row of ``scores``; empty if the row is kept.

    In an original (subset 0) nothing was edited, so only the columns of its text can reject it.
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
    """The policy in words, for the column ``policy``: what counts, and whether the CLIP columns were measured."""
    parts = [
        f"{column} {sign} {limit} rejects"
        for setting, column, sign, _ in RULES
        if (limit := getattr(policy, setting)) is not None
    ]
    parts += ["failed text checks reject"] if policy.require_text_ok else []
    return "; ".join(parts) + ("" if embedder else "; no embedder configured, CLIP columns are null and reject nothing")


def judged_sql(policy: "Policy", scores: str, reviews: str = "", dual_images: str = "") -> str:
    """SQL for ``scores`` with ``policy_reasons``, ``review`` (accept, reject or null) and ``reasons``: why a row is not kept.

    The verdicts on a pair are those on the pair itself and the rejections of its image; of each reviewer the last one counts. A
    single rejection outweighs all acceptances, because a bad pair costs more than a lost one. An accepted pair is kept whatever
    the thresholds say, unless its text may name what is gone: that follows from the bit masks that training uses, and looking at
    the image cannot change it.

    Args:
        policy: the thresholds.
        scores: SQL for the current rows of the table ``scores``.
        reviews: SQL for the current rows of the table ``reviews``; empty where there are no reviews yet.
        dual_images: SQL for the current rows of ``dual_images``, needed with ``reviews``: a verdict counts only for the image
            that was shown.
    """
    parts = {"scores": scores, "reasons": reasons_sql(policy), "image": IMAGE_VERSION, "text": TEXT_VERSION}
    if not reviews:
        return UNREVIEWED.format(**parts)
    return REVIEWED.format(**parts, reviews=reviews, dual_images=dual_images, person=PERSON)


UNREVIEWED = """(SELECT *, policy_reasons AS reasons
    FROM (SELECT *, {reasons} AS policy_reasons, cast(null AS STRING) AS review FROM {scores}))"""

# Reviews are made by hand and so are few: they are broadcast, and each pair is compared with the few of its image.
REVIEWED = """(
WITH scored AS (SELECT *, {reasons} AS policy_reasons, {text} AS current_text FROM {scores}),
     shown AS (SELECT record_id, subset, {image} AS image_version FROM {dual_images}),
     verdicts AS (SELECT /*+ BROADCAST(r) */ r.record_id, r.subset, r.reviewer, r.caption_id,
                      max(struct(r.judged_at, r.verdict, r.scope, r.text_version)) AS latest
                  FROM {reviews} r JOIN shown ON shown.record_id = r.record_id AND shown.subset = r.subset
                      AND shown.image_version = r.image_version
                  GROUP BY r.record_id, r.subset, r.reviewer, r.caption_id),
     by_image AS (SELECT record_id AS about_record, subset AS about_subset,
                      collect_list(struct(reviewer, caption_id, latest.*)) AS image_verdicts
                  FROM verdicts GROUP BY record_id, subset),
     reviewed AS (SELECT /*+ BROADCAST(by_image) */ scored.*, filter(image_verdicts, v -> v.scope = 'image'
                      OR (v.caption_id = scored.caption_id AND v.text_version = scored.current_text)) AS pair_verdicts
                  FROM scored LEFT JOIN by_image ON about_record = record_id AND about_subset = subset),
     newest AS (SELECT *, filter(pair_verdicts, v -> NOT exists(pair_verdicts,
                    w -> w.reviewer = v.reviewer AND w.judged_at > v.judged_at)) AS counting FROM reviewed),
     ruled AS (SELECT *, CASE WHEN exists(counting, v -> v.verdict = 'reject') THEN 'reject'
                   WHEN size(counting) > 0 THEN 'accept' END AS review FROM newest)
SELECT * EXCEPT (current_text, pair_verdicts, counting), CASE review WHEN 'reject' THEN array_append(policy_reasons, '{person}')
    WHEN 'accept' THEN filter(policy_reasons, r -> r = 'unknown_relation') ELSE policy_reasons END AS reasons
FROM ruled)"""
