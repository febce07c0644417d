"""publish: an immutable snapshot for training, ``<root>/snapshots/<id>``: Parquet whose row is a whole family, and a manifest.

    spark-submit --properties-file conf/spark-defaults.conf jobs/publish.py --root R --shards 8

What goes in: the kept pairs of ``samples`` under the current policy, the dual images that have one, and every ok original with
its own captions, families of n = 0 included; what the detector saw in it, and variants of its texts, if any were made. The images
of a family meet in the one exchange of the project that carries bytes, a few ingest batches at a time; nothing but counts, labels
and, as broadcasts, a wave's keys and texts passes the driver.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.policy import describe
from jobs.settings import Settings, settings_hash
from jobs.stream import StageError
from jobs.tables import Store
from jobs.views import VIEWS, judged, latest
from training.snapshot import COLUMNS, JOINT, MANIFEST, SCHEMA_HASH, Manifest, SnapshotError, TableVersion, read_manifest

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Later stages first: whatever a row of an entry refers to was committed before it, and so is in a version that is pinned later.
READ = ("reviews", "text_variants", "scores", "dual_images", "families", "instances", "images", "withdrawn")
BY_HAND = ("reviews", "text_variants", "withdrawn")  # may not be there
# A sorted, streaming aggregation holds one family at a time; Spark's default holds the bytes of 128.
STREAMING = {"spark.sql.execution.useObjectHashAggregateExec": "false"}


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


def publish(store: Store, settings: Settings, say: Callable[[str], None] = lambda line: None) -> tuple[Manifest, bool]:
    """Write the snapshot of the tables as they are now; one that is there already is left alone.

    A publish that was stopped goes on with the wave that it was in.

    Returns:
        The manifest, and whether the snapshot was written by this call.

    Raises:
        StageError: a table is missing, or there are fewer families than shards.
    """
    pinned = pin(store)
    made_from = {name: table.model_dump() for name, table in pinned.tables.items()}
    identity = [made_from, settings_hash(settings, ("policy", "publish")), settings.plan.remove_score, SCHEMA_HASH]
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = f"{store.root}/snapshots/{name}"
    try:
        return read_manifest(folder), False
    except SnapshotError:
        say(f"snapshot {name}")
    counts: Counter[str] = Counter()
    lattice: dict[tuple[int, int], Counter[str]] = {}
    for number, wave in enumerate(waves(pinned, settings)):
        families = numbered(pinned, settings, wave, counts["families"]).persist()
        _count(families, counts, lattice)
        _write(pinned, settings, wave, families, f"{folder}/data/wave={number}")
        families.unpersist()
        say(f"  wave {number}: {len(wave)} ingest batches, {counts['families']} families so far")
    _enough(counts["families"], settings)
    for line in balance(lattice):
        say(line)
    manifest = Manifest.model_validate(
        {
            "id": name,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "schema_hash": SCHEMA_HASH,
            "columns": COLUMNS,
            "tables": made_from,
            "stages": _stages(store),
            "shards": settings.publish.shards,
            "seed": settings.publish.seed,
            "files": _files(store.spark, folder),
            "totals": {key: counts[key] for key in ("families", "images", "texts", "pairs", "left_out")},
            "vocabulary": _vocabulary(store.spark, folder),
            "lattice": [{"n": n, "removed": k, "made": c["made"], "kept": c["kept"]} for (n, k), c in sorted(lattice.items())],
            "policy": describe(settings.policy, embedder=bool(settings.embedder.model)),
            # Not `spark`: its conf may hold keys of a storage, and a snapshot is handed on.
            "settings": settings.model_dump(mode="json", exclude={"spark"}),
        }
    )
    for key in ("families", "images", "texts"):
        written = sum(getattr(file, key) for file in manifest.files)
        if written != counts[key]:
            raise StageError(f"snapshot {name}: {written} {key} were written instead of {counts[key]}; delete {folder}")
    _put(f"{folder}/{MANIFEST}", manifest.model_dump_json(indent=1))
    return read_manifest(folder), True


def balance(lattice: dict[tuple[int, int], Counter[str]]) -> list[str]:
    """What filtering left of the lattices: for each size of family, "kept of made" by the number of removed components."""
    sizes = sorted({n for n, _ in lattice})
    rows = {n: [f"{c['kept']} of {c['made']}" for (size, _), c in sorted(lattice.items()) if size == n] for n in sizes}
    return [f"  families of {n}: {', '.join(row)} images with 0 to {n} removed" for n, row in rows.items()]


def waves(pinned: Pinned, settings: Settings) -> list[list[str]]:
    """Ingest batches, a few at a time, in an order of the seed: what a source had side by side is not in one wave.

    Raises:
        StageError: there are fewer families than shards.
    """
    seed, size = settings.publish.seed, settings.publish.wave_batches
    families = pinned.spark.sql(f"SELECT ingest_batch FROM {pinned.name('families')} WHERE status = 'ok'")  # noqa: S608
    found = {row["ingest_batch"]: row["count"] for row in families.groupBy("ingest_batch").count().collect()}
    _enough(sum(found.values()), settings)
    order = sorted(found, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return [order[start : start + size] for start in range(0, len(order), size)]


def numbered(pinned: Pinned, settings: Settings, wave: Sequence[str], before: int) -> "DataFrame":
    """One row a family, without image bytes: what goes in, its place in the wave's shuffled order, and its shard.

    ``kept`` are the (subset, attempt) of its images that go in and ``made`` the subsets of all; ``pairs`` counts its kept pairs;
    ``texts`` has each usable text of a caption once. Families that are not ``used`` (no image or no text is left) come last.
    ``before`` families are in earlier waves.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    found = {name: pinned.latest(name) for name in pinned.tables}
    samples = pinned.spark.sql(VIEWS["samples"].format(**found, judged=judged(pinned, settings.policy, pinned.tables)))
    pairs = samples.where(F.col("ingest_batch").isin(list(wave))).groupBy("record_id", "subset").agg(*map(F.expr, PAIRS))
    duals = pinned.rows("dual_images", wave).select("record_id", "subset", "attempt")
    images = duals.join(pairs, on=["record_id", "subset"], how="left").groupBy("record_id").agg(*map(F.expr, IMAGES))
    written = pinned.rows("images", wave).select("record_id", F.col("captions").alias("written"))
    families = pinned.rows("families", wave).select("record_id", "n", F.expr(LABELS), "captions")
    found_in = pinned.rows("instances", wave).select("record_id", F.expr(SEEN.format(settings.plan.remove_score)))
    # A window over the narrow rows of one wave.
    order = Window.orderBy(F.col("used").desc(), F.xxhash64("record_id", F.lit(settings.publish.seed)), "record_id")
    return (
        families.join(written, on="record_id", how="inner")
        .join(images, on="record_id", how="inner")
        .join(found_in, on="record_id", how="left")
        .select("record_id", "n", "labels", F.expr(DETECTED), "kept", "made", "pairs", F.expr(TEXTS).alias("texts"))
        .withColumn("used", F.expr("size(kept) > 0 AND size(texts) > 0"))
        .withColumn("position", F.row_number().over(order) - 1)
        .withColumn("shard", F.expr(f"cast((position + {before}L) % {settings.publish.shards} AS INT)"))
    )


