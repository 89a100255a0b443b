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


def discordant(first_S: np.ndarray, second_S: np.ndarray) -> Estimate:
    """Return McNemar's exact test.

    Effect: of the pairs in which one of the two events occurs, the share in which it is `first`'s, tested
    against one half. If no pair differs, the effect is NaN and p is 1.
    """
    first, second = np.asarray(first_S, dtype=bool), np.asarray(second_S, dtype=bool)
    estimate = share((first & ~second).sum(), (first ^ second).sum(), 0.5)
    # Not from the pairs that differ: their number is a result.
    p = 1.0 if len(first) and np.isnan(estimate.p) else estimate.p
    return estimate._replace(p=p, smallest_p=min(1.0, 2 * 0.5 ** len(first)))


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


def trend(values_SK: np.ndarray) -> Estimate:
    """Return the change of a value from one of K ordered settings to the next, with an ordering test.

    Effect: least-squares slope against the setting's rank, mean over seeds; interval: Student's over the
    seeds' slopes. Test: the same statistic with the settings permuted within each seed (like Page's ordering
    test, on the values themselves), exact up to RESAMPLES permutations. Needs two seeds and two settings;
    otherwise there is no test.
    """
    values = np.asarray(values_SK, dtype=float)
    seeds, settings = values.shape
    if settings < 2 or not seeds:
        return Estimate()
    ranks = np.arange(settings) - (settings - 1) / 2
    weights = ranks / (ranks**2).sum()
    mean, low, high = mean_interval(values @ weights)
    if seeds < 2:
        return Estimate(mean, low, high)

    def statistic(*columns, axis):
        weighted: Any = sum(w * column for w, column in zip(weights, columns, strict=True))
        return weighted.mean(axis)

    p = _permutation_p(tuple(values.T), statistic)
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
