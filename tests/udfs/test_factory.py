"""What the factory promises of a role: one load a worker, failures a row at a time, one call a row, lineage."""

import weakref
from pathlib import Path

import numpy as np
import pytest
from pyspark.errors import PythonException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.settings import Settings, validate_settings
from tests.support import fake_roles
from tests.support.fake_roles import AcceleratorError
from udfs import worker as workers
from udfs.factory import model_udf, plain
from udfs.role import Failure, RoleError
from udfs.worker import Worker

FAKE = "tests.support.fake_roles:FakeModel"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(workers, "_held", {})  # as in a worker that has just started
    return validate_settings({"segmenter": {"weights": str(tmp_path / "log")}})


def worker(settings: Settings, role: str = FAKE) -> Worker:
    return Worker(role, settings.model_dump_json())


def rows(*words: str) -> list[dict[str, str]]:
    return [{"word": word} for word in words]


def noted(settings: Settings) -> list[str]:
    return Path(settings.segmenter.weights).read_text().splitlines()


def test_a_result_carries_status_and_lineage(settings: Settings) -> None:
    first, second = worker(settings)(rows("dog", "giraffe"))
    assert (first["length"], second["length"]) == (3, 7)
    assert {first[name] for name in ("status", "model", "model_version", "device")} == {"ok", "fake", "1", "cpu"}
    assert set(first["seconds"]) == {"load", "decode", "model", "encode"}
    assert first["seconds"] == second["seconds"]  # each has its share
    assert first["seconds"]["load"] > 0


def test_a_worker_loads_a_role_once(settings: Settings) -> None:
    for _ in range(3):  # three tasks in one reused worker
        worker(settings)(rows("dog"))
    assert noted(settings) == ["load", "call 1", "call 1", "call 1"]


def test_other_settings_load_anew(settings: Settings) -> None:
    worker(settings)
    worker(settings.model_copy(update={"catalog": "main"}))
    assert noted(settings) == ["load", "load"]


def test_another_role_takes_the_place_of_the_first(settings: Settings) -> None:
    first = weakref.ref(worker(settings).role)
    assert first() is not None
    worker(settings, "tests.support.fake_roles:OtherFakeModel")
    assert first() is None, "two models are held by one worker"


def test_an_exception_marks_its_own_row_only(settings: Settings) -> None:
    found = worker(settings)(rows("dog", "explode", "cat"))
    assert [row["status"] for row in found] == ["ok", "model_error", "ok"]
    assert found[1]["error"].startswith("ValueError: boom boom")
    assert len(found[1]["error"]) == 500
    assert found[1]["model"] == "fake"
    assert noted(settings) == ["load", "call 3", "call 1", "call 1", "call 1"]  # the batch, then row by row


def test_a_failure_keeps_its_own_reason(settings: Settings) -> None:
    found = worker(settings)(rows("rude", "dog"))
    assert [(row["status"], row["error"]) for row in found] == [("too_rude", "rude"), ("ok", None)]


def test_an_error_keeps_no_secret(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "ftp://me:hunter2@host/a.jpg"
    monkeypatch.setattr(fake_roles.FakeModel, "__call__", lambda _, rows: [Failure("missing_file", f"{address} is gone")])
    assert worker(settings)(rows("dog"))[0]["error"] == "ftp://host/a.jpg is gone"


@pytest.mark.parametrize(
    ("word", "error", "says"),
    [("swallow", RoleError, "fake gave 0 results for 2 rows"), ("broken device", AcceleratorError, "device-side assert")],
)
def test_an_error_that_concerns_all_rows_stops_the_task(settings: Settings, word: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        worker(settings)(rows("dog", word))


@pytest.mark.parametrize(
    "role", ["tests.support.fake_roles:FakeWithoutWeights", "tests.support.fake_roles:NoSuchModel", "no_such_module:Model"]
)
def test_a_model_that_cannot_be_loaded_stops_the_stage(settings: Settings, role: str) -> None:
    with pytest.raises(RoleError, match=f"cannot load {role.partition(':')[2]}: "):
        worker(settings, role)


def test_arrow_values_become_plain_ones() -> None:
    inner = {"b": np.float32(0.5), "c": np.array(["x", None], dtype=object)}
    nested = {"a": np.array([inner], dtype=object), "d": b"\x00", "e": np.nan}
    assert plain(nested) == {"a": [{"b": 0.5, "c": ["x", None]}], "d": b"\x00", "e": None}


def measured(spark: SparkSession, settings: Settings, *words: str, batch_size: int = 4):  # type: ignore[no-untyped-def]  # noqa: ANN202
    spark.sparkContext.addPyFile(fake_roles.__file__)  # workers have no ``tests``: there it is a module of its own
    measure = model_udf(FAKE.removeprefix("tests.support."), settings, "length INT", batch_size)
    source = spark.createDataFrame([(word,) for word in words], "word STRING").coalesce(1)
    return source.select("word", measure(F.struct("word")).alias("made")).select("word", "made.*")


def test_a_filter_on_the_status_does_not_call_the_model_again(spark: SparkSession, settings: Settings) -> None:
    words = ["dog", "rude", *("cat " * 8).split()]
    found = measured(spark, settings, *words).where("status = 'ok' AND length = 3").collect()
    assert len(found) == 9
    assert noted(settings) == ["load", "call 4", "call 4", "call 2"]


def test_a_broken_contract_fails_the_spark_job(spark: SparkSession, settings: Settings) -> None:
    with pytest.raises(PythonException, match="RoleError: fake gave 0 results for 2 rows"):
        measured(spark, settings, "dog", "swallow").collect()


def test_a_row_that_hangs_or_kills_its_worker_does_not_fail_its_partition(spark: SparkSession, settings: Settings) -> None:
    patient = settings.model_copy(update={"spark": settings.spark.model_copy(update={"row_deadline_s": 1})})
    found = measured(spark, patient, "dog", "crash", "cat", "hang", "bird").collect()
    assert [row.status for row in found] == ["ok", "worker_died", "ok", "timed_out", "ok"]
    assert {row.model for row in found} == {"fake"}


def test_one_bad_row_does_not_fail_its_partition(spark: SparkSession, settings: Settings) -> None:
    found = measured(spark, settings, "dog", "explode", "cat").collect()
    assert [(row.word, row.status, row.length) for row in found] == [
        ("dog", "ok", 3),
        ("explode", "model_error", None),
        ("cat", "ok", 3),
    ]
