"""demo: the main job on scenes, from nothing to a report, with the models that come with the project. ``dualset demo``."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from jobs.stream import Run

if TYPE_CHECKING:
    from jobs.tables import Store

PROFILE = "embedded"
SEED = 990  # of scenes that no model of the project learned from or was chosen on
SIZE = 96  # pixels
PAIRS = """
SELECT source_key, removed, caption FROM (
    SELECT source_key, array_join(removed, ', ') AS removed, caption, subset,
           row_number() OVER (PARTITION BY source_key ORDER BY bit_count(text_subset), subset, caption_id) AS place
    FROM {augmented} WHERE keep AND text_subset <> 0)
WHERE place <= 3 ORDER BY source_key, place LIMIT 12
"""
TRAINING = {
    "method": "powerset", "model": "embedded:clip_objects.json", "checkpoint": "embedded:clip_objects.safetensors",
    "batch_size": 64, "lr": 1e-4, "warmup": 5, "held_out": 0.25, "eval_every": 15, "device": "cpu",
}  # fmt: skip
QUERIES = (
    "SELECT * FROM yield_by_subset ORDER BY n, removed_count",
    "SELECT caption_id, phrase, label, certain FROM mentions",
    "SELECT source_key, removed, caption, reject_reasons FROM augmented WHERE NOT keep",
)


def run_demo(run: Run, say: Callable[[str], None], count: int = 48, steps: int = 30) -> str:
    """Draw scenes, ingest them, run the chain, publish, train a little, write the report; returns where the report is.

    On a finished root nothing is done twice.

    Args:
        run: of the profile ``embedded``.
        say: prints a line.
        count: scenes.
        steps: of training.

    Raises:
        jobs.stream.StageError: the root belongs to a run with other settings.
    """
    from jobs import ingest
    from jobs.chain import run_chain
    from jobs.publish import publish
    from jobs.report import write_report
    from jobs.sources import complete, records
    from training.loop import train
    from training.options import make_options

    store = run.store
    if store.exists("records"):
        say(f"{store.root} is there already: going on with it, what is done is not done again")
    options = complete("scenes", {"count": str(count), "seed": str(SEED), "size": str(SIZE)}, store.root)
    new = ingest.add(run, records(store.spark, "scenes", options, run.settings.ingest))
    say(f"{new} new scenes of {SIZE} x {SIZE} pixels")
    run_chain(run)
    show_tables(run, say)
    snapshot, _ = publish(store, run.settings)
    say(f"\nsnapshot: {snapshot.totals.images} images, {snapshot.totals.texts} texts in {snapshot.folder}")
    say(f"training for {steps} steps, to show that it can be done; so few steps on so few scenes teach little:")
    train(make_options(TRAINING | {"snapshot": snapshot.folder, "output": f"{store.root}/training", "steps": steps}), say)
    report = f"{store.root}/report.html"
    write_report(store, run.settings, report)
    say(f"\nopen this: {report}")
    show_queries(store, PROFILE, say)
    return report


def show_tables(run: Run, say: Callable[[str], None]) -> None:
    """How many rows each table has, and some kept pairs."""
    from jobs.views import create_views, view_name

    store = run.store
    create_views(store, run.settings)
    say("\nRows of each table:")
    for row in store.spark.table(view_name(store, "funnel")).orderBy("step", "status").collect():
        say(f"  {row['table']:<12} {row['status']:<16} {row['rows']}")
    say("\nSome kept pairs of a dual image and its text:")
    for row in store.spark.sql(PAIRS.format(augmented=view_name(store, "augmented"))).collect():
        say(f"  {row['source_key'].rpartition('/')[2]:<20} without {row['removed']:<28} {row['caption']}")


def show_queries(store: "Store", profile: str, say: Callable[[str], None]) -> None:
    """Where the tables are, and what may be asked of them."""
    say(f"\ntables: {store.root}/tables\nand now, for instance:")
    for query in QUERIES:
        say(f'  dualset sql "{query}" --root {store.root} --profile {profile}')
