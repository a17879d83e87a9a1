"""Checks of the statistics by which claims are judged, against SciPy and numbers done by hand."""

import math

import numpy as np
from scipy import stats

from fa_audit.audit.differences import paired_t, sign_flip_p, welch
from fa_audit.audit.multiplicity import benjamini_hochberg, holm
from fa_audit.audit.statistics import (
    equivalence_test,
    mean_interval,
    prediction_half_width,
    prediction_interval,
    summarise,
)
from mutations.registry import check

A, B = [75.1, 74.2, 76.3, 75.0, 74.9], [74.8, 74.1, 75.6, 74.9, 74.2]


def assert_close(actual: object, expected: object, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=0, atol=tolerance)


@check
def spread() -> None:
    """The standard deviation of N runs has the divisor N − 1."""
    assert_close(summarise([1.0, 2, 3, 6]), (4, 3, math.sqrt(14 / 3)))


@check
def prediction() -> None:
    """A further run lies within 4.97 s of the mean of 3, 3.04 of 5, 2.37 of 10, 2.14 of 20."""
    for n, expected in ((3, 4.97), (5, 3.04), (10, 2.37), (20, 2.14)):
        assert_close(prediction_half_width(n, 1.0), expected, 0.005)
    mean, sd = np.mean(A), np.std(A, ddof=1)
    half = stats.t.ppf(0.975, 4) * sd * math.sqrt(1 / 3 + 1 / 5)
    assert_close(prediction_interval(A, published_runs=3), (mean - half, mean + half))


@check
def interval_of_the_mean() -> None:
    """The interval of the mean is x̄ ± t s / √N."""
    expected = stats.t.interval(0.95, 4, np.mean(A), stats.sem(A))
    assert_close(mean_interval(A), expected)


@check
def equivalence() -> None:
    """The mean is shown to lie inside exactly where the (1 − 2α) interval does."""
    found = equivalence_test(A, 74, 76)
    interval = stats.t.interval(0.90, 4, np.mean(A), stats.sem(A))
    assert_close(found.interval, interval)
    for low, high in ((interval[0] - 1e-3, 80), (interval[0] + 1e-3, 80)):
        inside = equivalence_test(A, low, high).p_inside <= 0.05
        assert inside == (low < interval[0])


@check
def pairs() -> None:
    """A is compared with B seed by seed, and without pairs by Welch's t."""
    assert_close(paired_t(A, B).p, stats.ttest_rel(A, B).pvalue)
    assert_close(paired_t(A, B).mean, np.mean(A) - np.mean(B))
    assert_close(welch(A, B[:4]).p, stats.ttest_ind(A, B[:4], equal_var=False).pvalue)


@check
def sign_flips() -> None:
    """The smallest p of the exact sign-flip test of N differences is 2^(1 − N)."""
    for n in (4, 6):
        assert_close(sign_flip_p([1.0 + i for i in range(n)]), 2 ** (1 - n))


@check
def family() -> None:
    """Holm steps down through the sorted p-values, Benjamini and Hochberg step up."""
    p = [0.01, 0.04, 0.03, 0.005]
    assert_close(holm(p), [0.03, 0.06, 0.06, 0.02])
    assert_close(benjamini_hochberg(p), [0.02, 0.04, 0.04, 0.02])
