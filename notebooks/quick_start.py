# Databricks notebook source
# MAGIC %md
# MAGIC # Quick start
# MAGIC A small image-caption data set in, its *power set* out: every image without each subset of the things that its captions name,
# MAGIC with captions that fit. Here on seven photographs that installed packages carry, with outlines drawn by hand, so that no
# MAGIC model file and no network are needed.
# MAGIC
# MAGIC On Databricks: install the project on the cluster (Python 3.11, Spark 4.0) and fill in the widgets. Elsewhere: run this file as a script.

# COMMAND ----------

import os
import tempfile

# `dbutils` is there in a Databricks notebook only; a script takes the same three from its environment.
try:
    dbutils  # noqa: B018
except NameError:
    root = os.environ.get("DUALSET_ROOT") or tempfile.mkdtemp(prefix="dualset-")
    catalog, schema = os.environ.get("DUALSET_CATALOG", ""), os.environ.get("DUALSET_SCHEMA", "")
else:
    dbutils.widgets.text("root", "/Volumes/main/default/dualset/demo", "folder of checkpoints (and of tables without a catalog)")
    dbutils.widgets.text("catalog", "", "catalog (empty: tables are paths under the root)")
    dbutils.widgets.text("schema", "", "schema in the catalog")
    root, catalog, schema = (dbutils.widgets.get(name) for name in ("root", "catalog", "schema"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Settings, session, store
# MAGIC `open_session` takes the session that is there, or starts a local one.

# COMMAND ----------

from jobs.session import open_session
from jobs.settings import load_settings
from jobs.stream import Run
from jobs.tables import Store

settings = load_settings("annotations", [f"catalog={catalog}", f"schema_name={schema}"] if catalog else [])
spark = open_session(settings)
run = Run(Store.of(spark, root, settings), settings, report=lambda stage, row: print(stage, row["rows"]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Ingest
# MAGIC Any other source is read the same way: `records(spark, "coco", {"images": ..., "captions": ..., "instances": ...})`.
# MAGIC Run it again and only what is new is taken.

# COMMAND ----------

from jobs import ingest
from jobs.demo_photographs import lay_out
from jobs.sources import records

options, missing = lay_out(f"{root}/demo")
print(ingest.add(run, records(spark, "coco", options, settings.ingest)), "new records; not installed:", missing)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Run the chain
# MAGIC ingest, extract, segment, plan, rewrite, inpaint, recheck, score: each a streaming query from one Delta table to the next.

# COMMAND ----------

from jobs.chain import run_chain

run_chain(run)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Look with SQL
# MAGIC Where did records go?

# COMMAND ----------

from jobs.views import create_views, view_name

create_views(run.store, settings)
spark.sql(f"SELECT * FROM {view_name(run.store, 'funnel')} ORDER BY step, rows DESC").show(30, truncate=False)

# COMMAND ----------

# MAGIC %md
# MAGIC The augmented pairs, kept or not, with everything a filter may use:

# COMMAND ----------

augmented = view_name(run.store, "augmented")
kept = spark.sql(f"SELECT source_key, removed, caption FROM {augmented} WHERE keep AND text_subset <> 0 ORDER BY source_key, subset")
kept.show(20, truncate=60)

# COMMAND ----------

# MAGIC %md
# MAGIC The filter is a policy over columns: compare another with it by SQL, and no model runs again.

# COMMAND ----------

spark.sql(
    f"""SELECT n, removed_count, count(*) AS pairs, count_if(keep) AS kept, count_if(keep AND edited_fraction <= 0.3) AS kept_if_small
    FROM {augmented} GROUP BY n, removed_count ORDER BY n, removed_count"""
).show()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Look with eyes
# MAGIC A contact sheet of all families.

# COMMAND ----------

from jobs.sheet import draw_sheet

families = draw_sheet(run.store, settings, f"{root}/sheet.png")
print(families, "families:", f"{root}/sheet.png")
