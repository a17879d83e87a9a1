"""The statistics of judging a published number with a handful of seeds.

Everything here is for small N. Throughout, x̄ and s are the mean and the standard deviation
(divisor N − 1) of N runs that differ in their seed only, t(ν, q) is the q-quantile of Student's
distribution with ν degrees of freedom, and α is the error rate we accept.

Three questions, three yardsticks (for the third: `differences`):

- *Could the published run be one of ours?* `prediction_interval`. The confidence interval of the
  mean is the wrong yardstick: as N grows it shrinks to a point and rejects almost any honest run.
- *Is it near enough?* `equivalence_test`. That a difference is "not significant" never shows that
  there is none; nearness is shown by an interval that lies inside a margin fixed beforehand.
- *Is A better than B?* `differences.paired_t`, by seed, because runs of one seed share data order
  and start.

In all functions a sample is a list of N ≥ 2 finite numbers in the unit of its measurement, and
anything else raises an `AuditError`; alpha lies in (0, 1) and p-values in [0, 1]. A sample without
any spread is judged by the limit s → 0: its interval is a point, and p is 0 or 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fa_audit.errors import AuditError

ROUNDING = 1e-12
"""Numbers nearer than this, relatively, are equal but for rounding."""

Sample = Sequence[float] | NDArray[np.float64]


class Interval(NamedTuple):
    """A closed interval [low, high]."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the distance between the ends."""
        return (self.high - self.low) / 2


class Summary(NamedTuple):
    """What a t procedure knows of a sample: its size, mean x̄ and standard deviation s."""

    n: int
    mean: float
    sd: float


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests of "the mean lies between low and high"."""

    interval: Interval
    """The (1 − 2α) interval of the mean."""
    p_inside: float
    """p of the hypothesis "not strictly inside": small when the mean is shown to lie inside."""
    p_outside: float
    """Two-sided p of the hypothesis "inside": small when the mean is shown to lie beyond an end."""


def summarise(values: Sample) -> Summary:
    """Size, mean and standard deviation (divisor N − 1) of at least two finite numbers.

    Raises:
        AuditError: Fewer than two numbers, or one that is not finite.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size < 2:
        raise AuditError(
            f"A spread needs a list of at least two numbers, got shape {sample.shape}; add seeds."
        )
    if not np.isfinite(sample).all():
        raise AuditError(
            "A sample holds a number that is not finite; say what it stands for, or mark it as "
            "undefined, before it is judged."
        )
    # Values that are equal but for rounding have no spread, however tiny the one computed.
    constant = np.ptp(sample) <= ROUNDING * np.abs(sample).max()
    sd = 0.0 if constant else float(np.std(sample, ddof=1))
    return Summary(sample.size, float(sample[0]) if constant else float(np.mean(sample)), sd)


def t_quantile(n: int, tail: float) -> float:
    """t(n − 1, 1 − tail): what Student's t of n runs exceeds with probability `tail`."""
    return float(-special.stdtrit(n - 1, tail))


def upper_tail(distance: float, standard_error: float, df: float) -> float:
    """P(T ≥ distance / standard_error) of Student's T; 0/0 counts as 1/2."""
    if standard_error == 0:
        return 0.5 if distance == 0 else float(distance < 0)
    return float(special.stdtr(df, -distance / standard_error))


# One published run against ours


def prediction_half_width(n: int, sd: float, alpha: float = 0.05, published_runs: int = 1) -> float:
    """How far a further mean of k runs may lie from the mean of our N.

        t(N − 1, 1 − α/2) · s · √(1/k + 1/N)

    In units of s, at α = .05 and k = 1: 4.97 at N = 3, 3.04 at 5, 2.37 at 10, 2.14 at 20.

    Args:
        n: N, at least 2.
        sd: s, in the unit of the measurement, ≥ 0.
        published_runs: k, how many runs the published number is the mean of, ≥ 1.

    Returns:
        The half-width, in the unit of the measurement, ≥ 0.
    """
    return t_quantile(n, alpha / 2) * sd * math.sqrt(1 / published_runs + 1 / n)


