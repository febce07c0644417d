"""The SQL views, one file each, and how every SQL file of the project is run.

In a SQL file ``{name}`` stands for SQL of this project: a table, a view or an expression. ``:name`` stands for a value, which
Spark binds. In a view ``{table}`` is the last attempt of each of the table's rows, without withdrawn records, and ``{judged}`` is
``scores`` under the current policy and the reviews. On plain paths the views are temporary. In a catalog they are created there
and keep the policy of the settings they were created with.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

from jobs.engine.policy import judged_sql
from jobs.engine.schemas import TABLES
from jobs.engine.tables import Store, later_columns
from jobs.settings import Policy, Settings

VIEWS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.sql"))}


def create_views(store: Store, settings: Settings) -> list[str]:
    """Create every view whose tables exist, and on plain paths a view for each table; returns the names that can be queried."""
    present = {name for name in TABLES if store.exists(name)}
    texts = {name: latest(store, name, withdrawn="withdrawn" in present) for name in TABLES}
    texts["judged"] = judged(store, settings.policy, present)
    created = []
    for name in sorted(present):
        if not store.catalog:
            store.read(name).createOrReplaceTempView(name)
        created.append(name)
    for name, body in VIEWS.items():
        needed = body.replace("{judged}", "{scores}{dual_images}")
        if all(table in present for table in TABLES if "{" + table + "}" in needed):
            _create(store, name, body.format(**texts))
            created.append(name)
    return created


def run_query(store: Store, path: Path, values: dict[str, Any] | None = None, **parts: str) -> DataFrame:
    """The rows of the query in a SQL file.

    Args:
        store: its session runs the query.
        path: the file.
        values: for the ``:name`` markers in it.
        parts: SQL for the ``{name}`` placeholders in it, never anything that a user or a data set wrote.
    """
    return store.spark.sql(path.read_text(encoding="utf-8").format(**parts), args=values)


def latest(store: Store, table: str, *, withdrawn: bool) -> str:
    """SQL for the last attempt of each of a table's rows, without withdrawn records; in parentheses, and a query by itself.

    Keys that their record has no more (``jobs.engine.versions``) have none.

    An anti-join with the few retried keys, not a window: a window would shuffle every row, image bytes included.
    """
    shape, name = TABLES[table], store.name(table)
    joins = ""
    if "attempt INT" in shape.columns:
        keys = ", ".join(shape.key)
        same = " AND ".join(f"later.{key} = t.{key}" for key in shape.key)
        retried = f"(SELECT {keys}, attempt FROM {name} WHERE attempt > 0)"  # noqa: S608 - as below
        joins += f" LEFT ANTI JOIN {retried} later ON {same} AND later.attempt > t.attempt"
    if withdrawn and "record_id" in shape.key:
        joins += f" LEFT ANTI JOIN {store.name('withdrawn')} gone ON gone.record_id = t.record_id"
    if "status STRING" in shape.columns:
        joins += " WHERE t.status <> 'superseded'"
    later = _later_nulls(store) if table == "scores" else ""
    return f"(SELECT t.*{later} FROM {name} t{joins})"  # noqa: S608 - identifiers only: the store's names, the schema's keys


def _later_nulls(store: Store) -> str:
    """Nulls for the columns of ``scores`` that an older version did not write: the policy asks for all."""
    lacks = later_columns(store.read("scores"), "scores") if store.exists("scores") else {}
    return "".join(f", cast(null AS {kind}) AS {column}" for column, kind in lacks.items())


def judged(store: Store, policy: Policy, present: Collection[str]) -> str:
    """SQL for the current rows of ``scores`` with their verdicts, as ``jobs.engine.policy.judged_sql`` describes them.

    Args:
        store: whose ``scores``.
        policy: the thresholds.
        present: the tables that exist; without ``reviews`` the policy alone decides.
    """
    withdrawn = "withdrawn" in present
    people = ("reviews", "dual_images") if "reviews" in present else ()
    review_tables = {name: latest(store, name, withdrawn=withdrawn) for name in people}
    return judged_sql(policy, latest(store, "scores", withdrawn=withdrawn), **review_tables)


def current_rows(store: Store, table: str) -> DataFrame:
    """The last attempt of each of a table's rows, without withdrawn records."""
    return store.spark.sql(latest(store, table, withdrawn=store.exists("withdrawn")))


def last_rows(store: Store, table: str) -> DataFrame:
    """The last attempt of each of a table's rows, those of withdrawn records too."""
    return store.spark.sql(latest(store, table, withdrawn=False))


def judged_rows(store: Store, policy: Policy) -> DataFrame:
    """The current rows of ``scores`` with their verdicts, as ``jobs.engine.policy.judged_sql`` describes them."""
    return store.spark.sql(judged(store, policy, [name for name in ("reviews", "withdrawn") if store.exists(name)]))


def view_name(store: Store, name: str) -> str:
    """The SQL name of a view that ``create_views`` created."""
    return store.name(name) if store.catalog else f"`{name}`"


def _create(store: Store, name: str, body: str) -> None:
    if store.catalog:
        store.spark.sql(f"CREATE OR REPLACE VIEW {store.name(name)} AS {body}")
    else:
        store.spark.sql(f"CREATE OR REPLACE TEMP VIEW `{name}` AS {body}")
