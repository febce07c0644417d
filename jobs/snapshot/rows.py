"""The rows of a snapshot: tables pinned at a version, the images and texts that go in, and their assembly into families."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.engine.stream import StageError
from jobs.engine.tables import Store
from jobs.engine.views import VIEWS, judged, latest
from jobs.settings import Settings
from jobs.snapshot.manifest import COLUMNS, JOINT, PLACEBO, TableVersion

# Later stages first: what a row refers to was committed before it, and so is in the version of a table that is pinned later.
READ = ("reviews", "text_variants", "placebos", "scores", "dual_images", "families", "instances", "images", "withdrawn")
OPTIONAL = ("reviews", "text_variants", "placebos", "withdrawn")  # may not exist
LABELS = "coalesce(transform(components, c -> c.label), array()) AS labels"
# The snapshot's column, and that of `samples`.
TEXT = {
    "caption_id": "caption_id",
    "text": "caption",
    "text_named": "names",
    "text_mentions": "mentions",
    "text_may_mention": "may_mention",
}
# From separate arrays, so that no mask is read.
SEEN = """transform(filter(arrays_zip(instances.label, instances.score), i -> i.score >= {}D), i -> i.label)
    AS seen"""
DETECTED = "array_sort(array_union(labels, coalesce(seen, array()))) AS detected"
VARIANT = ("variant_of", "variant_kind", "variant_text", "variant_mentions", "variant_may_mention", "variant_names")
VARIED = "ARRAY<STRUCT<" + ", ".join(f"{name}: {COLUMNS[name][6:-1]}" for name in VARIANT) + ">>"
# A text's subset is what its caption names but it does not mention. Equal texts of two captions each have their own variants.
VARIANTS = f"""array_sort(array_distinct(flatten(transform(texts, (t, at) -> transform(
    filter(coalesce(variants, array()), v -> v.text IS NOT NULL
        AND v.caption_id = t.caption_id AND v.subset = (t.text_named & ~t.text_mentions)),
    v -> struct(cast(at AS INT) AS variant_of, v.kind AS variant_kind, v.text AS variant_text, v.mentions AS variant_mentions,
        v.may_mention AS variant_may_mention, array_join(v.names, '{JOINT}') AS variant_names))))))"""
PAIRS = ("count(*) AS pairs", f"collect_set(struct({', '.join(f'{column} AS {name}' for name, column in TEXT.items())})) AS said")
# Among images of one family size and subset size, those that may go in come first, ordered by a hash.
PLACE = "row_number() OVER (PARTITION BY n, bit_count(subset), pairs IS NULL ORDER BY xxhash64(record_id, subset, {}), record_id)"
COUNT = "count(pairs) OVER (PARTITION BY n, bit_count(subset))"
# Originals always go in; others if a text remains that is exact for them.
IMAGES = (
    "collect_list(struct(subset, attempt)) FILTER (WHERE subset = 0 OR pairs IS NOT NULL) AS kept",
    "collect_list(subset) FILTER (WHERE subset = 0 OR passed IS NOT NULL) AS passed",
    "collect_list(subset) AS made",
    "coalesce(sum(pairs), 0) AS pairs",
    "flatten(collect_list(said)) AS said",
)
# A placebo travels with its original, as the image of a subset that does not exist.
AS_PLACEBO = -1
SHOWN = "IF(array_contains(kept.subset, 0), tried, null) AS placebo"
KEYS = f"IF(placebo IS NULL, kept, concat(kept, array(struct({AS_PLACEBO} AS subset, placebo AS attempt))))"
WHOLE = (
    f"collect_list(subset) FILTER (WHERE subset <> {AS_PLACEBO}) AS subsets",
    f"collect_list(image) FILTER (WHERE subset <> {AS_PLACEBO}) AS images",
    f"max(image) FILTER (WHERE subset = {AS_PLACEBO}) AS placebo",
)
# An original's own captions; a caption is its own text, and mentions all that it names.
ORIGINALS = """transform(filter(captions, c -> c.status IN ('ok', 'not_monotone') AND array_contains(made, 0)), c -> struct(
    c.caption_id AS caption_id, get(filter(written, w -> w.caption_id = c.caption_id), 0).caption AS text,
    c.names AS text_named, c.names AS text_mentions, c.may_name AS text_may_mention))"""
TEXTS = f"array_sort(array_distinct(filter(concat(said, {ORIGINALS}), t -> t.text IS NOT NULL))) AS texts"


@dataclass(frozen=True)
class Pinned(Store):
    """The tables at the versions that one snapshot is made from."""

    tables: dict[str, TableVersion] = field(default_factory=dict)

    def name(self, table: str) -> str:
        """The SQL name of a table at its pinned version."""
        return f"{super().name(table)} VERSION AS OF {self.tables[table].version}"

    def latest(self, table: str) -> str:
        """SQL for the last attempts of a table's rows, without withdrawn records."""
        return latest(self, table, withdrawn="withdrawn" in self.tables)

    def read(self, table: str) -> DataFrame:
        """All rows of a table at its pinned version."""
        # Only a query can name a version both on a path and in a catalog.
        return self.spark.sql(f"SELECT * FROM {self.name(table)}")  # noqa: S608 - the store's own name and a number

    def rows(self, table: str, wave: Sequence[str]) -> DataFrame:
        """The current ok rows of some ingest batches."""
        return self.spark.sql(self.latest(table)).where(F.col("ingest_batch").isin(list(wave)) & (F.col("status") == "ok"))

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the snapshot."""
        return COLUMNS | (PLACEBO if "placebos" in self.tables else {})


def pin(store: Store) -> Pinned:
    """Look up the current version of every table that publish reads.

    Raises:
        StageError: the chain has not run to its end.
    """
    tables = {}
    for table in READ:
        if version := current_version(store, table):
            tables[table] = version
        elif table not in OPTIONAL:
            raise StageError(f"publish reads {table}, which does not exist yet: run the chain first")
    return Pinned(store.spark, store.root, store.catalog, store.schema_name, tables)


def current_version(store: Store, table: str) -> TableVersion | None:
    """The version of a table as of now; None if it does not exist."""
    if not store.exists(table):
        return None
    history = store.spark.sql(f"DESCRIBE HISTORY {store.name(table)} LIMIT 1").first()
    detail = store.spark.sql(f"DESCRIBE DETAIL {store.name(table)}").first()
    assert history is not None and detail is not None, "a table has a history"
    return TableVersion(version=history["version"], id=detail["id"])


def _judged(pinned: Pinned, settings: Settings, wave: Sequence[str]) -> DataFrame:
    """All dual images of some ingest batches, with their number of kept ``pairs`` and their kept texts ``said``, or nulls."""
    tables = {name: pinned.latest(name) for name in pinned.tables}
    samples = pinned.spark.sql(VIEWS["samples"].format(**tables, judged=judged(pinned, settings.policy, pinned.tables)))
    pairs = samples.where(F.col("ingest_batch").isin(list(wave))).groupBy("record_id", "subset").agg(*map(F.expr, PAIRS))
    duals = pinned.rows("dual_images", wave).select("record_id", "subset", "attempt")
    return duals.join(pairs, on=["record_id", "subset"], how="left")


def thinning(pinned: Pinned, settings: Settings, batches: Sequence[str]) -> dict[tuple[int, int], float]:
    """The share of the kept duals that goes in, by components of the family and number of them removed; empty: all.

    In a whole lattice every text and image is positive equally often, so that neither alone predicts a match. A policy that
    rejects more of the larger subsets breaks that. With ``publish.balance=lattice`` the duals of each number of removed
    components, in families of one size, are cut to the same share of those made: that of the number that lost most. Originals
    always go in.

    Raises:
        StageError: nothing was kept for some number of removed components, so there is nothing to balance.
    """
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


def _thinned(images: DataFrame, families: DataFrame, seed: int, shares: dict[tuple[int, int], float]) -> DataFrame:
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
) -> DataFrame:
    """One row a family, without image bytes: what goes in, its place in the wave's shuffled order, and its shard.

    ``kept`` has the (subset, attempt) of the images that go in, ``passed`` the subsets that the policy kept (``shares`` of
    ``thinning`` may leave some out), ``made`` all subsets. ``pairs`` counts the pairs that go in. ``texts`` has each usable text
    of a caption once. ``placebo`` is the attempt at the placebo that goes in, or null. Families that are not ``used`` (no image
    or no text remains) come last. ``before`` families are in earlier waves.
    """
    families = pinned.rows("families", wave).select("record_id", "n", F.expr(LABELS), "captions")
    images = _thinned(_judged(pinned, settings, wave), families, settings.publish.seed, shares or {})
    images = images.groupBy("record_id").agg(*map(F.expr, IMAGES))
    written = pinned.rows("images", wave).select("record_id", F.col("captions").alias("written"))
    seen = pinned.rows("instances", wave).select("record_id", F.expr(SEEN.format(settings.plan.remove_score)))
    # A window over the narrow rows of one wave.
    order = Window.orderBy(F.col("used").desc(), F.xxhash64("record_id", F.lit(settings.publish.seed)), "record_id")
    joined = families.join(written, on="record_id", how="inner").join(images, on="record_id", how="inner")
    joined = _with_placebos(pinned, wave, joined.join(seen, on="record_id", how="left"))
    return (
        joined.select("record_id", "n", "labels", *map(F.expr, (DETECTED, TEXTS, SHOWN)), "kept", "passed", "made", "pairs")
        .withColumn("used", F.expr("size(kept) > 0 AND size(texts) > 0"))
        .withColumn("position", F.row_number().over(order) - 1)
        .withColumn("shard", F.expr(f"cast((position + {before}L) % {settings.publish.shards} AS INT)"))
    )


def _with_placebos(pinned: Pinned, wave: Sequence[str], families: DataFrame) -> DataFrame:
    """``families`` with the attempt at each one's placebo: null if there is no table ``placebos``."""
    if "placebos" not in pinned.tables:
        return families.withColumn("tried", F.lit(None).cast("int"))
    placebos = pinned.rows("placebos", wave).select("record_id", F.col("attempt").alias("tried"))
    return families.join(placebos, on="record_id", how="left")


