"""The Spark session of a local run or a notebook; under spark-submit and on Databricks the one that is there is used.

Everything that must be known before the JVM starts is also in ``conf/spark-defaults.conf``, for spark-submit.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.settings import Settings

DELTA_PACKAGE = "io.delta:delta-spark_4.0_2.13:4.4.0"

# A local run is short and its work is in Python: without the second compiler the JVM takes half the CPU time to start.
LOCAL_JVM = (
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    f" -Dlog4j2.configurationFile={(Path(__file__).parent / 'log4j2.properties').as_uri()}"
)

# Before the session starts; a cluster sets these in spark-defaults.conf.
STATIC = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.ui.showConsoleProgress": "false",
    "spark.ui.enabled": "false",
    # A local run must not listen on, or be reached from, another machine.
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}

# On any session, as it runs.
DYNAMIC = {
    # Row groups are the unit of parallel reading, as image bytes are never shuffled (Delta ignores the writer's options).
    "parquet.block.size": str(8 << 20),
    "parquet.page.size.row.check.min": "10",
    # One split a row group or so; the default of 128 MB would leave most cores idle on a micro-batch.
    "spark.sql.files.maxPartitionBytes": str(8 << 20),
    "spark.sql.files.openCostInBytes": str(1 << 20),
    # A Python worker never holds more image bytes than this at a time.
    "spark.sql.execution.arrow.maxBytesPerBatch": str(16 << 20),
    "spark.sql.execution.arrow.pyspark.fallback.enabled": "false",
    # The default of 50 tasks reads the log of a small table for seconds.
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.session.timeZone": "UTC",
    # Columns are matched by name and type, never widened in silence.
    "spark.databricks.delta.schema.autoMerge.enabled": "false",
}


class EnvironmentProblem(RuntimeError):
    """Java or Python is missing or of a version that the pinned libraries do not run on."""


def check_environment() -> None:
    """Say clearly when Python 3.11 or Java 17 is missing."""
    if sys.version_info[:2] != (3, 11):
        raise EnvironmentProblem(f"Python 3.11 is needed, this is {sys.version.split()[0]}")
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    if not java:
        raise EnvironmentProblem("Java 17 is needed and no java was found: install it or set JAVA_HOME")
    text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    if 'version "17' not in text:
        raise EnvironmentProblem(f"Java 17 is needed, {java} is: {(text.splitlines() or ['?'])[0]}")


def open_session(settings: "Settings", application: str = "dualset") -> "SparkSession":
    """The active session, or a new local one; dynamic settings are put on either."""
    from pyspark.sql import SparkSession

    spark = SparkSession.getActiveSession() or _start(settings, application)
    for key, value in (DYNAMIC | settings.spark.conf).items():
        if key in DYNAMIC or spark.conf.isModifiable(key):
            spark.conf.set(key, value)
    return spark


def jars_folder() -> Path:
    """Where this environment's Spark keeps its jars."""
    import pyspark

    return Path(pyspark.__file__).parent / "jars"


def class_archive() -> Path:
    """The class-data archive that ``jobs.install_jars`` makes."""
    return jars_folder().parent / "dualset.jsa"


def partitions(spark: "SparkSession", settings: "Settings") -> int:
    """How many tasks a micro-batch is cut into."""
    return settings.spark.partitions or int(spark.conf.get("spark.sql.shuffle.partitions") or 200)


def _start(settings: "Settings", application: str) -> "SparkSession":
    from pyspark.sql import SparkSession

    check_environment()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.appName(application)
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ  # spark-submit started the JVM: its settings stand
    if not submitted:
        cores = os.cpu_count() or 1
        builder = builder.master(settings.spark.master or f"local[{cores}]")
        if settings.spark.master.startswith("local") or not settings.spark.master:
            builder = builder.config("spark.driver.memory", settings.spark.driver_memory)
            builder = builder.config("spark.sql.shuffle.partitions", cores)
        archive = class_archive()
        jvm = f"{LOCAL_JVM} -XX:SharedArchiveFile={archive} -Xlog:cds=off" if archive.exists() else LOCAL_JVM
        for key, value in (STATIC | {"spark.driver.extraJavaOptions": jvm}).items():
            builder = builder.config(key, value)
        if not list(jars_folder().glob("delta-spark_*.jar")):
            builder = builder.config("spark.jars.packages", DELTA_PACKAGE)
    for key, value in settings.spark.conf.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    if not submitted:
        spark.sparkContext.setLogLevel(settings.spark.log_level)
    elif not spark.sparkContext.getConf().contains("spark.sql.shuffle.partitions"):
        # Spark's own default of 200 tasks is as wrong for two cores as for two thousand.
        spark.conf.set("spark.sql.shuffle.partitions", spark.sparkContext.defaultParallelism)
    return spark
