"""The SQL views: one file each, over tables written as ``{table}``.

``{table}`` becomes the last attempt of every row, without withdrawn records; ``{judged}`` is ``scores`` under the current policy
and what people said. On plain paths the views are temporary; in a catalog they are created there, and use the policy of the
settings they were created with.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.policy import judged_sql
from jobs.schemas import TABLES

if TYPE_CHECKING:
    from jobs.settings import Policy, Settings
    from jobs.tables import Store

VIEWS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.sql"))}


def create_views(store: "Store", settings: "Settings") -> list[str]:
    """Create all views whose tables exist (and on plain paths the tables' own names); returns the names that can be queried."""
    present = {name for name in TABLES if store.exists(name)}
    texts = {name: latest(store, name, withdrawn="withdrawn" in present) for name in TABLES}
    texts["judged"] = judged(store, settings.policy, present)
    made = []
    for name in sorted(present):
        if not store.catalog:
            store.read(name).createOrReplaceTempView(name)
        made.append(name)
    for name, body in VIEWS.items():
        needed = body.replace("{judged}", "{scores}{dual_images}")
        if all(table in present for table in TABLES if "{" + table + "}" in needed):
            _create(store, name, body.format(**texts))
            made.append(name)
    return made


def latest(store: "Store", table: str, *, withdrawn: bool) -> str:
    """SQL for a table's rows of the last attempt, less withdrawn records.

    An anti-join with the few retried keys, not a window: a window would shuffle every row, image bytes included.
    """
    shape, name = TABLES[table], store.name(table)
    text = f"SELECT t.* FROM {name} t"  # noqa: S608 - names come from this module
    if "attempt INT" in shape.columns:
        keys = ", ".join(shape.key)
        same = " AND ".join(f"later.{key} = t.{key}" for key in shape.key)
        retried = f"(SELECT {keys}, attempt FROM {name} WHERE attempt > 0)"  # noqa: S608
        text += f" LEFT ANTI JOIN {retried} later ON {same} AND later.attempt > t.attempt"
    if withdrawn and "record_id" in shape.key:
        text += f" LEFT ANTI JOIN {store.name('withdrawn')} gone ON gone.record_id = t.record_id"
    return f"({text})"


def judged(store: "Store", policy: "Policy", present: Collection[str]) -> str:
    """SQL for the current rows of ``scores`` as ``jobs.policy.judged_sql`` has them; ``present``: the tables that there are."""
    withdrawn = "withdrawn" in present
    people = ("reviews", "dual_images") if "reviews" in present else ()
    words = {name: latest(store, name, withdrawn=withdrawn) for name in people}
    return judged_sql(policy, latest(store, "scores", withdrawn=withdrawn), **words)


def view_name(store: "Store", name: str) -> str:
    """How SQL names a view that ``create_views`` made."""
    return store.name(name) if store.catalog else f"`{name}`"


def _create(store: "Store", name: str, body: str) -> None:
    if store.catalog:
        store.spark.sql(f"CREATE OR REPLACE VIEW {store.name(name)} AS {body}")
    else:
        store.spark.sql(f"CREATE OR REPLACE TEMP VIEW `{name}` AS {body}")
