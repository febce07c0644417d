"""What is counted of each stage after the detector, and the time that each takes."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.engine.tables import Store
from jobs.engine.views import run_query, view_name
from jobs.look.measure.section import QUERIES, Section, printed
from jobs.look.review.summary import summarise
from jobs.look.review.verdicts import QUESTIONS
from jobs.look.shares import Share, means, shares, wilson
from jobs.look.status import current_runs


def plan_scores(store: Store) -> tuple[float, float]:
    """The scores that the families were planned with, from ``runs``: (enters a family, is removed)."""
    store.read("runs").createOrReplaceTempView("measured_runs")
    row = run_query(store, QUERIES / "plan_scores.sql").collect()[0]
    return float(row["enter"]), float(row["remove"])


def sizes(store: Store) -> Section:
    """Families by their number of components."""
    rows = run_query(store, QUERIES / "family_sizes.sql").collect()
    return Section(
        "Family sizes",
        "Families of n components; where n is 0, the most frequent reason of its labels. Intervals of 95%.",
        ("n", "reason", "families", "share"),
        tuple((str(row["n"]), row["reason"], str(row["families"]), _part(row["families"], row["total"])) for row in rows),
    )


def gone(store: Store, enter: float, remove: float) -> Section:
    """How often the detector no longer sees what was removed, at the two scores of the plan."""
    rows = run_query(store, QUERIES / "gone.sql")
    below = {"enter": F.col("residual") < enter, "remove": F.col("residual") < remove, "intruder": F.col("intruder") >= enter}
    values = {"all": F.lit(1.0), "residual": F.col("residual")}
    counted, averages = shares(rows, below, ["removed"], total=True), means(rows, values, ["removed"], total=True)
    return Section(
        "Is what was removed gone?",
        "Dual images (originals not counted) that the detector looked at again. Gone: no removed class anywhere in the image "
        f"scores {enter} (enters a family) or {remove} (is removed) or more. Intruder: a class that was not in the original "
        f"scores {enter} or more. A detector that only copies annotations looks at nothing, and these are empty. "
        "Intervals of 95%, by photograph.",
        ("removed components", "dual images", "looked at", f"gone at {enter}", f"gone at {remove}", "mean residual", "intruders"),
        tuple(
            (
                "all" if removed is None else str(removed),
                str(mean["all"].total),
                str(share["enter"].total),
                str(share["enter"]),
                str(share["remove"]),
                str(mean["residual"]),
                str(share["intruder"]),
            )
            for ((removed,), share), (_, mean) in zip(counted, averages, strict=True)
        ),
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
    flat = store.spark.table("measured_dual_texts").select("record_id", F.explode("texts").alias("t")).select("record_id", "t.*")
    return [
        Section(
            "Texts by rewriter",
            "All dual texts, of any status. Intervals of 95%, by photograph.",
            ("rewriter", "texts", "share"),
            _shares(flat, F.array(F.coalesce("rewriter", F.lit("none")))),
        ),
        Section(
            "Texts by status",
            "All dual texts. Intervals of 95%, by photograph.",
            ("status", "texts", "share"),
            _shares(flat, F.array("status")),
        ),
        Section(
            "Failed checks",
            "Checks that the chosen text fails, as a share of all dual texts; a text may fail several.",
            ("check", "texts", "share"),
            _shares(flat, F.col("checks")),
        ),
    ]


def kept(store: Store) -> list[Section]:
    """What the policy keeps, and why it rejects the rest."""
    pairs = store.spark.table(view_name(store, "augmented")).select(
        "record_id", "n", "removed_count", "keep", "status", "reject_reasons"
    )
    survivors = shares(pairs, {"keep": F.coalesce("keep", F.lit(False))}, ["n", "removed_count"])
    reasons = F.when(F.col("status") == "ok", F.col("reject_reasons")).otherwise(F.array("status"))
    return [
        Section(
            "Yield of the policy",
            "Pairs of a dual image and the exact text of one caption, under the policy of the settings given to this command "
            "(view `yield_by_subset`). Intervals of 95%, by photograph.",
            ("n", "removed", "pairs", "kept", "share kept"),
            tuple((*map(str, key), str(s["keep"].total), str(s["keep"].hits), str(s["keep"])) for key, s in survivors),
        ),
        Section(
            "Why pairs are not kept",
            "Share of all pairs; a pair may be rejected for several reasons, and one that could not be scored has its status.",
            ("reason", "pairs", "share"),
            _shares(pairs, reasons),
        ),
    ]


def reviewed(store: Store) -> list[Section]:
    """What people said of the pairs that were drawn at random; a section for each policy that they were drawn under."""
    return [
        Section(
            "What people said",
            f"Pairs that people judged of those drawn at random under the policy: {policy.policy}. Kept pairs: {policy.kept}; "
            f"rejected pairs: {policy.rejected}. Intervals of 95%, by photograph.",
            ("share of", "that", "share", "judged", "photographs"),
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
    return part, what, str(share), str(share.total), str(share.records)


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


def _shares(rows: DataFrame, values: Column) -> tuple[tuple[str, ...], ...]:
    """(value, rows that have it, share of all rows) of an array of values, the most frequent first."""
    rows = rows.select("record_id", F.coalesce(values, F.array().cast("array<string>")).alias("values"))
    counts = rows.select(F.explode("values").alias("value")).groupBy("value").count()
    names = [row["value"] for row in counts.orderBy(F.desc("count"), "value").collect()]
    if not names:
        return ()
    ((_, found),) = shares(rows, {name: F.array_contains("values", name) for name in names})
    return tuple((name, str(share.hits), str(share)) for name, share in found.items())


def _part(count: int, total: int) -> str:
    return str(Share(count, total, total, count / total, *wilson(count / total, total)))
