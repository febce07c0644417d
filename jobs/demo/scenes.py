"""demo: the whole way from drawn scenes to a report, with the models that come with the project. ``dualset demo``."""

from collections.abc import Callable

from jobs.chain import run_chain
from jobs.engine.stream import Run
from jobs.engine.tables import Store
from jobs.engine.views import create_views, view_name

Log = Callable[[str], None]
Train = Callable[[str, str, int, Log], None]  # the snapshot's folder, output folder, steps, log

PROFILE = "embedded"
SEED = 990  # of scenes that no model of the project was trained or chosen on
SIZE = 96  # side of a scene in pixels
CONTINUED = "{root} exists: continuing with it, finished work is not repeated"
PAIRS = """
SELECT source_key, removed, caption FROM (
    SELECT source_key, array_join(removed, ', ') AS removed, caption, subset,
           row_number() OVER (PARTITION BY source_key ORDER BY bit_count(text_subset), subset, caption_id) AS place
    FROM {augmented} WHERE keep AND text_subset <> 0)
WHERE place <= 3 ORDER BY source_key, place LIMIT 12
"""
QUERIES = (
    "SELECT * FROM yield_by_subset ORDER BY n, removed_count",
    "SELECT caption_id, phrase, label, certain FROM mentions",
    "SELECT source_key, removed, caption, reject_reasons FROM augmented WHERE NOT keep",
)


def run_demo(run: Run, log: Log, train: Train, count: int = 48, steps: int = 30) -> str:
    """Draw scenes, ingest them, run the chain, publish, train a little, write the report; return the path of the report.

    On a finished root nothing is done twice.

    Args:
        run: an invocation with the profile ``embedded``.
        log: prints a line.
        train: trains for some steps on a snapshot's folder, into another folder. The layer above passes it in.
        count: number of scenes.
        steps: number of training steps.

    Raises:
        jobs.engine.stream.StageError: the root belongs to a run with other settings.
    """
    from jobs import ingest
    from jobs.look.report import write_report
    from jobs.publish import publish
    from jobs.sources import complete, records

    store = run.store
    if store.exists("records"):
        log(CONTINUED.format(root=store.root))
    options = complete("scenes", {"count": str(count), "seed": str(SEED), "size": str(SIZE)}, store.root)
    new = ingest.add(run, records(store.spark, "scenes", options, run.settings.ingest))
    log(f"{new} new scenes of {SIZE} x {SIZE} pixels")
    run_chain(run)
    show_tables(run, log)
    snapshot, _ = publish(store, run.settings)
    log(f"\nsnapshot: {snapshot.totals.images} images, {snapshot.totals.texts} texts in {snapshot.folder}")
    train(snapshot.folder, f"{store.root}/training", steps, log)
    report = f"{store.root}/report.html"
    write_report(store, run.settings, report)
    log(f"\nopen this: {report}")
    show_queries(store, PROFILE, log)
    return report


def show_tables(run: Run, log: Log) -> None:
    """Print how many rows each table has, and some kept pairs."""
    store = run.store
    create_views(store, run.settings)
    log("\nRows of each table:")
    for row in store.spark.table(view_name(store, "funnel")).orderBy("step", "status").collect():
        log(f"  {row['table']:<12} {row['status']:<16} {row['rows']}")
    log("\nSome kept pairs of a dual image and its text:")
    for row in store.spark.sql(PAIRS.format(augmented=view_name(store, "augmented"))).collect():
        log(f"  {row['source_key'].rpartition('/')[2]:<20} without {row['removed']:<28} {row['caption']}")


def show_queries(store: Store, profile: str, log: Log) -> None:
    """Print where the tables are, and some queries to try."""
    log(f"\ntables: {store.root}/tables\ntry, for instance:")
    for query in QUERIES:
        log(f'  dualset sql "{query}" --root {store.root} --profile {profile}')