def wave_rows(pinned: Pinned, settings: Settings, wave: Sequence[str], families: "DataFrame") -> "DataFrame":
    """The rows of ``training.snapshot.COLUMNS`` of one wave, in order within each shard; ``families`` come from ``numbered``."""
    from pyspark.sql import functions as F

    place = ["task", "shard", "position", "record_id"]
    tasks = F.array(*[F.lit(key).cast("long") for key in task_keys(pinned.spark, settings.publish.shards)])
    families = families.where("used")
    keys = families.withColumn("task", tasks[F.col("shard")]).select(*place, F.expr("inline(kept)"))
    # The plain table, as the keys name the attempt: nothing but broadcasts meets the bytes before their one exchange.
    blobs = pinned.spark.sql(f"SELECT * FROM {pinned.name('dual_images')}").where(F.col("ingest_batch").isin(list(wave)))  # noqa: S608
    meet = (
        blobs.select("record_id", "subset", "attempt", "image")
        .join(F.broadcast(keys), on=["record_id", "subset", "attempt"], how="inner")
        .select(*place, "subset", "image")
        .repartition(settings.publish.shards, "task")
        .sortWithinPartitions(*place, "subset")
    )
    whole = meet.groupBy(*place).agg(F.collect_list("subset").alias("subsets"), F.collect_list("image").alias("images"))
    words = with_variants(pinned, wave, families).select(
        *("record_id", "n", "labels", "detected"),
        *[F.col(f"texts.{name}").alias(name) for name in TEXT],
        *[F.col(f"varied.{name}").alias(name) for name in VARIANT],
    )
    return (
        whole.join(F.broadcast(words), on="record_id", how="inner")
        .sortWithinPartitions("shard", "position")
        .select(*[F.col(name).cast(kind).alias(name) for name, kind in COLUMNS.items()])
    )


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


def _write(pinned: Pinned, settings: Settings, wave: Sequence[str], families: "DataFrame", folder: str) -> None:
    import fsspec
    from pyspark.sql import functions as F

    files, path = fsspec.core.url_to_fs(folder)
    if files.exists(f"{path}/_SUCCESS"):  # of an earlier try: the same rows, as the id says what they are made from
        return
    groups = {"parquet.block.size": str(settings.publish.row_group_bytes), "parquet.page.size.row.check.min": "2"}
    with _configured(pinned.spark, groups | STREAMING):
        rows = wave_rows(pinned, settings, wave, families).withColumn("part", F.col("shard"))
        rows.write.partitionBy("part").mode("overwrite").parquet(folder)


