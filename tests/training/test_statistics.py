"""Intervals, and the draws that they are made of; Markdown tables."""

import numpy as np
import pytest

from training.statistics import drawn_clusters, drawn_weights, interval, mean_interval, ratio_interval, wilson
from training.tables import markdown_table


def test_draws_are_the_same_in_any_batches_and_for_any_measure() -> None:
    batched, all_at_once = (np.concatenate(list(drawn_clusters(301, 130, 7, at_once))) for at_once in (11, 1000))
    assert (batched == all_at_once).all()
    rng = np.random.default_rng(7)
    assert all((rng.integers(301, size=301) == drawn).all() for drawn in batched), "the same as one draw after the other"
    weights = np.concatenate(list(drawn_weights(301, 130, 7)))
    assert (weights == [np.bincount(drawn, minlength=301) for drawn in batched]).all()


def test_values_of_one_cluster_come_and_go_together() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    single = interval(values.tolist(), range(400))
    assert single == pytest.approx(mean_interval(values))
    # Each value repeated four times carries no more information.
    assert interval(np.repeat(values, 4).tolist(), np.repeat(np.arange(400), 4).tolist()) == pytest.approx(single)
    assert ratio_interval(2 * values, values) == pytest.approx((2, 2, 2))
    assert np.isnan(interval([], [])).all()


def test_wilson_of_no_trials_is_zero_to_one() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(9, 10) == pytest.approx((0.596, 0.982), abs=0.001)


def test_a_table_keeps_its_columns_whatever_is_in_a_cell() -> None:
    assert list(markdown_table(("a", "n"), [("x|y\nz", 1)], right=(-1,))) == ["| a | n |", "|---|---:|", "| x\\|y z | 1 |"]
    with pytest.raises(ValueError, match="a row of 1 cells under a head of 2"):
        list(markdown_table(("a", "n"), [("x",)]))
