"""Shares and means with intervals: what Spark adds up against the same from lists, and against other people's formulas."""

import random
from typing import Any

import pytest
from pyspark.sql import functions as F
from scipy.stats import binomtest

from jobs.look.shares import NONE, means, share_of, shares, wilson


def test_spark_and_lists_agree(spark: Any) -> None:
    chance = random.Random(0)
    rows = [(str(chance.randrange(30)), chance.choice("ab"), chance.choice([True, False, False, None])) for _ in range(400)]
    table = spark.createDataFrame(rows, "record_id string, kind string, good boolean")
    found = dict(shares(table, {"good": F.col("good"), "not": ~F.col("good")}, ["kind"], total=True))
    assert list(found) == [(None,), ("a",), ("b",)]
    for kind in (None, "a", "b"):
        part = [(record, good) for record, own, good in rows if good is not None and kind in (None, own)]
        expected = share_of([good for _, good in part], [record for record, _ in part])
        assert found[(kind,)]["good"] == expected
        assert found[(kind,)]["not"].value == pytest.approx(1 - expected.value)


def test_a_mean_has_the_interval_of_its_photographs(spark: Any) -> None:
    """Where each photograph has one row the interval is the usual one of a mean; with ten equal rows each it is no narrower."""
    chance = random.Random(1)
    numbers = [chance.gauss(5, 2) for _ in range(50)]
    once = spark.createDataFrame([(str(place), value) for place, value in enumerate(numbers)], "record_id string, x double")
    many = once.crossJoin(spark.range(10))
    ((_, single),), ((_, repeated),) = means(once, {"x": F.col("x")}), means(many, {"x": F.col("x")})
    mean = sum(numbers) / 50
    half = 1.959964 * (sum((value - mean) ** 2 for value in numbers) / 49 / 50) ** 0.5
    assert (single["x"].value, single["x"].low, single["x"].high) == pytest.approx((mean, mean - half, mean + half))
    assert (repeated["x"].low, repeated["x"].high) == pytest.approx((single["x"].low, single["x"].high))
    assert (single["x"].total, repeated["x"].total, repeated["x"].records) == (50, 500, 50)


def test_one_photograph_gives_a_mean_and_no_interval(spark: Any) -> None:
    rows = spark.createDataFrame([("r", 1.0), ("r", 2.0)], "record_id string, x double")
    ((_, found),) = means(rows, {"x": F.col("x")})
    assert (found["x"].value, found["x"].low, found["x"].high, str(found["x"])) == (1.5, None, None, "1.500")


def test_without_rows_there_is_no_share(spark: Any) -> None:
    nothing = spark.createDataFrame([("r", None)], "record_id string, good boolean")
    assert shares(nothing, {"good": F.col("good")}) == [((), {"good": NONE})]
    assert shares(nothing.where("false"), {"good": F.col("good")}, ["good"]) == [] and str(NONE) == ""


def test_the_interval_is_wilsons() -> None:
    for good, number in ((0, 10), (7, 10), (95, 100), (100, 100)):
        wanted = binomtest(good, number).proportion_ci(0.95, method="wilson")
        assert wilson(good / number, number) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_rows_of_one_photograph_count_for_less() -> None:
    good = [True] * 30 + [False] * 10
    separate = share_of(good, [str(index) for index in range(40)])
    grouped = share_of(good, [str(index // 5) for index in range(40)])  # eight photographs, each with only good or only bad pairs
    assert (separate.value, grouped.value, separate.records, grouped.records) == (0.75, 0.75, 40, 8)
    assert (separate.low, separate.high) == pytest.approx(wilson(0.75, 40), abs=0.01)
    assert grouped.low < separate.low < separate.high < grouped.high
    assert grouped.low == pytest.approx(wilson(0.75, 8)[0], abs=0.04)
    assert share_of([True] * 40, [str(index // 5) for index in range(40)]).low == pytest.approx(wilson(1, 8)[0])
    assert share_of([], []) == NONE
