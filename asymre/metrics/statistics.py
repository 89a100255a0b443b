"""Estimates with 95 % intervals and exact tests, for a few runs paired by seed.

All tests are two-sided; the sign of the estimate gives the direction. Sizes: S seeds (or other pairs), K
values of the varied setting.
"""

from math import factorial
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
# A permutation test with more permutations than this samples this many: p-values down to 1e-4.
RESAMPLES = 19_999
RESAMPLING_STREAM = 0


class Estimate(NamedTuple):
    """An effect, its 95 % interval (NaN: none), and the test of effect = null.

    p: two-sided, uncorrected; NaN where nothing could be tested. smallest_p: the smallest p that the test
    could give with this many runs, whatever their results.
    """

    effect: float = np.nan
    low: float = np.nan
    high: float = np.nan
    null: float = 0.0
    p: float = np.nan
    smallest_p: float = 1.0


def share(successes: int, trials: int, null: float) -> Estimate:
    """Return the share of successes, its Clopper-Pearson interval, the exact binomial test against `null`."""
    if not trials:
        return Estimate(null=null)
    test = stats.binomtest(int(successes), int(trials), null)
    interval = test.proportion_ci(CONFIDENCE, method="exact")
    smallest = min(stats.binomtest(k, int(trials), null).pvalue for k in (0, int(trials)))
    return Estimate(
        successes / trials, interval.low, interval.high, null, float(test.pvalue), float(smallest)
    )


def risk_difference(first_S: np.ndarray, second_S: np.ndarray) -> Estimate:
    """Return the share of pairs with the event in `first` less that in `second`, and McNemar's exact test.

    Interval: Wald's with half a pair added to each of the four cells (Agresti and Min 2005), at most -1 to 1.
    """
    first, second = np.asarray(first_S, dtype=bool), np.asarray(second_S, dtype=bool)
    n, only_first, only_second = len(first), (first & ~second).sum(), (second & ~first).sum()
    if not n:
        return Estimate()
    test = share(only_first, only_first + only_second, 0.5)
    gain, total = (only_first - only_second) / (n + 2), only_first + only_second + 1
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(total / (n + 2) - gain**2) / np.sqrt(n + 2)
    return Estimate(
        (only_first - only_second) / n,
        max(-1.0, gain - half),
        min(1.0, gain + half),
        0.0,
        1.0 if np.isnan(test.p) else test.p,
        # Not from the pairs that differ: their number is a result.
        min(1.0, 2 * 0.5**n),
    )


def mean_interval(values_S: np.ndarray) -> tuple[float, float, float]:
    """Return the mean and Student's interval; the interval is NaN with fewer than two values."""
    values = np.asarray(values_S, dtype=float)
    if not len(values):
        return np.nan, np.nan, np.nan
    mean = values.mean()
    if len(values) == 1:
        return mean, np.nan, np.nan
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return mean, mean - half, mean + half


def paired_difference(differences_S: np.ndarray) -> Estimate:
    """Return the mean difference of pairs, Student's interval, the sign-flip test (exact up to 14 pairs)."""
    differences = np.asarray(differences_S, dtype=float)
    n = len(differences)
    mean, low, high = mean_interval(differences)
    if n < 2:
        return Estimate(mean, low, high)
    p = _permutation_p((differences,), lambda x, axis: x.mean(axis))
    return Estimate(mean, low, high, 0.0, p, _smallest(2, n))


def order(values_SK: np.ndarray, direction: int) -> Estimate:
    """Return whether a value rises (direction 1) or falls (-1) from each of K ordered settings to the next.

    Effect, with Student's interval over seeds: the difference of the adjacent pair of settings that supports
    `direction` least, so that one end alone cannot make an order. Test: the least-squares slope against the
    setting's rank, mean over seeds, with the settings permuted within each seed (like Page's ordering test,
    on the values themselves), exact up to RESAMPLES permutations. p is 1 where the slope is as stated, and a
    pair is not. Needs two seeds and two settings; otherwise there is no test.
    """
    values = np.asarray(values_SK, dtype=float)
    seeds, settings = values.shape
    if settings < 2 or not seeds:
        return Estimate()
    differences = np.diff(values, axis=1)
    weakest = int(np.argmin(direction * differences.mean(0)))
    mean, low, high = mean_interval(differences[:, weakest])
    if seeds < 2:
        return Estimate(mean, low, high)
    ranks = np.arange(settings) - (settings - 1) / 2
    weights = ranks / (ranks**2).sum()
    mixed = direction * (values @ weights).mean() > 0 > direction * mean

    def statistic(*columns, axis):
        weighted: Any = sum(w * column for w, column in zip(weights, columns, strict=True))
        return weighted.mean(axis)

    p = 1.0 if mixed else _permutation_p(tuple(values.T), statistic)
    return Estimate(mean, low, high, 0.0, p, _smallest(factorial(settings), seeds))


def _permutation_p(data, statistic) -> float:
    result = stats.permutation_test(
        data,
        statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=2_000,
        rng=np.random.default_rng(RESAMPLING_STREAM),
    )
    return float(result.pvalue)


def _smallest(permutations: int, blocks: int) -> float:
    return min(1.0, 2 / min(permutations**blocks, RESAMPLES + 1))


def holm(p: np.ndarray) -> np.ndarray:
    """Return Holm's corrected p-values: the k-th smallest of m times m - k + 1, non-decreasing, at most 1."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected
