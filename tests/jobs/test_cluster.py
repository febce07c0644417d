"""A standalone cluster on loopback: GPU addresses, stage by stage, and a worker that dies in the middle."""

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyspark.sql import SparkSession

from jobs import ingest
from jobs.chain import run_chain
from jobs.engine.session import quick_jvm
from jobs.engine.stream import Run
from jobs.engine.tables import Store
from jobs.engine.versions import bring_up_to_date
from jobs.settings import load_settings
from jobs.sources import records
from tests.support.kill import commits, marked, sweep
from tests.support.originals import REPOSITORY, Originals
from tests.support.same_tables import differences

BIN = Path(sys.executable).parent
# Both executors register before the first task, so that each gets one; and nothing listens on an address other than loopback.
CLUSTER = {
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
    "spark.executor.resource.gpu.amount": "1",
    "spark.task.resource.gpu.amount": "1",
    "spark.executor.memory": "1g",
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.driver.extraJavaOptions": quick_jvm(),
    "spark.executor.extraJavaOptions": quick_jvm(),
}
PATIENCE_S = 600
COUNT = 6  # scenes: enough for a row in each of two partitions


class Cluster:
    """A master and two workers with one core and one GPU address each: worker 0 reports GPU 0, worker 1 reports GPU 1."""

    def __init__(self, folder: Path, settings: tuple[str, ...]) -> None:
        self.settings = settings  # NAME=VALUE, for all applications
        self.folder, self.mark = folder, uuid.uuid4().hex
        self.environment = os.environ | {
            "DUALSET_MARK": self.mark,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(folder / "local"),
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": f"{quick_jvm()} -Dspark.master.rest.enabled=false",
            "PYSPARK_PYTHON": sys.executable,
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",  # the addresses are made up, even on a machine with a GPU
        }

    def start(self) -> "Cluster":
        master = self._daemon("master", "master.Master", [], "")
        self.url = self._wait_for(master, "Starting Spark master at ").split()[0]
        self.workers = [self._worker(number) for number in range(2)]
        return self

    def _worker(self, number: int) -> psutil.Process:
        script = self.folder / f"gpu{number}"
        script.write_text(f'#!/bin/sh\necho \'{{"name": "gpu", "addresses": ["{number}"]}}\'\n')
        script.chmod(0o700)
        gpu = f"-Dspark.worker.resource.gpu.amount=1 -Dspark.worker.resource.gpu.discoveryScript={script}"
        arguments = ["--cores", "1", "--memory", "1g", "--work-dir", str(self.folder / f"work{number}"), self.url]
        log = self._daemon(f"worker{number}", "worker.Worker", arguments, gpu)
        self._wait_for(log, "Successfully registered with master")
        return next(process for process in marked(self.mark) if str(self.folder / f"work{number}") in command_of(process))

    def _daemon(self, name: str, main_class: str, arguments: list[str], options: str) -> Path:
        ports = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        command = [BIN / "spark-class", f"org.apache.spark.deploy.{main_class}", *ports]
        environment = self.environment | {"SPARK_WORKER_OPTS": options}
        with (self.folder / name).open("wb") as log:
            subprocess.Popen([*command, *arguments], stdout=log, stderr=log, env=environment, start_new_session=True)
        return self.folder / name

    def _wait_for(self, log: Path, text: str) -> str:
        end = time.time() + PATIENCE_S
        while text not in (written := log.read_text()):
            assert time.time() < end, f"{log.name} does not say {text!r}:\n{written[-2000:]}"
            time.sleep(0.1)
        return written.partition(text)[2]

    def submit(self, job: str, root: Path) -> subprocess.Popen[bytes]:
        """The README's command, on this cluster."""
        confs = [word for key, value in CLUSTER.items() for word in ("--conf", f"{key}={value}")]
        sets = [word for setting in self.settings for word in ("--set", setting)]
        properties = ["--master", self.url, "--properties-file", str(REPOSITORY / "jobs" / "engine" / "spark-defaults.conf")]
        command = [BIN / "spark-submit", *properties, *confs, REPOSITORY / "jobs" / f"{job}.py", "--root", root, *sets]
        with (self.folder / "submit").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env=self.environment, start_new_session=True
            )  # fmt: skip

    def finish(self, application: subprocess.Popen[bytes]) -> None:
        assert application.wait(PATIENCE_S) == 0, (self.folder / "submit").read_text(errors="replace")[-3000:]

    def lose(self, number: int) -> None:
        """SIGKILL a worker with its executor, as when a machine is lost."""
        lost = [self.workers[number], *self.workers[number].children(recursive=True)]
        assert any("CoarseGrainedExecutorBackend" in command_of(process) for process in lost)
        for process in lost:
            process.kill()

    def listens_on(self) -> set[str]:
        """The addresses that any process of the cluster and its applications listens on."""
        sockets = [socket for process in marked(self.mark) for socket in sockets_of(process)]
        return {socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN}


def command_of(process: psutil.Process) -> str:
    """A process's command line; empty if it has ended, as the JVMs' helper processes may at any time."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def sockets_of(process: psutil.Process) -> list[Any]:
    """A process's sockets; none if it has ended."""
    try:
        return process.net_connections(kind="inet")
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


@pytest.fixture
def cluster(scenes: Originals, tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder, (*scenes.settings, "segmenter.kind=annotations", "spark.partitions=2"))
    try:
        yield cluster.start()
    finally:
        sweep(cluster.mark)


@pytest.mark.timeout(1800)
def test_nothing_is_lost_when_a_worker_dies(spark: SparkSession, scenes: Originals, tmp_path: Path, cluster: Cluster) -> None:
    local_root, cluster_root = tmp_path / "here", tmp_path / "there"
    settings = load_settings("photos", cluster.settings)
    run = Run(Store.of(spark, str(local_root), settings), settings)
    assert ingest.add(run, records(spark, "coco", scenes.first(COUNT, tmp_path).options, settings.ingest)) == COUNT
    bring_up_to_date(ingest.STAGE, run)
    shutil.copytree(local_root, cluster_root)  # paths in tables and checkpoints are relative
    run_chain(run)

    cluster.finish(cluster.submit("extract", cluster_root))
    assert commits(cluster_root / "tables" / "components" / "_delta_log") == 2
    assert not (cluster_root / "tables" / "instances").exists()  # only the submitted stage ran

    application, end = cluster.submit("run", cluster_root), time.time() + PATIENCE_S
    while not (cluster_root / "checkpoints" / "inpaint" / "stream" / "offsets" / "0").exists():
        assert application.poll() is None and time.time() < end, "inpaint never started"
        time.sleep(0.01)
    assert cluster.listens_on() <= {"127.0.0.1", "::ffff:127.0.0.1"}
    cluster.lose(1)
    cluster.finish(application)

    assert spark.read.format("delta").load(f"{cluster_root}/tables/dual_images").where("status = 'ok' AND subset > 0").count() > 0
    assert differences(spark, str(local_root), str(cluster_root)) == []
    ran_on = {table: devices(spark, cluster_root, table) for table in ("instances", "rechecks")}
    assert ran_on["instances"] == {"gpu 0 (no CUDA, ran on cpu)", "gpu 1 (no CUDA, ran on cpu)"}
    assert ran_on["rechecks"] == {"gpu 0 (no CUDA, ran on cpu)"}  # by then GPU 1 was gone


def devices(spark: SparkSession, root: Path, table: str) -> set[str]:
    rows = spark.read.format("delta").load(f"{root}/tables/{table}").select("device").distinct().collect()
    return {row["device"] for row in rows}
