# Databricks notebook source
# MAGIC %md
# MAGIC # Quick start
# MAGIC Dualset turns a set of images with captions into its *power set*: for every subset of the things that an image's captions name,
# MAGIC the image without them, with matching captions. This notebook runs it on seven photographs from installed Python packages, with
# MAGIC outlines drawn by hand. It needs no model files and no network.
# MAGIC
# MAGIC **On Databricks:** install the project on a cluster with Python 3.11 and Spark 4.0, and run all cells. The first cell creates three
# MAGIC widgets: a folder in a volume, and optionally a catalog and schema for the tables. Change them and run all cells again.
# MAGIC
# MAGIC **Elsewhere:** run this file as a script. It takes the same three values from `DUALSET_ROOT`, `DUALSET_CATALOG` and
# MAGIC `DUALSET_SCHEMA`; without them it uses a temporary folder.

# COMMAND ----------

import os
import tempfile

# `dbutils` exists in a Databricks notebook only; a script reads environment variables instead.
try:
    dbutils  # noqa: B018
except NameError:
    root = os.environ.get("DUALSET_ROOT") or tempfile.mkdtemp(prefix="dualset-")
    catalog, schema = os.environ.get("DUALSET_CATALOG", ""), os.environ.get("DUALSET_SCHEMA", "")
else:
    dbutils.widgets.text("root", "/Volumes/main/default/dualset/demo", "folder for checkpoints (and for the tables, without a catalog)")
    dbutils.widgets.text("catalog", "", "catalog (empty: tables are folders under the root)")
    dbutils.widgets.text("schema", "", "schema in the catalog")
    root, catalog, schema = (dbutils.widgets.get(name) for name in ("root", "catalog", "schema"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Settings, session, store
# MAGIC `annotations` is a settings profile that takes outlines from the data set instead of a segmentation model.
# MAGIC `open_session` uses the cluster's Spark session, or starts a local one.

# COMMAND ----------

from jobs.engine.session import open_session
from jobs.engine.stream import Run
from jobs.engine.tables import Store
from jobs.settings import load_settings

settings = load_settings("annotations", [f"catalog={catalog}", f"schema_name={schema}"] if catalog else [])
spark = open_session(settings)
run = Run(Store.of(spark, root, settings), settings, report=lambda stage, row: print(stage, row["rows"]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Ingest
# MAGIC `lay_out` writes the demo as a COCO data set. Your own data is read in the same way:
# MAGIC `records(spark, "coco", {"images": ..., "captions": ..., "instances": ...}, settings.ingest)`.
# MAGIC If you run this cell again, only new records are added.

# COMMAND ----------

from jobs import ingest
from jobs.demo.photographs import lay_out
from jobs.sources import records

options, missing = lay_out(f"{root}/demo")
print(ingest.add(run, records(spark, "coco", options, settings.ingest)), "new records; not installed:", missing)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Run the chain
# MAGIC The stages are ingest, extract, segment, plan, rewrite, inpaint, recheck and score. Each is a streaming query from one Delta table
# MAGIC to the next, so a second run processes only what is new.

# COMMAND ----------

from jobs.chain import run_chain

run_chain(run)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Query the results with SQL
# MAGIC The view `funnel` counts the rows of each stage's table by status: how many are `ok`, and why the others are not.

# COMMAND ----------

from jobs.engine.views import create_views, view_name

create_views(run.store, settings)
spark.sql(f"SELECT * FROM {view_name(run.store, 'funnel')} ORDER BY step, rows DESC").show(30, truncate=False)

# COMMAND ----------

# MAGIC %md
# MAGIC The view `augmented` has all augmented pairs, kept or not, with the columns that a filter can use. Some of the kept ones:

# COMMAND ----------

augmented = view_name(run.store, "augmented")
kept = spark.sql(f"SELECT source_key, removed, caption FROM {augmented} WHERE keep AND text_subset <> 0 ORDER BY source_key, subset")
kept.show(20, truncate=60)

# COMMAND ----------

# MAGIC %md
# MAGIC The filter is a rule over these columns. To compare it with a stricter one you need only SQL; no model runs again.

# COMMAND ----------

spark.sql(
    f"""SELECT n, removed_count, count(*) AS pairs, count_if(keep) AS kept, count_if(keep AND edited_fraction <= 0.3) AS kept_if_small
    FROM {augmented} GROUP BY n, removed_count ORDER BY n, removed_count"""
).show()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Look at the images
# MAGIC A contact sheet with a row for every family: the original, and the images without each subset.

# COMMAND ----------

from jobs.look.sheet import draw_sheet

families = draw_sheet(run.store, settings, f"{root}/sheet.png")
print(families, "families, drawn to", f"{root}/sheet.png")
