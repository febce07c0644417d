"""The Spark session: a new one for a local run or a notebook; under spark-submit and on Databricks the active one.

Every setting that must be known before the JVM starts is in ``jobs/engine/spark-defaults.conf`` too, for spark-submit.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # it ships no types
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from jobs.settings import Settings
from udfs.errors import DualsetError

DELTA_PACKAGE = "io.delta:delta-spark_4.0_2.13:4.4.0"

LOGGING = f"-Dlog4j2.configurationFile={(Path(__file__).parent / 'log4j2.properties').as_uri()}"
# A local run is short and its work is in Python: without the second compiler the JVM does the same in less CPU time. The code
# cache would then be 48 MB, which a run fills; code would be thrown out and compiled again.
QUICK_JVM = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"
LOCAL_JVM = f"{QUICK_JVM} {LOGGING}"

# Set before the session starts; a cluster sets them in spark-defaults.conf.
STATIC = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # Workers would import modules from the folder that the command was called in, which may be somebody's data set.
    "spark.executorEnv.PYTHONSAFEPATH": "1",
    "spark.ui.showConsoleProgress": "false",
    "spark.ui.enabled": "false",
    # A local run has many small queries and its work is in Python: without this, most of the JVM's time goes to writing and
    # compiling code for projections of a few rows. Whole stages are still compiled; sorts, windows and shuffles of large tables
    # are slower.
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # Each query's plan is written out for the web page, which a local run does not have; the default way takes twice as long.
    "spark.sql.ui.explainMode": "simple",
    # On a disk the default one starts the process `readlink` eight times a file, for the same check and the same rename.
    "spark.sql.streaming.checkpointFileManagerClass": (
        "org.apache.spark.sql.execution.streaming.FileSystemBasedCheckpointFileManager"
    ),
    # A local run must not listen on, or be reached from, another machine.
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}

# Set on any running session.
DYNAMIC = {
    # Image bytes are never shuffled, so row groups are the unit of parallel reading. (Delta ignores the writer's options.)
    "parquet.block.size": str(8 << 20),
    "parquet.page.size.row.check.min": "10",
    # About one split for each row group; with the default of 128 MB most cores would idle on a micro-batch.
    "spark.sql.files.maxPartitionBytes": str(8 << 20),
    "spark.sql.files.openCostInBytes": str(1 << 20),
    # A Python worker never holds more image bytes than this at a time.
    "spark.sql.execution.arrow.maxBytesPerBatch": str(16 << 20),
    "spark.sql.execution.arrow.pyspark.fallback.enabled": "false",
    # Tables of pandas have times in nanoseconds, for which Spark has no type; it would refuse the whole file.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    # With the default of 50 tasks, reading the log of a small table takes seconds; one task reads 100,000 files' entries in a
    # second or two.
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.session.timeZone": "UTC",
    # Columns must match by name and type; they are never widened silently.
    "spark.databricks.delta.schema.autoMerge.enabled": "false",
}


class EnvironmentProblem(DualsetError):
    """Java, Python or Spark is missing, or is another than the pinned libraries run on."""


def check_environment() -> None:
    """Raise ``EnvironmentProblem`` unless this is Python 3.11 and there is a Java 17."""
    if sys.version_info[:2] != (3, 11):
        raise EnvironmentProblem(f"Python 3.11 is needed, this is {sys.version.split()[0]}")
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    if not java:
        raise EnvironmentProblem("Java 17 is needed and there is no java: install it or set JAVA_HOME")
    if not shutil.which(java):
        raise EnvironmentProblem(f"JAVA_HOME is {home}, where there is no bin/java: set it to a Java 17, or unset it")
    text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    if 'version "17' not in text:
        raise EnvironmentProblem(f"Java 17 is needed, but {java} is {(text.splitlines() or ['?'])[0]}: set JAVA_HOME")


def check_own_spark() -> None:
    """Raise ``EnvironmentProblem`` if the environment leads to another Spark than this one, or to a Python that is not there."""
    home, python = os.environ.get("SPARK_HOME"), os.environ.get("PYSPARK_PYTHON")
    if home and Path(home).resolve() != jars_folder().parent.resolve():
        raise EnvironmentProblem(f"SPARK_HOME is {home}, another Spark than {jars_folder().parent}: unset it")
    if python and not shutil.which(python):
        raise EnvironmentProblem(f"PYSPARK_PYTHON is {python}, which cannot be run: unset it, or set it to {sys.executable}")


def open_session(settings: Settings, application: str = "dualset") -> SparkSession:
    """The active session, or a new local one; the dynamic settings are set on either."""
    spark = SparkSession.getActiveSession() or _start(settings, application)
    for key, value in (DYNAMIC | settings.spark.conf).items():
        if key in DYNAMIC or spark.conf.isModifiable(key):
            spark.conf.set(key, value)
    return spark


def jars_folder() -> Path:
    """The folder of Spark's jars in this environment."""
    import pyspark

    return Path(pyspark.__file__).parent / "jars"


def class_archive() -> Path:
    """The path of the class-data archive that ``jobs.engine.install_jars`` makes."""
    return jars_folder().parent / "dualset.jsa"


def quick_jvm() -> str:
    """Options of a short-lived JVM of Spark's on this machine, the class-data archive among them, if it was made."""
    archive = class_archive()
    return f"{QUICK_JVM} -XX:SharedArchiveFile={archive} -Xlog:cds=off" if archive.exists() else QUICK_JVM


def partitions(spark: SparkSession, settings: Settings) -> int:
    """The number of tasks that a micro-batch is cut into."""
    return settings.spark.partitions or int(spark.conf.get("spark.sql.shuffle.partitions") or 200)


def _start(settings: Settings, application: str) -> SparkSession:
    check_environment()
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ  # spark-submit started the JVM, and its settings hold
    if not submitted:
        check_own_spark()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.appName(application)
    if not submitted:
        cores = os.cpu_count() or 1
        builder = builder.master(settings.spark.master or f"local[{cores}]")
        if settings.spark.master.startswith("local") or not settings.spark.master:
            builder = builder.config("spark.driver.memory", settings.spark.driver_memory)
            builder = builder.config("spark.sql.shuffle.partitions", cores)
        for key, value in (STATIC | {"spark.driver.extraJavaOptions": f"{quick_jvm()} {LOGGING}"}).items():
            builder = builder.config(key, value)
        if not list(jars_folder().glob("delta-spark_*.jar")):
            builder = builder.config("spark.jars.packages", DELTA_PACKAGE)
    for key, value in settings.spark.conf.items():
        builder = builder.config(key, value)
    try:
        spark = builder.getOrCreate()
    except (PySparkException, Py4JJavaError) as problem:
        cause = str(problem.java_exception) if isinstance(problem, Py4JJavaError) else str(problem)
        raise EnvironmentProblem(
            f"Spark cannot start: {cause.splitlines()[0]} Is a setting wrong (spark.driver_memory, spark.master, spark.conf)?"
        ) from problem
    if not submitted:
        spark.sparkContext.setLogLevel(settings.spark.log_level)
    elif not spark.sparkContext.getConf().contains("spark.sql.shuffle.partitions"):
        # Spark's default of 200 tasks fits neither two cores nor two thousand.
        spark.conf.set("spark.sql.shuffle.partitions", spark.sparkContext.defaultParallelism)
    return spark
