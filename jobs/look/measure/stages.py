"""What is counted of each stage after the detector, and the time that each takes."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.engine.tables import Store
from jobs.engine.views import run_query, view_name
from jobs.look.measure.section import QUERIES, Section, printed
from jobs.look.review.summary import Share, summarise
from jobs.look.review.verdicts import QUESTIONS
from jobs.look.status import current_runs


def plan_scores(store: Store) -> tuple[float, float]:
    """The scores that the families were planned with, from ``runs``: (enters a family, is removed)."""
    store.read("runs").createOrReplaceTempView("measured_runs")
    row = run_query(store, QUERIES / "plan_scores.sql").collect()[0]
    return float(row["enter"]), float(row["remove"])


def sizes(store: Store) -> Section:
    """Families by their number of components."""
    return Section(
        "Family sizes",
        "Families of n components; where n is 0, the most frequent reason of its labels.",
        ("n", "reason", "families", "share"),
        printed(run_query(store, QUERIES / "family_sizes.sql")),
    )


def gone(store: Store, enter: float, remove: float) -> Section:
    """How often the detector no longer sees what was removed, at the two scores of the plan."""
    rows = run_query(store, QUERIES / "gone.sql", {"enter": enter, "remove": remove})
    return Section(
        "Is what was removed gone?",
        "Dual images (originals not counted) that the detector looked at again. Gone: no removed class anywhere in the image "
        f"scores {enter} (enters a family) or {remove} (is removed) or more. Intruder: a class that was not in the original "
        f"scores {enter} or more. A detector that only copies annotations looks at nothing, and these are empty.",
        ("removed components", "dual images", "looked at", f"gone at {enter}", f"gone at {remove}", "mean residual", "intruders"),
        printed(rows, total="all"),
    )


def calls(store: Store) -> Section:
    """Calls of the inpainter, with and without reuse."""
    return Section(
        "Inpainting calls a family",
        "Families with n > 0. Without reuse every one of the 2^n - 1 subsets is a call; with reuse only the subsets within one "
        "group of touching components are (the rows of `dual_images` that are not `reused`).",
        ("n", "families", "calls without reuse", "calls with reuse", "saved"),
        printed(run_query(store, QUERIES / "inpainting_calls.sql"), total="all"),
    )


def texts(store: Store) -> list[Section]:
    """Dual texts by rewriter, by status and by failed check."""
    flat = store.spark.table("measured_dual_texts").select(F.explode("texts").alias("t")).select("t.*")
    flat.createOrReplaceTempView("measured_texts")
    rewriters = _shares(flat, F.coalesce("rewriter", F.lit("none")))
    statuses = _shares(flat, F.col("status"))
    checks = run_query(store, QUERIES / "failed_checks.sql")
    return [
        Section("Texts by rewriter", "All dual texts, of any status.", ("rewriter", "texts", "share"), printed(rewriters)),
        Section("Texts by status", "All dual texts.", ("status", "texts", "share"), printed(statuses)),
        Section(
            "Failed checks",
            "Checks that the chosen text fails, as a share of all dual texts; a text may fail several.",
            ("check", "texts", "share"),
            printed(checks),
        ),
    ]


def kept(store: Store) -> list[Section]:
    """What the policy keeps, and why it rejects the rest."""
    survivors = store.spark.table(view_name(store, "yield_by_subset")).orderBy("n", "removed_count")
    reasons = run_query(store, QUERIES / "reject_reasons.sql", augmented=view_name(store, "augmented"))
    return [
        Section(
            "Yield of the policy",
            "Pairs of a dual image and the exact text of one caption, under the policy of the settings given to this command "
            "(view `yield_by_subset`).",
            ("n", "removed", "pairs", "kept", "share kept"),
            printed(survivors),
        ),
        Section(
            "Why pairs are not kept",
            "Share of all pairs; a pair may be rejected for several reasons, and one that could not be scored has its status.",
            ("reason", "pairs", "share"),
            printed(reasons),
        ),
    ]


def reviewed(store: Store) -> list[Section]:
    """What people said of the pairs that were drawn at random; a section for each policy that they were drawn under."""
    return [
        Section(
            "What people said",
            f"Pairs that people judged of those drawn at random under the policy: {policy.policy}. Kept pairs: {policy.kept}; "
            f"rejected pairs: {policy.rejected}. Intervals of 95%, by photograph.",
            ("share of", "that", "share", "interval", "judged", "photographs"),
            (
                _judged("kept pairs", "are good in all", policy.precision),
                *(_judged("kept pairs", QUESTIONS[question], share) for question, share in policy.questions.items()),
                *(_judged(f"kept pairs, hole {hole}", QUESTIONS["natural"], share) for hole, share in policy.natural.items()),
                _judged("rejected pairs", "are good in all", policy.missed),
            ),
        )
        for policy in summarise(store).filters
    ]


def _judged(part: str, what: str, share: Share) -> tuple[str, ...]:
    if share.value is None:
        return part, what, "", "", "0", "0"
    return part, what, f"{share.value:.3f}", f"{share.low:.3f} to {share.high:.3f}", str(share.judged), str(share.records)


def seconds(store: Store) -> Section:
    """The time of each stage for each source image."""
    current_runs(store).createOrReplaceTempView("measured_runs")
    return Section(
        "Seconds an image, by stage",
        "From `runs`, of each stage's present generation. An image is a source image: everything made from it counts for it. "
        "Wall is the whole micro-batch with Spark's own cost and the write; decode, model and encode are sums over the workers; "
        "load is the total of loading models, once for each worker.",
        ("stage", "micro-batches", "rows in", "wall s", "wall s/image", "decode", "model", "encode", "load s, total"),
        printed(run_query(store, QUERIES / "stage_seconds.sql")),
    )


def _shares(texts: DataFrame, value: Column) -> DataFrame:
    """(value, texts, share of all), the most frequent first."""
    counts = texts.groupBy(value.alias("value")).agg(F.count("*").alias("texts"))
    share = F.round(F.col("texts") / F.sum("texts").over(Window.partitionBy()), 4).alias("share")
    return counts.select("value", "texts", share).orderBy(F.desc("texts"), "value")
