"""Intervals of measured numbers: bootstraps over clusters, and Wilson's for counts.

What belongs together (all questions about one picture, all values of one scene) is drawn together, so that many values of one
cluster say no more than they do. All draws of the project are made here, by one generator and one seed: the same clusters get the
same draws, whatever is measured on them, and two measurements on the same clusters can be compared draw by draw.
"""

from collections.abc import Callable, Iterator, Sequence
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
SEED = 0
MIDDLE = (0.025, 0.975)  # quantiles of a 95% interval
_DRAWS_AT_ONCE = 50


def drawn_clusters(
    count: int, draws: int = DRAWS, seed: int = SEED, at_once: int = _DRAWS_AT_ONCE
) -> Iterator[NDArray[np.int64]]:
    """Draw ``count`` clusters with replacement, ``draws`` times.

    Args:
        count: clusters that there are, and that a draw has.
        draws: how often all are drawn.
        seed: of the generator.
        at_once: draws in an array; the draws are the same for any number.

    Yields:
        Which clusters are in each draw, int64 [up to at_once, count], until all draws are made.
    """
    generator = np.random.default_rng(seed)
    for start in range(0, draws, at_once):
        yield generator.integers(0, count, (min(at_once, draws - start), count))


def drawn_weights(count: int, draws: int = DRAWS, seed: int = SEED) -> Iterator[NDArray[np.float64]]:
    """How often each cluster is in each draw of ``drawn_clusters``: float64 [some draws, count], until all draws are made."""
    for drawn in drawn_clusters(count, draws, seed):
        places = drawn + np.arange(len(drawn))[:, None] * count
        yield np.bincount(places.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)


def interval(
    values: Sequence[float], clusters: Sequence[int], statistic: Callable[[NDArray[np.float64]], Any] = np.mean
) -> tuple[float, float, float]:
    """A statistic of values with its 95% interval by bootstrap over clusters.

    Args:
        values: [N], in any unit.
        clusters: which cluster each value belongs to, [N].
        statistic: from float64 [M] to a number.

    Returns:
        (value, low, high) in the unit of the statistic; three NaN where there are no values.
    """
    if not values:
        return nan, nan, nan
    array = np.array(values, float)
    _, place = np.unique(clusters, return_inverse=True)
    weights = drawn_weights(int(place.max()) + 1)
    drawn = [float(statistic(np.repeat(array, times[place].astype(np.int64)))) for some in weights for times in some]
    low, high = np.quantile(drawn, MIDDLE)
    return float(statistic(array)), float(low), float(high)


def mean_interval(values: NDArray[Any]) -> tuple[float, float, float]:
    """The mean of values [N] with its 95% interval by bootstrap over them: (value, low, high) in their unit and precision."""
    return ratio_interval(values, None)


def ratio_interval(above: NDArray[Any], below: NDArray[Any] | None) -> tuple[float, float, float]:
    """The mean of ``above`` over that of ``below``, [N] each, with its 95% interval by bootstrap over their N common clusters.

    Returns:
        (value, low, high). Without ``below`` it is the mean of ``above``.
    """

    def value(rows: Any) -> Any:
        return above[rows].mean() if below is None else above[rows].mean() / below[rows].mean()

    drawn = np.array([value(rows) for some in drawn_clusters(len(above)) for rows in some])
    low, high = np.quantile(drawn, MIDDLE)
    return float(value(slice(None))), float(low), float(high)


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share, 0 to 1; all of it where nothing was counted."""
    from scipy.stats import binomtest

    if not total:
        return 0.0, 1.0
    bounds = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    return float(bounds.low), float(bounds.high)
