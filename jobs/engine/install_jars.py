"""Put the jars of Delta and S3 beside Spark's in this environment, once. Sessions then start faster, silently, without a network.

    python -m jobs.engine.install_jars

Spark's own resolver fetches the jars from Maven Central; a cluster gets them by ``--packages``. The classes that a first small
stream loads are then saved in a class-data archive, with which a local JVM starts in two thirds of the CPU time.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from jobs.engine.session import DELTA_PACKAGE, EnvironmentProblem, check_environment, class_archive, jars_folder

# hadoop-aws asks for the bundle of all of Amazon's clients, 558 MB. These modules of it are what s3a loads, 9 MB with what they
# need. The version is the one that Spark 4.0 pairs with this hadoop-aws in spark-hadoop-cloud: of 2.24.6, which hadoop-aws names,
# there is no transfer manager outside the bundle.
AMAZON_MODULES = ("s3", "s3-transfer-manager", "apache-client", "netty-nio-client", "sts")
S3_PACKAGES = ["org.apache.hadoop:hadoop-aws:3.4.1", *(f"software.amazon.awssdk:{name}:2.25.53" for name in AMAZON_MODULES)]
# The bundle; what Spark has already, in versions that fit; and a faster TLS, which is optional.
LEFT_OUT = (
    "software.amazon.awssdk:bundle",
    "io.netty:*",
    "org.apache.httpcomponents:*",
    "org.slf4j:*",
    "commons-codec:*",
    "commons-logging:*",
    "org.wildfly.openssl:*",
)
# Of the groups that Spark has not.
NEW = ("io.delta_", "io.unitycatalog_", "org.apache.hadoop_hadoop-aws-", "software.amazon.", "org.reactivestreams_")


def main() -> None:
    """Fetch the jars and make the class-data archive, where they are missing."""
    try:
        check_environment()
    except EnvironmentProblem as problem:
        sys.exit(f"dualset: {problem}")
    if not all(list(jars_folder().glob(pattern)) for pattern in ("delta-spark_*.jar", "hadoop-aws-*.jar")):
        _in_own_process("fetch", "fetching the jars of Delta and S3 from Maven Central")
        class_archive().unlink(missing_ok=True)  # it holds for the jars that it was made with
    if not class_archive().exists():
        _in_own_process("warm_up", "saving the classes that Spark loads in an archive")


def _in_own_process(step: str, what: str) -> None:
    """Run a step of this module. What it prints, hundreds of lines of a resolver, is for those whose step failed."""
    sys.stderr.write(f"dualset: {what}\n")
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "jobs.engine.install_jars", step], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        sys.exit(f"dualset: the step '{step}' failed; what it printed stands above")


def _fetch() -> None:
    from pyspark.sql import SparkSession

    folder = jars_folder()
    with tempfile.TemporaryDirectory() as ivy:
        builder = SparkSession.builder.master("local[1]").config("spark.jars.ivy", ivy).config("spark.ui.enabled", "false")
        builder.config("spark.jars.packages", ",".join([DELTA_PACKAGE, *S3_PACKAGES]))
        builder.config("spark.jars.excludes", ",".join(LEFT_OUT)).getOrCreate().stop()
        jars = [jar for jar in Path(ivy).glob("jars/*.jar") if jar.name.startswith(NEW)]
        if not jars:
            sys.exit(f"dualset: {DELTA_PACKAGE} could not be fetched; check the network and try again")
        for jar in jars:
            shutil.copy(jar, folder / jar.name.partition("_")[2])  # group_artifact-version.jar


def _warm_up() -> None:
    """Do what every run does first, in a JVM that writes the classes it loaded to the archive when it ends."""
    from pyspark.sql import SparkSession

    from jobs.engine.session import LOCAL_JVM, STATIC

    options = f"{LOCAL_JVM} -XX:ArchiveClassesAtExit={class_archive()} -Xlog:cds=off -Xlog:cds+dynamic=off"
    builder = SparkSession.builder.master("local[1]")
    for key, value in (STATIC | {"spark.driver.extraJavaOptions": options}).items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    with tempfile.TemporaryDirectory() as root:
        spark.range(10).write.format("delta").save(f"{root}/a")
        rows = spark.readStream.format("delta").load(f"{root}/a")
        rows.writeStream.format("delta").option("checkpointLocation", f"{root}/c").trigger(availableNow=True).start(
            f"{root}/b"
        ).awaitTermination()
        spark.read.format("delta").load(f"{root}/b").groupBy("id").count().collect()
    gateway = spark.sparkContext._gateway
    assert gateway is not None, "the session is active"
    spark.stop()
    # The JVM writes the archive as it ends, which takes longer than this process would last. A session must not meet half of one.
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()


if __name__ == "__main__":
    {(): main, ("fetch",): _fetch, ("warm_up",): _warm_up}[tuple(sys.argv[1:])]()