def wave_rows(pinned: Pinned, settings: Settings, wave: Sequence[str], families: DataFrame) -> DataFrame:
    """The snapshot's rows of one wave, in order within each shard.

    Args:
        pinned: the tables.
        settings: for the number of shards.
        wave: ingest batches.
        families: of ``numbered``.
    """
    place = ["task", "shard", "position", "record_id"]
    tasks = F.array(*[F.lit(key).cast("long") for key in task_keys(pinned.spark, settings.publish.shards)])
    families = families.where("used")
    keys = families.withColumn("task", tasks[F.col("shard")]).select(*place, F.expr(f"inline({KEYS})"))
    images = (
        _blobs(pinned, wave)
        .join(F.broadcast(keys), on=["record_id", "subset", "attempt"], how="inner")
        .select(*place, "subset", "image")
        .repartition(settings.publish.shards, "task")
        .sortWithinPartitions(*place, "subset")
    )
    whole = images.groupBy(*place).agg(*map(F.expr, WHOLE))
    texts = with_variants(pinned, wave, families).select(
        *("record_id", "n", "labels", "detected"),
        *[F.col(f"texts.{name}").alias(name) for name in TEXT],
        *[F.col(f"varied.{name}").alias(name) for name in VARIANT],
    )
    return (
        whole.join(F.broadcast(texts), on="record_id", how="inner")
        .sortWithinPartitions("shard", "position")
        .select(*[F.col(name).cast(kind).alias(name) for name, kind in pinned.columns.items()])
    )


