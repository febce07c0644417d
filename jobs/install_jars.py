"""Put Delta's jars beside Spark's in this environment, once: sessions then start faster, silently and without a network.

    python -m jobs.install_jars

Spark's own resolver fetches them from Maven Central. A cluster gets them by ``--packages`` instead.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from jobs.session import DELTA_PACKAGE, EnvironmentProblem, check_environment, jars_folder


def main() -> None:
    """Resolve and copy; does nothing when they are there."""
    try:
        check_environment()
    except EnvironmentProblem as problem:
        sys.exit(f"dualset: {problem}")
    from pyspark.sql import SparkSession

    folder = jars_folder()
    if list(folder.glob("delta-spark_*.jar")):
        return
    with tempfile.TemporaryDirectory() as ivy:
        builder = SparkSession.builder.master("local[1]").config("spark.jars.packages", DELTA_PACKAGE)
        builder.config("spark.jars.ivy", ivy).config("spark.ui.enabled", "false").getOrCreate().stop()
        # Spark has the other ones already.
        jars = [jar for jar in Path(ivy).glob("jars/*.jar") if jar.name.startswith(("io.delta_", "io.unitycatalog_"))]
        if not jars:
            sys.exit(f"dualset: {DELTA_PACKAGE} could not be resolved")
        for jar in jars:
            shutil.copy(jar, folder / jar.name.partition("_")[2])  # group_artifact-version.jar


if __name__ == "__main__":
    main()
