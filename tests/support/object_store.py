"""S3 on this machine: moto's server on a loopback port, in a process of its own, and how Spark, its workers and fsspec find it.

python -m tests.support.object_store BUCKET        # a server with a bucket, until interrupted; prints what to export
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
from pyspark.sql import SparkSession

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""
SECRET = "hidden-from-all"  # the server lets anybody in


@contextmanager
def served(bucket: str) -> Iterator[dict[str, str]]:
    """Start a server with a bucket; yields the variables with which Amazon's clients find it.

    The server ends when its input does, so also if this process is killed.
    """
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}  # a line for each request
    with subprocess.Popen([sys.executable, "-c", SERVER], text=True, **streams) as server:  # type: ignore[call-overload]
        try:
            address = server.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:"), "the server did not start"
            names = {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": SECRET}
            names["AWS_DEFAULT_REGION"] = "us-east-1"
            client(address).mkdir(bucket)
            yield names
        finally:
            server.kill()


def client(address: str) -> fsspec.AbstractFileSystem:
    """A file system of its own, as another machine has one: it shares no cache with the project's."""
    return fsspec.filesystem("s3", key="me", secret=SECRET, endpoint_url=address, skip_instance_cache=True)


@contextmanager
def connected(spark: SparkSession, names: dict[str, str]) -> Iterator[None]:
    """Let this process, the workers of a running session and its JVM find the server, as if they had started with these names."""
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    ours = {
        "fs.s3a.endpoint": names["AWS_ENDPOINT_URL"],
        "fs.s3a.access.key": names["AWS_ACCESS_KEY_ID"],
        "fs.s3a.secret.key": names["AWS_SECRET_ACCESS_KEY"],
        "fs.s3a.path.style.access": "true",
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ |= names
    spark.sparkContext.environment |= names
    for key, value in ours.items():
        hadoop.set(key, value)
    try:
        yield
    finally:
        for key in ours:
            hadoop.unset(key)
        for name, value in before.items():
            spark.sparkContext.environment.pop(name)
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        fsspec.get_filesystem_class("s3").clear_instance_cache()


def upload(folder: Path, address: str, path: str) -> None:
    """Copy a folder into a bucket; ``path`` begins with the bucket."""
    client(address).put(str(folder), path, recursive=True)


if __name__ == "__main__":
    with served(sys.argv[1]) as names:
        print("export", *(f"{name}={value}" for name, value in names.items()), flush=True)
        time.sleep(1e9)
