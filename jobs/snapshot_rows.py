"""The rows of a snapshot: tables pinned at one version, which images and texts of a family go in, and families put together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from jobs.settings import Settings
from jobs.stream import StageError
from jobs.tables import Store
from jobs.views import VIEWS, judged, latest
from training.snapshot import COLUMNS, JOINT, PLACEBO, TableVersion

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Later stages first: whatever a row of an entry refers to was committed before it, and so is in a version that is pinned later.
READ = ("reviews", "text_variants", "placebos", "scores", "dual_images", "families", "instances", "images", "withdrawn")
BY_HAND = ("reviews", "text_variants", "placebos", "withdrawn")  # may not be there
LABELS = "coalesce(transform(components, c -> c.label), array()) AS labels"
# Our column: that of `samples`.
TEXT = {
    "caption_id": "caption_id",
    "text": "caption",
    "text_named": "names",
    "text_mentions": "mentions",
    "text_may_mention": "may_mention",
}
# Of arrays apart, so that no mask is read.
SEEN = """transform(filter(arrays_zip(instances.label, instances.score), i -> i.score >= {}D), i -> i.label)
    AS seen"""
DETECTED = "array_sort(array_union(labels, coalesce(seen, array()))) AS detected"
VARIANT = ("variant_of", "variant_kind", "variant_text", "variant_mentions", "variant_may_mention", "variant_names")
VARIED = "ARRAY<STRUCT<" + ", ".join(f"{name}: {COLUMNS[name][6:-1]}" for name in VARIANT) + ">>"
# A text's subset is what its caption names and it does not mention. Equal strings of two captions each have their own.
VARIANTS = f"""array_sort(array_distinct(flatten(transform(texts, (t, at) -> transform(
    filter(coalesce(variants, array()), v -> v.text IS NOT NULL
        AND v.caption_id = t.caption_id AND v.subset = (t.text_named & ~t.text_mentions)),
    v -> struct(cast(at AS INT) AS variant_of, v.kind AS variant_kind, v.text AS variant_text, v.mentions AS variant_mentions,
        v.may_mention AS variant_may_mention, array_join(v.names, '{JOINT}') AS variant_names))))))"""
PAIRS = ("count(*) AS pairs", f"collect_set(struct({', '.join(f'{theirs} AS {our}' for our, theirs in TEXT.items())})) AS said")
# Of the images of one size of family and of subset those that are left in come first by a hash.
PLACE = "row_number() OVER (PARTITION BY n, bit_count(subset), pairs IS NULL ORDER BY xxhash64(record_id, subset, {}), record_id)"
COUNT = "count(pairs) OVER (PARTITION BY n, bit_count(subset))"
# Originals always go on; others if a text is left that is exact for them.
IMAGES = (
    "collect_list(struct(subset, attempt)) FILTER (WHERE subset = 0 OR pairs IS NOT NULL) AS kept",
    "collect_list(subset) FILTER (WHERE subset = 0 OR passed IS NOT NULL) AS passed",
    "collect_list(subset) AS made",
    "coalesce(sum(pairs), 0) AS pairs",
    "flatten(collect_list(said)) AS said",
)
# A placebo goes with its original, as the image of a subset that there is not.
AS_PLACEBO = -1
SHOWN = "IF(array_contains(kept.subset, 0), tried, null) AS placebo"
KEYS = f"IF(placebo IS NULL, kept, concat(kept, array(struct({AS_PLACEBO} AS subset, placebo AS attempt))))"
WHOLE = (
    f"collect_list(subset) FILTER (WHERE subset <> {AS_PLACEBO}) AS subsets",
    f"collect_list(image) FILTER (WHERE subset <> {AS_PLACEBO}) AS images",
    f"max(image) FILTER (WHERE subset = {AS_PLACEBO}) AS placebo",
)
# An original's own captions; a caption is its own text, and surely mentions what it names.
ORIGINALS = """transform(filter(captions, c -> c.status IN ('ok', 'not_monotone') AND array_contains(made, 0)), c -> struct(
    c.caption_id AS caption_id, get(filter(written, w -> w.caption_id = c.caption_id), 0).caption AS text,
    c.names AS text_named, c.names AS text_mentions, c.may_name AS text_may_mention))"""
TEXTS = f"array_sort(array_distinct(filter(concat(said, {ORIGINALS}), t -> t.text IS NOT NULL))) AS texts"


@dataclass(frozen=True)
class Pinned(Store):
    """The tables at the versions that one snapshot is made from."""

    tables: dict[str, TableVersion] = field(default_factory=dict)

    def name(self, table: str) -> str:
        """How SQL names a table at its pinned version."""
        return f"{super().name(table)} VERSION AS OF {self.tables[table].version}"

    def latest(self, table: str) -> str:
        """SQL for the last attempts of a table's rows, without withdrawn records."""
        return latest(self, table, withdrawn="withdrawn" in self.tables)

    def rows(self, table: str, wave: Sequence[str]) -> "DataFrame":
        """The current ok rows of some ingest batches."""
        from pyspark.sql import functions as F

        found = self.spark.sql(f"SELECT * FROM {self.latest(table)}")  # noqa: S608 - names come from this project
        return found.where(F.col("ingest_batch").isin(list(wave)) & (F.col("status") == "ok"))

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the snapshot."""
        return COLUMNS | (PLACEBO if "placebos" in self.tables else {})


def pin(store: Store) -> Pinned:
    """Look up the present version of every table that publish reads.

    Raises:
        StageError: the chain has not run to its end.
    """
    tables = {}
    for table in READ:
        if store.exists(table):
            history = store.spark.sql(f"DESCRIBE HISTORY {store.name(table)} LIMIT 1").first()
            detail = store.spark.sql(f"DESCRIBE DETAIL {store.name(table)}").first()
            assert history is not None and detail is not None, "a table has a history"
            tables[table] = TableVersion(version=history["version"], id=detail["id"])
        elif table not in BY_HAND:
            raise StageError(f"publish reads {table}, which is not there yet: run the chain first")
    return Pinned(store.spark, store.root, store.catalog, store.schema_name, tables)


def _judged(pinned: Pinned, settings: Settings, wave: Sequence[str]) -> "DataFrame":
    """Every dual image of some ingest batches, with its kept ``pairs`` and what is ``said`` of it: null of none."""
    from pyspark.sql import functions as F

    found = {name: pinned.latest(name) for name in pinned.tables}
    samples = pinned.spark.sql(VIEWS["samples"].format(**found, judged=judged(pinned, settings.policy, pinned.tables)))
    pairs = samples.where(F.col("ingest_batch").isin(list(wave))).groupBy("record_id", "subset").agg(*map(F.expr, PAIRS))
    duals = pinned.rows("dual_images", wave).select("record_id", "subset", "attempt")
    return duals.join(pairs, on=["record_id", "subset"], how="left")


def thinning(pinned: Pinned, settings: Settings, batches: Sequence[str]) -> dict[tuple[int, int], float]:
    """What share of the kept duals goes in, by components of the family and number of them removed; empty: all.

    In a whole lattice every text and image is positive equally often, so that neither says anything alone; a policy that refuses
    more of the larger subsets breaks that. With ``publish.balance=lattice`` each number of removed components, of families of one
    size, is left as large a share of what was made as the one that lost most. Originals always go in.

    Raises:
        StageError: of some number of removed components nothing was kept, so there is nothing to balance.
    """
    from pyspark.sql import functions as F

    if settings.publish.balance == "none":
        return {}
    families = pinned.rows("families", batches).select("record_id", "n")
    images = _judged(pinned, settings, batches).where("subset > 0").join(families, on="record_id", how="inner")
    rows = images.groupBy("n", F.expr("bit_count(subset) AS removed")).agg(F.expr("count(pairs) / count(*) AS rate")).collect()
    lost = [f"{row['removed']} of {row['n']}" for row in rows if not row["rate"]]
    if lost:
        raise StageError(f"publish.balance=lattice: no image with {', '.join(sorted(lost))} components removed was kept")
    least = {n: min(row["rate"] for row in rows if row["n"] == n) for n in {row["n"] for row in rows}}
    return {(row["n"], row["removed"]): least[row["n"]] / row["rate"] for row in rows}


def _thinned(images: "DataFrame", families: "DataFrame", seed: int, shares: dict[tuple[int, int], float]) -> "DataFrame":
    """``images`` with ``passed``, their kept pairs, of which those that are left out by ``shares`` lose theirs."""
    from pyspark.sql import functions as F

    images = images.withColumn("passed", F.col("pairs"))
    if not shares:
        return images
    cases = " ".join(f"WHEN n = {n} AND bit_count(subset) = {k} THEN {share!r}D" for (n, k), share in sorted(shares.items()))
    sized = images.join(families.select("record_id", "n"), on="record_id", how="left")
    stays = f"{PLACE.format(seed)} <= round({COUNT} * CASE {cases} ELSE 1D END)"
    sized = sized.withColumn("stays", F.expr(stays))
    return sized.withColumns({name: F.expr(f"IF(stays, {name}, null)") for name in ("pairs", "said")}).drop("n", "stays")


def numbered(
    pinned: Pinned, settings: Settings, wave: Sequence[str], before: int, shares: dict[tuple[int, int], float] | None = None
) -> "DataFrame":
    """One row a family, without image bytes: what goes in, its place in the wave's shuffled order, and its shard.

    ``kept`` are the (subset, attempt) of its images that go in, ``passed`` the subsets of those that the policy kept (``shares``
    of ``thinning`` may leave some out), ``made`` of all; ``pairs`` counts its pairs that go in;
    ``texts`` has each usable text of a caption once; ``placebo`` is the attempt at one that goes in, or null. Families that are
    not ``used`` (no image or no text is left) come last. ``before`` families are in earlier waves.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    families = pinned.rows("families", wave).select("record_id", "n", F.expr(LABELS), "captions")
    images = _thinned(_judged(pinned, settings, wave), families, settings.publish.seed, shares or {})
    images = images.groupBy("record_id").agg(*map(F.expr, IMAGES))
    written = pinned.rows("images", wave).select("record_id", F.col("captions").alias("written"))
    found_in = pinned.rows("instances", wave).select("record_id", F.expr(SEEN.format(settings.plan.remove_score)))
    # A window over the narrow rows of one wave.
    order = Window.orderBy(F.col("used").desc(), F.xxhash64("record_id", F.lit(settings.publish.seed)), "record_id")
    joined = families.join(written, on="record_id", how="inner").join(images, on="record_id", how="inner")
    joined = _with_placebos(pinned, wave, joined.join(found_in, on="record_id", how="left"))
    return (
        joined.select("record_id", "n", "labels", *map(F.expr, (DETECTED, TEXTS, SHOWN)), "kept", "passed", "made", "pairs")
        .withColumn("used", F.expr("size(kept) > 0 AND size(texts) > 0"))
        .withColumn("position", F.row_number().over(order) - 1)
        .withColumn("shard", F.expr(f"cast((position + {before}L) % {settings.publish.shards} AS INT)"))
    )


