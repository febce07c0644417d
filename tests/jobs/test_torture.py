"""A short torture of a root; `python -m tests.torture` goes on for as long as one likes."""

from pathlib import Path

from pyspark.sql import SparkSession

from tests.torture import Command, differences, torture

SEED = 7  # two commands that add records at once, both killed


def test_a_root_survives_a_round(spark: SparkSession, tmp_path: Path) -> None:
    done = torture(spark, tmp_path, seed=SEED, go_on=lambda number: number < 1)
    assert done.faults == []
    assert done.counts["rounds"] == 1 and done.counts["killed"] + done.counts["done"] > 0


def test_a_command_says_what_befalls_it() -> None:
    assert str(Command(("run",), 0.0, 3.2, full_disk=False)) == "run (at 0.0 s, killed 3.2 s later)"
    assert str(Command(("publish",), 1.0, None, full_disk=True)) == "publish (at 1.0 s, full disk)"


def test_tables_are_compared_by_what_they_say() -> None:
    row = {"n": 1, "run_id": "a"}
    assert differences({"x": row}, {"x": row | {"run_id": "b"}}) == []
    assert differences({"x": row}, {"x": row | {"n": 2}}) == ["x.n: 1 instead of 2"]
    assert differences({"x": row}, {"y": row}) == ["only under torture: x", "lost: y"]
