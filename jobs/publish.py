"""publish: an immutable snapshot for training, ``<root>/snapshots/<id>``: Parquet whose row is a whole family, and a manifest.

    spark-submit --properties-file jobs/engine/spark-defaults.conf jobs/publish.py --root R --shards 8

A snapshot has the kept pairs of ``samples`` under the current policy, the dual images with a kept pair, and every ok original
with its own captions (families of n = 0 included), what the detector saw in it, and, if they exist, the variants of its texts and
its placebo. The images of a family are brought together in the project's only exchange that carries bytes, a few ingest batches
at a time. Only counts, labels and, as broadcasts, a wave's keys and texts pass through the driver.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.chain import CHAIN, SIDE_STAGES
from jobs.console import Profile, Root, Set, log, open_run, run_command
from jobs.engine.policy import describe
from jobs.engine.stream import StageError, any_made_anew
from jobs.engine.tables import Store, delete, literal
from jobs.engine.versions import MADE_FROM, mixed
from jobs.engine.views import last_rows
from jobs.engine.writers import writing
from jobs.look.status import current_runs
from jobs.settings import Settings, settings_hash
from jobs.snapshot.manifest import JOINT, MANIFEST, SCHEMA_HASH, Manifest, SnapshotError, read_manifest
from jobs.snapshot.rows import Pinned, current_version, numbered, pin, thinning, wave_rows
from udfs.files import file_system, put_whole

# A sorted, streaming aggregation holds one family at a time; Spark's default holds the bytes of 128.
STREAMING = {"spark.sql.execution.useObjectHashAggregateExec": "false"}


def publish(store: Store, settings: Settings, log: Callable[[str], None] = lambda line: None) -> tuple[Manifest, bool]:
    """Write the snapshot of the tables as they are now; an existing one is left as it is.

    A publish that was interrupted continues with the wave it was writing.

    Args:
        store: a root that the whole chain has run over.
        settings: their policy decides what goes in, ``publish`` the shards, the order and the balance.
        log: gets progress, line by line.

    Returns:
        The manifest, and whether the snapshot was written by this call.

    Raises:
        StageError: a table is missing, or there are fewer families than shards.
    """
    pinned = pin(store)
    _refuse_outdated(pinned)
    made_from = {name: table.model_dump() for name, table in pinned.tables.items()}
    identity = [made_from, settings_hash(settings, ("policy", "publish")), settings.plan.remove_score, SCHEMA_HASH]
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = f"{store.root}/snapshots/{name}"
    with writing(store.root, [f"snapshot-{name}"], log):
        try:
            return read_manifest(folder), False
        except SnapshotError:
            log(f"snapshot {name}")
        try:
            manifest = _write_families(store, settings, pinned, name, log)
        except PySparkException as problem:
            if gone := _dropped(store, pinned):
                raise StageError(
                    f"{', '.join(gone)} was started anew while the snapshot was made; run the chain and publish again"
                ) from problem
            raise
        # A takedown is in force from its commit on, also for a snapshot that is being made.
        with writing(store.root, ["withdrawn"], log):
            if current_version(store, "withdrawn") == pinned.tables.get("withdrawn"):
                put_whole(f"{folder}/{MANIFEST}", manifest.model_dump_json(indent=1).encode())
                return read_manifest(folder), True
        delete(folder)
    log("records were withdrawn meanwhile: once more, without them")
    return publish(store, settings, log)


def _refuse_outdated(pinned: Pinned) -> None:
    """Refuse tables of which one has records that were made anew, and another what was made from their earlier rows."""
    if not any_made_anew(pinned):
        return
    for stage in (*CHAIN, *SIDE_STAGES):
        reads = [table for table in MADE_FROM.get(stage.target, ()) if table in pinned.tables]
        if stage.target in pinned.tables and reads and (count := mixed(pinned, stage.target, reads).count()):
            side = f" --stages {stage.name}" if stage in SIDE_STAGES else ""
            raise StageError(
                f"{count} records were made anew, and their rows in {stage.target} are not yet:"
                f" dualset run --root {pinned.root}{side}, then publish again"
            )


def _dropped(store: Store, pinned: Pinned) -> list[str]:
    """The tables that were dropped since they were pinned, whether or not they were created again."""
    now = {table: current_version(store, table) for table in pinned.tables}
    return [table for table, version in now.items() if version is None or version.id != pinned.tables[table].id]


def _write_families(store: Store, settings: Settings, pinned: Pinned, name: str, log: Callable[[str], None]) -> Manifest:
    """Write the files of a snapshot; returns the manifest to be written."""
    folder = f"{store.root}/snapshots/{name}"
    counts: Counter[str] = Counter()
    lattice: dict[tuple[int, int], Counter[str]] = {}
    planned = waves(pinned, settings)
    shares = thinning(pinned, settings, [batch for wave in planned for batch in wave])
    for number, wave in enumerate(planned):
        families = numbered(pinned, settings, wave, counts["families"], shares).persist()
        _count(families, counts, lattice)
        _write(pinned, settings, wave, families, f"{folder}/data/wave={number}")
        families.unpersist()
        log(f"  wave {number}: {len(wave)} ingest batches, {counts['families']} families so far")
    _enough(counts["families"], settings)
    for line in balance(lattice):
        log(line)
    manifest = Manifest.model_validate(
        {
            "id": name,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "schema_hash": SCHEMA_HASH,
            "columns": pinned.columns,
            "tables": {table: version.model_dump() for table, version in pinned.tables.items()},
            "stages": _stages(store),
            "shards": settings.publish.shards,
            "seed": settings.publish.seed,
            "files": _files(store.spark, folder),
            "totals": {key: counts[key] for key in ("families", "images", "texts", "pairs", "placebos", "left_out")},
            "vocabulary": _vocabulary(store.spark, folder),
            "lattice": [
                {"n": n, "removed": k} | {key: c[key] for key in ("made", "passed", "kept")}
                for (n, k), c in sorted(lattice.items())
            ],
            "balance": settings.publish.balance,
            "policy": describe(settings.policy, embedder=bool(settings.embedder.model)),
            # Without `spark` and without secrets, as a snapshot is passed on.
            "settings": {section: value for section, value in json.loads(settings.shown()).items() if section != "spark"},
        }
    )
    for key in ("families", "images", "texts"):
        written = sum(getattr(file, key) for file in manifest.files)
        if written != counts[key]:
            raise StageError(
                f"snapshot {name}: {written} {key} were written instead of {counts[key]}; delete {folder} and publish again"
            )
    return manifest


def balance(lattice: dict[tuple[int, int], Counter[str]]) -> list[str]:
    """Lines on what filtering and balancing left of the lattices, by number of removed components: "kept (of passed) of made"."""
    rows: dict[int, list[str]] = {}
    for (n, _), c in sorted(lattice.items()):
        between = f" of {c['passed']} kept" if c["passed"] != c["kept"] else ""
        rows.setdefault(n, []).append(f"{c['kept']}{between} of {c['made']}")
    return [f"  families of {n}: {', '.join(row)} images with 0 to {n} removed" for n, row in rows.items()]


def waves(pinned: Pinned, settings: Settings) -> list[list[str]]:
    """Ingest batches, a few at a time, in an order by the seed: neighbours in a source are not in one wave.

    Raises:
        StageError: there are fewer families than shards.
    """
    seed, size = settings.publish.seed, settings.publish.wave_batches
    families = last_rows(pinned, "families").where("status = 'ok'")
    sizes = {row["ingest_batch"]: row["count"] for row in families.groupBy("ingest_batch").count().collect()}
    _enough(sum(sizes.values()), settings)
    order = sorted(sizes, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return [order[start : start + size] for start in range(0, len(order), size)]


def _write(pinned: Pinned, settings: Settings, wave: Sequence[str], families: DataFrame, folder: str) -> None:
    files, path = file_system(folder)
    if files.exists(f"{path}/_SUCCESS"):  # of an interrupted publish: the same rows, as the id covers what they are made from
        return
    groups = {"parquet.block.size": str(settings.publish.row_group_bytes), "parquet.page.size.row.check.min": "2"}
    with _configured(pinned.spark, groups | STREAMING):
        rows = wave_rows(pinned, settings, wave, families).withColumn("part", F.col("shard"))
        rows.write.partitionBy("part").mode("overwrite").parquet(folder)


def _enough(families: int, settings: Settings) -> None:
    shards = settings.publish.shards
    if families < shards:
        raise StageError(f"{families} families cannot fill {shards} shards: ask for fewer with --shards")


def _count(families: DataFrame, counts: Counter[str], lattice: dict[tuple[int, int], Counter[str]]) -> None:
    sums = {
        "images": "size(kept)",
        "texts": "size(texts)",
        "pairs": "pairs",
        "placebos": "int(placebo IS NOT NULL)",
        "families": "1",
    }
    total = families.agg(
        *[F.expr(f"coalesce(sum({value}) FILTER (WHERE used), 0) AS {name}") for name, value in sums.items()],
        F.count_if(~F.col("used")).alias("left_out"),
    ).first()
    assert total is not None, "an aggregate without groups has one row"
    counts.update(total.asDict())
    duals = families.select("n", "kept", "passed", "used", F.explode("made").alias("subset"))
    rows = duals.groupBy("n", F.expr("bit_count(subset) AS removed")).agg(
        F.count("*").alias("made"),
        F.expr("count_if(used AND array_contains(passed, subset)) AS passed"),
        F.expr("count_if(used AND array_contains(kept.subset, subset)) AS kept"),
    )
    for row in rows.collect():
        images = {key: row[key] for key in ("made", "passed", "kept")}
        lattice.setdefault((row["n"], row["removed"]), Counter()).update(images)


def _files(spark: SparkSession, folder: str) -> list[dict[str, object]]:
    """What was really written, file by file; the images' bytes are not read."""
    rows = spark.read.parquet(literal(f"{folder}/data")).groupBy("_metadata.file_path", "_metadata.file_size", "shard")
    sums = rows.agg(
        F.count("*").alias("families"),
        F.sum(F.size("subsets")).alias("images"),
        F.sum(F.size("text")).alias("texts"),
        F.sum(F.crc32("record_id")).alias("ids_crc"),
    ).collect()
    listed = []
    for row in sums:
        values = row.asDict()
        path, size = values.pop("file_path"), values.pop("file_size")
        listed.append({"path": path[path.rindex("/data/wave=") + 1 :], "bytes": size, **values})
    return sorted(listed, key=lambda file: (file["shard"], file["path"]))


