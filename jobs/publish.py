"""publish: an immutable snapshot for training, ``<root>/snapshots/<id>``: Parquet whose row is a whole family, and a manifest.

    spark-submit --properties-file conf/spark-defaults.conf jobs/publish.py --root R --shards 8

What goes in: the kept pairs of ``samples`` under the current policy, the dual images that have one, and every ok original with
its own captions, families of n = 0 included; what the detector saw in it; variants of its texts and its placebo, where there are.
The images of a family meet in the one exchange of the project that carries bytes, a few ingest batches at a time; nothing but
counts, labels and, as broadcasts, a wave's keys and texts passes the driver.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.policy import describe
from jobs.settings import Settings, settings_hash
from jobs.snapshot_rows import Pinned, numbered, pin, thinning, wave_rows
from jobs.stream import StageError
from jobs.tables import Store
from training.snapshot import JOINT, MANIFEST, SCHEMA_HASH, Manifest, SnapshotError, read_manifest

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# A sorted, streaming aggregation holds one family at a time; Spark's default holds the bytes of 128.
STREAMING = {"spark.sql.execution.useObjectHashAggregateExec": "false"}


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
    planned = waves(pinned, settings)
    shares = thinning(pinned, settings, [batch for wave in planned for batch in wave])
    for number, wave in enumerate(planned):
        families = numbered(pinned, settings, wave, counts["families"], shares).persist()
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
            "columns": pinned.columns,
            "tables": made_from,
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
    """What filtering and balancing left of the lattices, by the number of removed components: "kept (of passed) of made"."""
    rows: dict[int, list[str]] = {}
    for (n, _), c in sorted(lattice.items()):
        between = f" of {c['passed']} kept" if c["passed"] != c["kept"] else ""
        rows.setdefault(n, []).append(f"{c['kept']}{between} of {c['made']}")
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
        found = {key: row[key] for key in ("made", "passed", "kept")}
        lattice.setdefault((row["n"], row["removed"]), Counter()).update(found)


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


if __name__ == "__main__":
    from jobs.cli import main

    main(["publish"])