def _blobs(pinned: Pinned, wave: Sequence[str]) -> DataFrame:
    """All images of a wave by (record_id, subset, attempt).

    Read from the plain tables, as the keys name the attempt: the bytes are joined with broadcasts only before their one exchange.
    """
    tables = {"dual_images": F.col("subset"), "placebos": F.lit(AS_PLACEBO)}
    parts = [
        pinned.read(table)
        .where(F.col("ingest_batch").isin(list(wave)))
        .select("record_id", subset.alias("subset"), "attempt", "image")
        for table, subset in tables.items()
        if table in pinned.tables
    ]
    return reduce(DataFrame.unionByName, parts)


def with_variants(pinned: Pinned, wave: Sequence[str], families: DataFrame) -> DataFrame:
    """``families`` with the ``varied`` texts of each, structs of ``VARIANT``: none if there is no table ``text_variants``."""
    if "text_variants" not in pinned.tables:
        return families.withColumn("varied", F.expr(f"from_json('[]', '{VARIED}')"))
    variants = pinned.rows("text_variants", wave).select("record_id", "variants")
    return families.join(variants, on="record_id", how="left").withColumn("varied", F.expr(VARIANTS))


def task_keys(spark: SparkSession, shards: int) -> list[int]:
    """A key for each shard such that ``repartition(shards, key)`` gives each shard its own task; shard numbers would collide."""
    candidates = spark.range(0, 30 * shards + 100, numPartitions=1).withColumn("task", F.pmod(F.hash("id"), F.lit(shards)))
    keys = {row["task"]: row["key"] for row in candidates.groupBy("task").agg(F.min("id").alias("key")).collect()}
    return [keys[task] for task in range(shards)]
