"""Whether a root keeps its promises: ``dualset check``. Reads only, and counts by SQL, so that it serves a root of any size.

Each promise is an invariant of the tables: keys are unique, no row is lost between two stages, a family of n components has 2^n
images, a checkpoint knows every micro-batch of its table, a snapshot has the files of its manifest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.chain import CHAIN, SIDE_STAGES
from jobs.engine.schemas import TABLES
from jobs.engine.stream import Run, Stage, StageError, refuse_half_checkpoint, refuse_lost_table, written_note
from jobs.engine.tables import Store
from jobs.engine.views import latest
from jobs.look.status import current_runs
from jobs.snapshot.manifest import MANIFEST, SnapshotError, read_manifest
from udfs.files import file_system, listed

USABLE = "filter(captions, c -> c.status IN ('ok', 'not_monotone'))"


@dataclass(frozen=True)
class Finding:
    """One promise and what was found. ``breach`` has an example and is empty where the promise is kept."""

    promise: str
    found: str
    breach: str = ""
    mend: str = ""  # the command that mends it


def check(run: Run) -> Iterator[Finding]:
    """Check every promise that the tables which exist allow to check, one after the other.

    Raises:
        StageError: the root has no table at all.
    """
    store = run.store
    if not store.exists("records"):
        raise StageError(f"{store.root} has no records: it is no root, or nothing was ingested yet")
    for name in TABLES:
        if store.exists(name):
            yield unique_keys(store, name)
    for stage in CHAIN:
        if stage.source in ("records", "images", "components", "instances", "families") and store.exists(stage.target):
            yield conserved(store, stage)
    if store.exists("dual_images"):
        yield whole_lattices(store)
    if store.exists("rechecks"):
        yield rechecked(store)
    if store.exists("scores"):
        yield scored(store)
    for stage in (*CHAIN, *SIDE_STAGES):
        yield whole_checkpoint(run, stage)
    yield from snapshots(store)


def unique_keys(store: Store, table: str) -> Finding:
    """No two rows of a table have the same key, and for results the same attempt."""
    key = [*TABLES[table].key, *(["attempt"] if "attempt INT" in TABLES[table].columns else [])]
    if table == "runs":
        key = ["stage", "generation", "batch_id"]
    counted = store.read(table).groupBy(*key).count()
    total = counted.agg(F.sum("count").alias("rows"), F.count("*").alias("keys")).first()
    assert total is not None, "an aggregate without groups has one row"
    rows = total["rows"] or 0
    promise, found = f"{table}: keys are unique", f"{rows} rows"
    if rows == total["keys"]:
        return Finding(promise, found)
    row = counted.where("count > 1").orderBy(*key).first()
    assert row is not None, "there are more rows than keys"
    example = ", ".join(f"{name} {row[name]}" for name in key)
    return Finding(promise, found, f"{rows - total['keys']} rows too many, such as {example}", _fresh(store, table))


def conserved(store: Store, stage: Stage) -> Finding:
    """Each ok row of a stage's source has a row in its target, unless it waits for the next run; each row has its source."""
    ready = store.read(stage.source).where("status = 'ok'").select("record_id")
    made = store.read(stage.target).select("record_id")
    absent = ready.distinct().join(made, on="record_id", how="left_anti")
    orphans = made.distinct().join(ready, on="record_id", how="left_anti")
    promise = f"{stage.source} -> {stage.target}: no row is lost"
    if (count := orphans.count()) > 0:
        breach = f"{count} records without an ok row in {stage.source}, such as {_example(orphans)}"
        return Finding(promise, "", breach, _fresh(store, stage.target))
    # A row that waits has not been read by the stage; one that was read and has no row is lost.
    taken = (
        current_runs(store).where(F.col("stage") == stage.name).agg(F.sum("rows_in")).first() if store.exists("runs") else None
    )
    waiting = ready.count() - ((taken[0] or 0) if taken else 0)
    lost = absent.count() - max(waiting, 0)
    if lost > 0:
        breach = f"{lost} records were read and have no row, such as {_example(absent)}"
        return Finding(promise, "", breach, _fresh(store, stage.target))
    return Finding(promise, f"{waiting} rows wait for dualset run" if waiting > 0 else "nothing waits")