def prediction_interval(values: Sample, alpha: float = 0.05, published_runs: int = 1) -> Interval:
    """Where the mean of k further runs lies with probability 1 − α, given our N.

        x̄ ± t(N − 1, 1 − α/2) · s · √(1/k + 1/N)

    `published_runs` is k ≥ 1. The interval is in the unit of the values.
    """
    n, mean, sd = summarise(values)
    half_width = prediction_half_width(n, sd, alpha, published_runs)
    return Interval(mean - half_width, mean + half_width)


def prediction_p(
    values: Sample,
    published: float,
    published_runs: int = 1,
    reading_error: float = 0.0,
) -> float:
    """Two-sided p of "the published number comes from runs like ours".

        t = max(0, |x̄ − y| − e) / (s √(1/k + 1/N)), with N − 1 degrees of freedom

    Args:
        published: y, in the unit of the values.
        published_runs: k, ≥ 1.
        reading_error: e, how far the number read may lie from the number meant, ≥ 0. The test
            takes the most favourable reading, so it is conservative.
    """
    n, mean, sd = summarise(values)
    distance = max(0.0, abs(mean - published) - reading_error)
    return 2 * upper_tail(distance, sd * math.sqrt(1 / published_runs + 1 / n), n - 1)


# The mean


def mean_interval(values: Sample, alpha: float = 0.05) -> Interval:
    """The (1 − α) confidence interval of the mean, x̄ ± t(N − 1, 1 − α/2) · s / √N.

    At N = 5 it covers what it promises for normal data; a percentile bootstrap, nominally .95,
    covers about .82 there.
    """
    n, mean, sd = summarise(values)
    half_width = t_quantile(n, alpha / 2) * sd / math.sqrt(n)
    return Interval(mean - half_width, mean + half_width)


def mean_p(values: Sample, reference: float) -> float:
    """Two-sided p of "the mean is the reference", by t = (x̄ − reference) √N / s."""
    n, mean, sd = summarise(values)
    return 2 * upper_tail(abs(mean - reference), sd / math.sqrt(n), n - 1)


def equivalence_test(values: Sample, low: float, high: float, alpha: float = 0.05) -> Equivalence:
    """Does the mean lie between two bounds? Two one-sided tests (TOST).

    The mean is shown to lie inside, at level α, exactly when the (1 − 2α) interval does: each of
    the two tests may err with α, and both would have to. It is shown to lie outside, at level α,
    exactly when the (1 − α) interval lies beyond one bound: a mean between bounds that are nearer
    to each other than runs scatter can be missed on either side, and each side has α/2.

    Args:
        low: Lower bound, in the unit of the values.
        high: Upper bound, above `low`.
        alpha: Error rate of the interval, in (0, .5).

    Source:
        Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657–680.
    """
    n, mean, sd = summarise(values)
    standard_error = sd / math.sqrt(n)
    return Equivalence(
        interval=mean_interval(values, 2 * alpha),
        p_inside=max(
            upper_tail(mean - low, standard_error, n - 1),
            upper_tail(high - mean, standard_error, n - 1),
        ),
        p_outside=min(
            1.0,
            2 * upper_tail(low - mean, standard_error, n - 1),
            2 * upper_tail(mean - high, standard_error, n - 1),
        ),
    )


# What the test set alone leaves open


def binomial_standard_error(accuracy: float, images: int) -> float:
    """How far one accuracy strays because the test set is finite: √(a (1 − a) / images).

    Args:
        accuracy: a, a fraction in [0, 1].
        images: How many images it was counted on, ≥ 1.

    Returns:
        The standard error, a fraction in [0, .5]: .0043 at a = .75 on 10,000 images.

    Raises:
        AuditError: The accuracy is no fraction, or there is no image.
    """
    if not 0 <= accuracy <= 1 or images < 1:
        raise AuditError(
            f"A binomial standard error needs an accuracy between 0 and 1 and at least one image, "
            f"got {accuracy} and {images}; divide percentages by 100."
        )
    return math.sqrt(accuracy * (1 - accuracy) / images)
