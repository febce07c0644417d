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
from conftest import REPOSITORY
from kill import commits, cut_captions, marked, sweep
from pyspark.sql import SparkSession
from same_tables import differences

from jobs import ingest
from jobs.chain import run_chain
from jobs.settings import load_settings
from jobs.sources import records
from jobs.stream import Run, finish, start
from jobs.tables import Store

BIN = Path(sys.executable).parent
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # short-lived JVMs on few cores: the second compiler costs more than it gives
SETTINGS = ("segmenter.kind=annotations", "spark.partitions=2")
# Both executors are there before the first task, so that each gets one; and nothing listens on any other address than this.
CLUSTER = {
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
    "spark.executor.resource.gpu.amount": "1",
    "spark.task.resource.gpu.amount": "1",
    "spark.executor.memory": "1g",
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.driver.extraJavaOptions": QUICK,
    "spark.executor.extraJavaOptions": QUICK,
}
PATIENCE_S = 600


class Cluster:
    """A master and two workers of one core and one GPU address each: worker 0 says that it has GPU 0, worker 1 GPU 1."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mark = folder, uuid.uuid4().hex
        self.environment = os.environ | {
            "DUALSET_MARK": self.mark,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(folder / "local"),
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": f"{QUICK} -Dspark.master.rest.enabled=false",
            "PYSPARK_PYTHON": sys.executable,
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",  # the addresses are made up, also where there is a device
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
        place = ["--cores", "1", "--memory", "1g", "--work-dir", str(self.folder / f"work{number}"), self.url]
        log = self._daemon(f"worker{number}", "worker.Worker", place, gpu)
        self._wait_for(log, "Successfully registered with master")
        return next(process for process in marked(self.mark) if str(self.folder / f"work{number}") in command_of(process))

    def _daemon(self, name: str, which: str, arguments: list[str], options: str) -> Path:
        ports = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        command = [BIN / "spark-class", f"org.apache.spark.deploy.{which}", *ports]
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
        sets = [word for one in SETTINGS for word in ("--set", one)]
        properties = ["--master", self.url, "--properties-file", str(REPOSITORY / "conf" / "spark-defaults.conf")]
        command = [BIN / "spark-submit", *properties, *confs, REPOSITORY / "jobs" / f"{job}.py", "--root", root, *sets]
        with (self.folder / "submit").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env=self.environment, start_new_session=True
            )  # fmt: skip

    def finish(self, application: subprocess.Popen[bytes]) -> None:
        assert application.wait(PATIENCE_S) == 0, (self.folder / "submit").read_text(errors="replace")[-3000:]

    def lose(self, number: int) -> None:
        """SIGKILL a worker with its executor: as when a machine goes."""
        lost = [self.workers[number], *self.workers[number].children(recursive=True)]
        assert any("CoarseGrainedExecutorBackend" in command_of(process) for process in lost)
        for process in lost:
            process.kill()

    def listens_on(self) -> set[str]:
        """The addresses that any process of the cluster and its applications listens on."""
        sockets = [socket for process in marked(self.mark) for socket in sockets_of(process)]
        return {socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN}


def command_of(process: psutil.Process) -> str:
    """A process's command line; empty if it ended meanwhile, as helpers of the JVMs do at any time."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def sockets_of(process: psutil.Process) -> list[Any]:
    """A process's sockets; none if it ended meanwhile."""
    try:
        return process.net_connections(kind="inet")
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    try:
        yield made.start()
    finally:
        sweep(made.mark)


@pytest.mark.timeout(1800)
def test_a_worker_dies_and_nothing_is_lost(spark: SparkSession, coco_mini: Path, tmp_path: Path, cluster: Cluster) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    annotations = coco_mini / "annotations"
    captions = cut_captions(annotations / "captions_val2017.json", tmp_path, 6)
    settings = load_settings("photos", SETTINGS)
    run = Run(Store.of(spark, str(here), settings), settings)
    options = {
        "images": str(coco_mini / "val2017"),
        "captions": str(captions),
        "instances": str(annotations / "instances_val2017.json"),
    }
    assert ingest.add(run, records(spark, "coco", options, settings.ingest)) == 6
    finish(start(ingest.STAGE, run), ingest.STAGE)
    shutil.copytree(here, there)  # paths in tables and checkpoints are relative
    run_chain(run)

    cluster.finish(cluster.submit("extract", there))
    assert commits(there / "tables" / "components" / "_delta_log") == 2
    assert not (there / "tables" / "instances").exists()  # that one stage and no other

    application, end = cluster.submit("run", there), time.time() + PATIENCE_S
    while not (there / "checkpoints" / "inpaint" / "stream" / "offsets" / "0").exists():
        assert application.poll() is None and time.time() < end, "inpaint was never begun"
        time.sleep(0.01)
    assert cluster.listens_on() <= {"127.0.0.1", "::ffff:127.0.0.1"}
    cluster.lose(1)
    cluster.finish(application)

    assert differences(spark, str(here), str(there)) == []
    ran_on = {table: devices(spark, there, table) for table in ("instances", "rechecks")}
    assert ran_on["instances"] == {"gpu 0 (no CUDA, ran on cpu)", "gpu 1 (no CUDA, ran on cpu)"}
    assert ran_on["rechecks"] == {"gpu 0 (no CUDA, ran on cpu)"}  # by then GPU 1 was gone


def devices(spark: SparkSession, root: Path, table: str) -> set[str]:
    rows = spark.read.format("delta").load(f"{root}/tables/{table}").select("device").distinct().collect()
    return {row["device"] for row in rows}
