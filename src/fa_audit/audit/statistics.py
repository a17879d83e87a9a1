"""The statistics of judging a published number with a handful of seeds.

Everything here is for small N. Throughout, x̄ and s are the mean and the standard deviation
(divisor N − 1) of N runs that differ in their seed only, t(ν, q) is the q-quantile of Student's
distribution with ν degrees of freedom, and α is the error rate we accept.

Three questions, three yardsticks:

- *Could the published run be one of ours?* `prediction_interval`. The confidence interval of the
  mean is the wrong yardstick: as N grows it shrinks to a point and rejects almost any honest run.
- *Is it near enough?* `equivalence_test`. That a difference is "not significant" never shows that
  there is none; nearness is shown by an interval that lies inside a margin fixed beforehand.
- *Is A better than B?* `paired_t`, by seed, because runs of one seed share data order and start.

In all functions a sample is a list of N ≥ 2 finite numbers in the unit of its measurement, and
anything else raises an `AuditError`; alpha lies in (0, 1) and p-values in [0, 1]. A sample without
any spread is judged by the limit s → 0: its interval is a point, and p is 0 or 1.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from fa_audit.errors import AuditError

MOST_SEEDS = 100_000
"""Where the search for a sufficient number of seeds gives up: nobody will train that many."""

MOST_SIGN_FLIPS = 20
"""The largest N for which all 2^N sign patterns are enumerated."""

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


@dataclass(frozen=True)
class Difference:
    """The mean of A − B, whether it is zero, and how large it is beside the spread."""

    n: int
    mean: float
    sd: float
    interval: Interval
    p: float
    """Two-sided p of "the mean difference is zero"."""
    effect_size: float | None
    """Mean difference in standard deviations; None where nothing varies."""
    effect_interval: Interval | None
    correlation: float | None = None
    """Correlation of A with B over the pairs; None when unpaired, constant or N < 3."""
    p_sign_flip: float | None = None
    """p of the exact sign-flip test; None when unpaired or N > 20."""


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


def _upper_tail(distance: float, standard_error: float, df: float) -> float:
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
    return 2 * _upper_tail(distance, sd * math.sqrt(1 / published_runs + 1 / n), n - 1)


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
    return 2 * _upper_tail(abs(mean - reference), sd / math.sqrt(n), n - 1)


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
            _upper_tail(mean - low, standard_error, n - 1),
            _upper_tail(high - mean, standard_error, n - 1),
        ),
        p_outside=min(
            1.0,
            2 * _upper_tail(low - mean, standard_error, n - 1),
            2 * _upper_tail(mean - high, standard_error, n - 1),
        ),
    )


# A against B


def paired_differences(a: Sample, b: Sample) -> NDArray[np.float64]:
    """A − B, pair by pair; exactly zero where the two are equal but for rounding.

    Raises:
        AuditError: The lengths differ.
    """
    if len(a) != len(b):
        raise AuditError(
            f"Pairs need as many values of A as of B, got {len(a)} and {len(b)}; keep to the "
            "seeds that both have."
        )
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return np.where(np.isclose(first, second, ROUNDING, 0), 0.0, first - second)


def paired_t(a: Sample, b: Sample, alpha: float = 0.05) -> Difference:
    """Mean of A − B over pairs that share a seed: Student's t on the differences.

        t = d̄ √N / s_d;  effect size d̄ / s_d

    Pairing removes what both share (data order, initialisation), and gains as the correlation of
    A with B grows; it is therefore part of the answer.

    Args:
        a: N values of A.
        b: N values of B, in the same order of seeds.
        alpha: Error rate of the intervals.

    Raises:
        AuditError: The lengths differ.
    """
    differences = paired_differences(a, b)
    n, mean, sd = summarise(differences)
    scale = 1 / math.sqrt(n)
    varies = n > 2 and np.ptp(a) > 0 and np.ptp(b) > 0
    return Difference(
        n=n,
        mean=mean,
        sd=sd,
        interval=mean_interval(differences, alpha),
        p=mean_p(differences, 0.0),
        effect_size=mean / sd if sd > 0 else None,
        effect_interval=_effect_interval(mean, sd * scale, n - 1, scale, alpha) if sd > 0 else None,
        correlation=float(np.corrcoef(a, b)[0, 1]) if varies else None,
        p_sign_flip=sign_flip_p(differences) if n <= MOST_SIGN_FLIPS else None,
    )


def welch(a: Sample, b: Sample, alpha: float = 0.05) -> Difference:
    """Mean of A minus mean of B for runs that share nothing: Welch's t.

        t = (ā − b̄) / √(s_a²/N_a + s_b²/N_b);  effect size (ā − b̄) / √((s_a² + s_b²) / 2)

    The n returned is min(N_a, N_b). The interval of the effect size is that of Welch's t,
    rescaled: exact for equal variances and sizes, close otherwise.

    Source:
        Welch (1947), Biometrika 34, 28–35.
    """
    n_a, mean_a, sd_a = summarise(a)
    n_b, mean_b, sd_b = summarise(b)
    n, mean = min(n_a, n_b), mean_a - mean_b
    sd = math.sqrt((sd_a**2 + sd_b**2) / 2)
    if sd == 0:
        p = 2 * _upper_tail(abs(mean), 0.0, n - 1)
        return Difference(n, mean, 0.0, Interval(mean, mean), p, None, None)
    part_a, part_b = sd_a**2 / n_a, sd_b**2 / n_b
    error = math.sqrt(part_a + part_b)
    df = (part_a + part_b) ** 2 / (part_a**2 / (n_a - 1) + part_b**2 / (n_b - 1))
    half_width = -float(special.stdtrit(df, alpha / 2)) * error
    return Difference(
        n=n,
        mean=mean,
        sd=sd,
        interval=Interval(mean - half_width, mean + half_width),
        p=2 * _upper_tail(abs(mean), error, df),
        effect_size=mean / sd,
        effect_interval=_effect_interval(mean, error, df, error / sd, alpha),
    )


def sign_flip_p(differences: Sample) -> float:
    """Exact two-sided p of "the differences are symmetric about zero".

    If A and B are alike, each difference is as likely as its negative. p is the share of the 2^N
    sign patterns whose |sum| is at least the one seen. No distribution is assumed; the price is
    that p cannot fall below 2^(1 − N), so N ≥ 6 is needed to reach .05.

    Raises:
        AuditError: N > 20.
    """
    n, mean, _ = summarise(differences)
    if n > MOST_SIGN_FLIPS:
        raise AuditError(
            f"The exact sign-flip test enumerates 2^N patterns and takes N ≤ {MOST_SIGN_FLIPS}, "
            f"got {n}; use the t test."
        )
    magnitudes = np.abs(np.asarray(differences, dtype=np.float64))
    # |sum| does not change when all signs turn, so the first sign may stay fixed.
    sums = magnitudes[:1]
    for magnitude in magnitudes[1:]:
        sums = np.concatenate([sums + magnitude, sums - magnitude])
    # Patterns that tie with the one seen must count however their sum was rounded.
    slack = ROUNDING * float(magnitudes.sum())
    return float(np.mean(np.abs(sums) >= abs(mean) * n - slack))


def _effect_interval(
    difference: float, standard_error: float, df: float, scale: float, alpha: float
) -> Interval:
    """Interval of an effect size: those noncentralities under which our t is no surprise."""
    t = difference / standard_error
    reach = 40 + 40 * abs(t)

    def bound(tail: float) -> float:
        root = optimize.brentq(lambda nc: _noncentral_t_cdf(t, df, nc) - tail, -reach, reach)
        return float(root) * scale

    return Interval(bound(1 - alpha / 2), bound(alpha / 2))


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def _noncentral_t_cdf(t: float, df: float, nc: float) -> float:
    """P(T ≤ t) for T = (Z + nc) / √(χ²/df).

    For t > 0 that is Φ(−nc) + ∫₀^∞ φ(x − nc) · P(χ² ≥ df·x²/t²) dx. SciPy's own function gives
    NaN for large |t|, which is what clear-cut comparisons of few seeds produce.
    """
    if t < 0:
        return 1 - _noncentral_t_cdf(-t, df, -nc)
    below = float(special.ndtr(-nc))
    low, high = max(0.0, nc - 9), max(0.0, nc + 9)
    if t == 0 or high == 0:
        return below
    x = low + (high - low) * (_NODES + 1) / 2
    density = np.exp(-((x - nc) ** 2) / 2) / math.sqrt(2 * math.pi)
    integrand = density * special.chdtrc(df, df * (x / t) ** 2)
    return below + float(_WEIGHTS @ integrand) * (high - low) / 2


# Many questions at once


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: the chance of *any* false alarm in the family stays below α.

        p̃₍ᵢ₎ = max over j ≤ i of min(1, (m − j + 1) · p₍ⱼ₎), p sorted upwards

    Args:
        p_values: m p-values of one family declared beforehand; they may depend on each other.

    Returns:
        Adjusted p-values in the order given, each at least its raw one.

    Source:
        Holm (1979), Scand. J. Statist. 6, 65–70.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
    return [float(value) for value in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values: the *share* of false alarms stays below α.

        p̃₍ᵢ₎ = min over j ≥ i of min(1, m/j · p₍ⱼ₎), p sorted upwards

    For maps that are explored (layer × layer), where one false alarm among many is bearable.

    Args:
        p_values: m p-values, independent or positively dependent.

    Returns:
        Adjusted p-values in the order given, each at least its raw one.

    Source:
        Benjamini & Hochberg (1995), J. R. Stat. Soc. B 57, 289–300.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")[::-1]
    adjusted = np.empty_like(p)
    factors = p.size / np.arange(p.size, 0, -1)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(p[order] * factors))
    return [float(value) for value in adjusted]


# What the test set alone leaves open, and how many seeds would do


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


def seeds_for_prediction(
    sd: float, margin: float, alpha: float = 0.05, published_runs: int = 1
) -> int | None:
    """The smallest N whose prediction half-width is at most the margin, if s stays as it is.

    Args:
        sd: s, in the unit of the measurement, ≥ 0.
        margin: In the same unit, > 0.
        published_runs: k, ≥ 1.

    Returns:
        N ≥ 2, or None when no N does: the half-width never falls below z(1 − α/2) · s / √k, because
        more of our seeds do not make the published run scatter less.
    """
    return _fewest(lambda n: prediction_half_width(n, sd, alpha, published_runs) <= margin)


def seeds_for_equivalence(sd: float, room: float, alpha: float = 0.05) -> int | None:
    """The smallest N at which the (1 − 2α) interval, x̄ ± t(N − 1, 1 − α) s/√N, fits into the room.

    Args:
        sd: s, in the unit of the measurement, ≥ 0.
        room: Distance from the mean to the nearest bound, in the same unit, ≥ 0. With the mean at
            the target that is the whole margin: N = 5 needs .95 s, N = 10 needs .58 s.
        alpha: Error rate of each one-sided test, in (0, .5).

    Returns:
        N ≥ 2, or None when even 100,000 would not do.
    """
    return _fewest(lambda n: t_quantile(n, alpha) * sd / math.sqrt(n) <= room) if room else None


def seeds_for_difference(sd: float, difference: float, alpha: float = 0.05) -> int | None:
    """The smallest N at which the mean difference is told from zero, t(N − 1, 1 − α/2) s/√N ≤ |d|.

    Args:
        sd: s of the paired differences, in the unit of the measurement, ≥ 0.
        difference: d, their mean, any sign.

    Returns:
        N ≥ 2, or None when even 100,000 would not do.
    """
    return seeds_for_equivalence(sd, abs(difference), alpha / 2)


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """The smallest N ≥ 2 that is enough, for a condition that stays true once it is."""
    if not enough(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