def _vocabulary(spark: SparkSession, folder: str) -> list[str]:
    named = f"flatten(transform(variant_names, names -> split(names, '[{JOINT}]')))"
    rows = spark.read.parquet(literal(f"{folder}/data")).select(F.expr(f"explode(concat(labels, detected, {named})) AS label"))
    return sorted(row["label"] for row in rows.where("label <> ''").distinct().collect())


def _stages(store: Store) -> dict[str, dict[str, list[str]]]:
    """Models and settings that made the rows of each stage's table: of its current generation, not of dropped rows."""
    if not store.exists("runs"):
        return {}
    rows = current_runs(store).selectExpr("stage", "models", "settings_hash").collect()
    facts: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        stage_facts = facts.setdefault(row["stage"], {"models": set(), "settings_hashes": set()})
        stage_facts["models"].update(row["models"] or ())
        stage_facts["settings_hashes"].add(row["settings_hash"])
    return {stage: {key: sorted(values) for key, values in sets.items()} for stage, sets in sorted(facts.items())}


def publish_command(
    root: Root,
    profile: Profile = "photos",
    set_: Set = None,
    shards: Annotated[int, typer.Option(help="parts, equal but for one family; 0: publish.shards")] = 0,
    seed: Annotated[int, typer.Option(help="of the order of families; -1: publish.seed")] = -1,
) -> None:
    """Export what training reads under the current policy as an immutable snapshot."""
    options = [f"publish.shards={shards}"] * (shards > 0) + [f"publish.seed={seed}"] * (seed >= 0)
    run = open_run(root, profile, [*(set_ or ()), *options])
    manifest, new = publish(run.store, run.settings, log)
    totals = manifest.totals
    log(
        f"{'published' if new else 'nothing to do: already published'}: {totals.families} families, {totals.images} images,"
        f" {totals.texts} texts, {totals.pairs} kept pairs in {manifest.shards} shards"
    )
    log(f"snapshot: {manifest.folder}")


@contextmanager
def _configured(spark: SparkSession, values: dict[str, str]) -> Iterator[None]:
    before = {key: spark.conf.get(key, None) for key in values}
    try:
        for key, value in values.items():
            spark.conf.set(key, value)
        yield
    finally:
        for key, old in before.items():
            spark.conf.unset(key) if old is None else spark.conf.set(key, old)


if __name__ == "__main__":
    run_command(publish_command)