def _enough(families: int, settings: Settings) -> None:
    shards = settings.publish.shards
    if families < shards:
        raise StageError(f"{families} families cannot fill {shards} shards: give fewer with --shards")


def _count(families: "DataFrame", counts: Counter[str], lattice: dict[tuple[int, int], Counter[str]]) -> None:
    from pyspark.sql import functions as F

    sums = {"images": "size(kept)", "texts": "size(texts)", "pairs": "pairs", "families": "1"}
    total = families.agg(
        *[F.expr(f"coalesce(sum({value}) FILTER (WHERE used), 0) AS {name}") for name, value in sums.items()],
        F.count_if(~F.col("used")).alias("left_out"),
    ).first()
    assert total is not None, "an aggregate without groups has one row"
    counts.update(total.asDict())
    duals = families.select("n", "kept", "used", F.explode("made").alias("subset"))
    rows = duals.groupBy("n", F.expr("bit_count(subset) AS removed")).agg(
        F.count("*").alias("made"), F.expr("count_if(used AND array_contains(kept.subset, subset)) AS kept")
    )
    for row in rows.collect():
        lattice.setdefault((row["n"], row["removed"]), Counter()).update(made=row["made"], kept=row["kept"])


def _files(spark: "SparkSession", folder: str) -> list[dict[str, object]]:
    """What was really written, file by file; the bytes of the images are not read."""
    from pyspark.sql import functions as F

    rows = spark.read.parquet(f"{folder}/data").groupBy("_metadata.file_path", "_metadata.file_size", "shard")
    found = rows.agg(
        F.count("*").alias("families"),
        F.sum(F.size("subsets")).alias("images"),
        F.sum(F.size("text")).alias("texts"),
        F.sum(F.crc32("record_id")).alias("ids_crc"),
    ).collect()
    listed = []
    for row in found:
        values = row.asDict()
        path, size = values.pop("file_path"), values.pop("file_size")
        listed.append({"path": path[path.rindex("/data/wave=") + 1 :], "bytes": size, **values})
    return sorted(listed, key=lambda file: (file["shard"], file["path"]))


def _vocabulary(spark: "SparkSession", folder: str) -> list[str]:
    from pyspark.sql import functions as F

    named = f"flatten(transform(variant_names, one -> split(one, '[{JOINT}]')))"
    rows = spark.read.parquet(f"{folder}/data").select(F.expr(f"explode(concat(labels, detected, {named})) AS label"))
    return sorted(row["label"] for row in rows.where("label <> ''").distinct().collect())


def _stages(store: Store) -> dict[str, dict[str, list[str]]]:
    """Models and settings that made the rows of each stage's table: of its present generation, not of what was dropped."""
    from jobs.status import current_runs

    if not store.exists("runs"):
        return {}
    rows = current_runs(store).selectExpr("stage", "models", "settings_hash").collect()
    facts: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        mine = facts.setdefault(row["stage"], {"models": set(), "settings_hashes": set()})
        mine["models"].update(row["models"] or ())
        mine["settings_hashes"].add(row["settings_hash"])
    return {stage: {key: sorted(values) for key, values in mine.items()} for stage, mine in sorted(facts.items())}


def _put(path: str, text: str) -> None:
    """All of a file or nothing: renamed into place where files can be, one request in an object store."""
    import fsspec

    files, name = fsspec.core.url_to_fs(path)
    files.pipe_file(f"{name}.part", text.encode())
    files.mv(f"{name}.part", name)


@contextmanager
def _configured(spark: "SparkSession", values: dict[str, str]) -> Iterator[None]:
    before = {key: spark.conf.get(key, None) for key in values}
    try:
        for key, value in values.items():
            spark.conf.set(key, value)
        yield
    finally:
        for key, old in before.items():
            spark.conf.unset(key) if old is None else spark.conf.set(key, old)


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
# Originals always go on; others if a text is left that is exact for them.
IMAGES = (
    "collect_list(struct(subset, attempt)) FILTER (WHERE subset = 0 OR pairs IS NOT NULL) AS kept",
    "collect_list(subset) AS made",
    "coalesce(sum(pairs), 0) AS pairs",
    "flatten(collect_list(said)) AS said",
)
# An original's own captions; a caption is its own text, and surely mentions what it names.
ORIGINALS = """transform(filter(captions, c -> c.status IN ('ok', 'not_monotone') AND array_contains(made, 0)), c -> struct(
    c.caption_id AS caption_id, get(filter(written, w -> w.caption_id = c.caption_id), 0).caption AS text,
    c.names AS text_named, c.names AS text_mentions, c.may_name AS text_may_mention))"""
TEXTS = f"array_sort(array_distinct(filter(concat(said, {ORIGINALS}), t -> t.text IS NOT NULL)))"

if __name__ == "__main__":
    from jobs.cli import main

    main(["publish"])