def _with_placebos(pinned: Pinned, wave: Sequence[str], families: "DataFrame") -> "DataFrame":
    """``families`` and the attempt at a placebo of each: null where there is no ``placebos``."""
    from pyspark.sql import functions as F

    if "placebos" not in pinned.tables:
        return families.withColumn("tried", F.lit(None).cast("int"))
    made = pinned.rows("placebos", wave).select("record_id", F.col("attempt").alias("tried"))
    return families.join(made, on="record_id", how="left")


def wave_rows(pinned: Pinned, settings: Settings, wave: Sequence[str], families: "DataFrame") -> "DataFrame":
    """The rows of ``training.snapshot.COLUMNS`` of one wave, in order within each shard; ``families`` come from ``numbered``."""
    from pyspark.sql import functions as F

    place = ["task", "shard", "position", "record_id"]
    tasks = F.array(*[F.lit(key).cast("long") for key in task_keys(pinned.spark, settings.publish.shards)])
    families = families.where("used")
    keys = families.withColumn("task", tasks[F.col("shard")]).select(*place, F.expr(f"inline({KEYS})"))
    meet = (
        _blobs(pinned, wave)
        .join(F.broadcast(keys), on=["record_id", "subset", "attempt"], how="inner")
        .select(*place, "subset", "image")
        .repartition(settings.publish.shards, "task")
        .sortWithinPartitions(*place, "subset")
    )
    whole = meet.groupBy(*place).agg(*map(F.expr, WHOLE))
    words = with_variants(pinned, wave, families).select(
        *("record_id", "n", "labels", "detected"),
        *[F.col(f"texts.{name}").alias(name) for name in TEXT],
        *[F.col(f"varied.{name}").alias(name) for name in VARIANT],
    )
    return (
        whole.join(F.broadcast(words), on="record_id", how="inner")
        .sortWithinPartitions("shard", "position")
        .select(*[F.col(name).cast(kind).alias(name) for name, kind in pinned.columns.items()])
    )