def whole_lattices(store: Store) -> Finding:
    """A family of n components whose texts were written has the subsets 0 to 2^n - 1, whether or not their images are ok."""
    families = store.spark.sql(f"SELECT record_id, n FROM {_current(store, 'families')} WHERE status = 'ok'")  # noqa: S608
    images = store.read("dual_images").select("record_id", "subset").distinct()
    counted = images.groupBy("record_id").agg(F.count("*").alias("images"), F.max("subset").alias("last"))
    joined = counted.join(families, on="record_id")
    broken = joined.where("images <> shiftleft(1, n) OR last <> shiftleft(1, n) - 1")
    promise, found = "dual_images: 2^n images a family", f"{joined.count()} families"
    row = broken.orderBy("record_id").first()
    if row is None:
        return Finding(promise, found)
    example = f"{row['record_id']} has {row['images']} of {1 << row['n']}"
    return Finding(promise, found, f"{broken.count()} families, such as {example}", _fresh(store, "dual_images"))


def rechecked(store: Store) -> Finding:
    """Each recheck is of a dual image."""
    keys = ["record_id", "subset"]
    rows = store.read("rechecks").select(*keys).distinct()
    orphans = rows.join(store.read("dual_images").where("status = 'ok'").select(*keys), on=keys, how="left_anti")
    return _without_orphans(store, "rechecks", "dual_images", orphans)


def scored(store: Store) -> Finding:
    """Each ok dual image that was scored was scored with every usable caption of its record."""
    families = store.spark.sql(f"SELECT record_id, size({USABLE}) AS usable FROM {_current(store, 'families')}")  # noqa: S608
    counted = store.read("scores").groupBy("record_id", "subset").agg(F.count_distinct("caption_id").alias("scored"))
    joined = counted.join(families, on="record_id")
    broken = joined.where("scored <> usable")
    promise, found = "scores: every usable caption of every image", f"{joined.count()} images"
    row = broken.orderBy("record_id", "subset").first()
    if row is None:
        return Finding(promise, found)
    example = f"{row['record_id']}, subset {row['subset']}: {row['scored']} of {row['usable']}"
    return Finding(promise, found, f"{broken.count()} images, such as {example}", _fresh(store, "scores"))


def whole_checkpoint(run: Run, stage: Stage) -> Finding:
    """A stage could go on: its checkpoint fits its table."""
    promise = f"{stage.name}: the checkpoint fits the table"
    note = written_note(run, stage)
    try:
        refuse_lost_table(stage, run)
        if note is None and not run.store.is_empty(stage.target):
            return Finding(promise, "", f"{stage.target} has rows and no checkpoint", _fresh(run.store, stage.target))
        if note is not None:
            refuse_half_checkpoint(stage, run, note["generation"])
    except StageError as problem:
        return Finding(promise, "", str(problem).partition("; start")[0], _fresh(run.store, stage.target))
    return Finding(promise, "not run yet" if note is None else f"generation {note['generation']}")


def snapshots(store: Store) -> Iterator[Finding]:
    """Each finished snapshot has the files that its manifest names, as large as it says."""
    for name in sorted(listed(f"{store.root}/snapshots")):
        folder, promise = f"{store.root}/snapshots/{name}", f"snapshot {name}: the files of its manifest"
        if MANIFEST not in listed(folder):
            yield Finding(promise, "unfinished: dualset publish goes on with it, or makes another")
            continue
        try:
            manifest = read_manifest(folder)
        except SnapshotError as problem:
            yield Finding(promise, "", str(problem), f"delete {folder}, then dualset publish --root {store.root}")
            continue
        files, path = file_system(folder)
        present = {f"{path}/{file.path}" for file in manifest.files if files.exists(f"{path}/{file.path}")}
        sizes = {name: files.size(name) for name in present}
        wrong = [file for file in manifest.files if sizes.get(f"{path}/{file.path}") != file.bytes]
        if wrong:
            size = sizes.get(f"{path}/{wrong[0].path}", "no")
            breach = f"{len(wrong)} files, such as {wrong[0].path}: {size} bytes instead of {wrong[0].bytes}"
            yield Finding(promise, "", breach, f"delete {folder}, then dualset publish --root {store.root}")
        else:
            yield Finding(promise, f"{len(manifest.files)} files")


def _without_orphans(store: Store, table: str, source: str, orphans: DataFrame) -> Finding:
    promise = f"{source} -> {table}: no row of unknown origin"
    count = orphans.count()
    if not count:
        return Finding(promise, "")
    return Finding(promise, "", f"{count} rows, such as {_example(orphans)}", _fresh(store, table))


def _example(rows: DataFrame) -> str:
    row = rows.orderBy(*rows.columns).first()
    assert row is not None, "the caller counted them"
    return ", ".join(f"{name} {row[name]}" for name in rows.columns)


def _current(store: Store, table: str) -> str:
    return latest(store, table, withdrawn=False)


def _fresh(store: Store, table: str) -> str:
    stages = {stage.target: stage.name for stage in (*CHAIN, *SIDE_STAGES)}
    return f"dualset run --root {store.root} --fresh {stages[table]}" if table in stages else ""
