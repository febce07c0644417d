"""Whether a root keeps its promises: ``dualset check``. Reads only, and counts by SQL, so that it serves a root of any size.

Each promise is an invariant of the tables: keys are unique, no row is lost between two stages, a family of n components has 2^n
images, a checkpoint knows every micro-batch of its table, a snapshot has the files of its manifest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.chain import CHAIN, SIDE_STAGES, stages_named
from jobs.engine.schemas import TABLES
from jobs.engine.stream import (
    RETRIED,
    Run,
    Stage,
    StageError,
    any_made_anew,
    first_cause,
    refuse_half_checkpoint,
    refuse_lost_table,
    written_note,
)
from jobs.engine.tables import Store
from jobs.engine.versions import outdated
from jobs.engine.views import last_rows
from jobs.inpaint import MASKS
from jobs.look.status import current_runs
from jobs.settings import settings_hash
from jobs.snapshot.manifest import MANIFEST, SnapshotError, read_manifest
from udfs.factory import model_udf
from udfs.files import file_system, listed

USABLE = "filter(captions, c -> c.status IN ('ok', 'not_monotone'))"


@dataclass(frozen=True)
class Finding:
    """One promise and what was found. ``breach`` has an example and is empty where the promise is kept."""

    promise: str
    found: str
    breach: str = ""
    mend: str = ""  # the command that mends it


def check(run: Run, deep: int = 0) -> Iterator[Finding]:
    """Check every promise that the tables which exist allow to check, one after the other.

    Args:
        run: the root, and for ``deep`` the settings that its images were made with.
        deep: of so many families, drawn by a hash, all pixels are compared.

    Raises:
        StageError: the root has no table at all.
    """
    store = run.store
    if not store.exists("records"):
        raise StageError(f"{store.root} has no records: it is no root, or nothing was ingested yet")
    names = [name for name in TABLES if store.exists(name)]
    damaged = []
    for name in names:
        try:
            finding = unique_keys(store, name)
        except (PySparkException, Py4JJavaError) as problem:  # the latter for a file that is none
            damaged.append(name)
            finding = Finding(f"{name}: can be read", "", first_cause(str(problem)), _fresh(store, name))
        yield finding
    if damaged:  # what follows would only fail on them again
        names = []
    for stage in CHAIN:
        if stage.source in ("records", "images", "components", "instances", "families") and stage.target in names:
            yield conserved(store, stage)
    if "dual_images" in names:
        yield whole_lattices(store)
    if deep and "dual_images" in names:
        yield kept_pixels(run, deep)
    if "rechecks" in names:
        yield rechecked(store)
    if "scores" in names:
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
    read = store.read(stage.source).where("status = 'ok'")
    ready, made = (last_rows(store, table).select("record_id", "status") for table in (stage.source, stage.target))
    ready, made = ready.where("status = 'ok'").select("record_id"), made.select("record_id")
    if stage.source != "records" and any_made_anew(store):
        read = read.where(f"batch_id >= {RETRIED}")
        next_run = outdated(stage, store).select("record_id")  # sees to these, whatever their rows are now
        ready, made = ready.union(next_run), made.union(next_run)
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
    waiting = read.count() - ((taken[0] or 0) if taken else 0)
    lost = absent.count() - max(waiting, 0)
    if lost > 0:
        breach = f"{lost} records were read and have no row, such as {_example(absent)}"
        return Finding(promise, "", breach, _fresh(store, stage.target))
    return Finding(promise, f"{waiting} rows wait for dualset run" if waiting > 0 else "nothing waits")


def whole_lattices(store: Store) -> Finding:
    """A family of n components whose texts were written has the subsets 0 to 2^n - 1, whether or not their images are ok."""
    families = last_rows(store, "families").where("status = 'ok'").select("record_id", "n")
    images = _up_to_date(store, "inpaint", last_rows(store, "dual_images").select("record_id", "subset").distinct())
    counted = images.groupBy("record_id").agg(F.count("*").alias("images"), F.max("subset").alias("last"))
    joined = counted.join(families, on="record_id")
    broken = joined.where("images <> shiftleft(1, n) OR last <> shiftleft(1, n) - 1")
    promise, found = "dual_images: 2^n images a family", f"{joined.count()} families"
    row = broken.orderBy("record_id").first()
    if row is None:
        return Finding(promise, found)
    example = f"{row['record_id']} has {row['images']} of {1 << row['n']}"
    return Finding(promise, found, f"{broken.count()} families, such as {example}", _fresh(store, "dual_images"))


def kept_pixels(run: Run, count: int) -> Finding:
    """The images of some families differ only where something was removed (``udfs.inpaint.verify``)."""
    store, stage = run.store, stages_named(["inpaint"])[0]
    promise = "dual_images: only what was removed is changed"
    duals = _up_to_date(store, "inpaint", last_rows(store, "dual_images")).where("status = 'ok'")
    duals = duals.where(F.col("settings_hash") == settings_hash(run.settings, stage.sections))
    sample = duals.select("record_id").distinct().orderBy(F.xxhash64("record_id")).limit(count).localCheckpoint()
    components = (
        last_rows(store, "families")
        .join(last_rows(store, "instances").select("record_id", "instances"), on="record_id")
        .select("record_id", F.expr(MASKS).alias("components"))
    )
    # The only bytes that are brought together are those of the sample.
    whole = duals.join(F.broadcast(sample), on="record_id").groupBy("record_id")
    families = (
        whole.agg(F.collect_list(F.struct("subset", "image")).alias("duals"))
        .join(F.broadcast(components.join(F.broadcast(sample), on="record_id")), on="record_id")
        .join(last_rows(store, "images").join(F.broadcast(sample), on="record_id").select("record_id", "image"), on="record_id")
    )
    verify = model_udf("udfs.inpaint.verify:FamilyVerifier", run.settings, "problems ARRAY<STRING>, images INT", batch_size=1)
    results = families.select("record_id", verify(F.struct("record_id", "image", "components", "duals")).alias("result"))
    problems = "IF(result.status = 'ok', result.problems, array(result.error)) AS problems"
    rows = results.selectExpr("record_id", problems, "result.images").orderBy("record_id").collect()
    broken = [row for row in rows if row["problems"]]
    if broken:
        example = f"{broken[0]['record_id']}: {broken[0]['problems'][0]}"
        return Finding(promise, "", f"{len(broken)} of {len(rows)} families, such as {example}", _fresh(store, "dual_images"))
    if not rows:
        return Finding(promise, "none compared: give the --profile and --set that the images were made with")
    return Finding(promise, f"{sum(row['images'] for row in rows)} images of {len(rows)} families")


def rechecked(store: Store) -> Finding:
    """Each recheck is of a dual image."""
    keys = ["record_id", "subset"]
    rows = _up_to_date(store, "recheck", last_rows(store, "rechecks").select(*keys).distinct())
    orphans = rows.join(last_rows(store, "dual_images").where("status = 'ok'").select(*keys), on=keys, how="left_anti")
    return _without_orphans(store, "rechecks", "dual_images", orphans)


def scored(store: Store) -> Finding:
    """Each ok dual image that was scored was scored with every usable caption of its record."""
    families = last_rows(store, "families").selectExpr("record_id", f"size({USABLE}) AS usable")
    rows = _up_to_date(store, "score", last_rows(store, "scores"))
    counted = rows.groupBy("record_id", "subset").agg(F.count_distinct("caption_id").alias("scored"))
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
    try:
        note = written_note(run, stage)
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


def _up_to_date(store: Store, name: str, rows: DataFrame) -> DataFrame:
    """Rows of the records of which no earlier row was made anew since."""
    if not any_made_anew(store):
        return rows
    (stage,) = stages_named([name])
    return rows.join(outdated(stage, store).select("record_id"), on="record_id", how="left_anti")


def _fresh(store: Store, table: str) -> str:
    stages = {stage.target: stage.name for stage in (*CHAIN, *SIDE_STAGES)}
    return f"dualset run --root {store.root} --fresh {stages[table]}" if table in stages else ""