def _blobs(pinned: Pinned, wave: Sequence[str]) -> "DataFrame":
    """All images of a wave by (record_id, subset, attempt).

    The plain tables, as the keys name the attempt: nothing but broadcasts meets the bytes before their one exchange.
    """
    from pyspark.sql import functions as F

    tables = {"dual_images": F.col("subset"), "placebos": F.lit(AS_PLACEBO)}
    read = [
        pinned.spark.sql(f"SELECT * FROM {pinned.name(table)}")  # noqa: S608 - names come from this project
        .where(F.col("ingest_batch").isin(list(wave)))
        .select("record_id", subset.alias("subset"), "attempt", "image")
        for table, subset in tables.items()
        if table in pinned.tables
    ]
    return reduce(lambda one, other: one.unionByName(other), read)


def with_variants(pinned: Pinned, wave: Sequence[str], families: "DataFrame") -> "DataFrame":
    """``families`` and the ``varied`` texts of each, structs of ``VARIANT``: none where there is no ``text_variants``."""
    from pyspark.sql import functions as F

    if "text_variants" not in pinned.tables:
        return families.withColumn("varied", F.expr(f"from_json('[]', '{VARIED}')"))
    variants = pinned.rows("text_variants", wave).select("record_id", "variants")
    return families.join(variants, on="record_id", how="left").withColumn("varied", F.expr(VARIANTS))


def task_keys(spark: "SparkSession", shards: int) -> list[int]:
    """One key a shard such that ``repartition(shards, key)`` gives every shard a task of its own; shard numbers would collide."""
    from pyspark.sql import functions as F

    tried = spark.range(0, 30 * shards + 100, numPartitions=1).withColumn("task", F.pmod(F.hash("id"), F.lit(shards)))
    found = {row["task"]: row["key"] for row in tried.groupBy("task").agg(F.min("id").alias("key")).collect()}
    return [found[task] for task in range(shards)]
