"""A against B: the mean of A − B, its interval, its size beside the spread, and whether it is zero.

Samples are as in `statistics`. *Is A better than B?* is asked by seed, `paired_t`, because runs of
one seed share data order and start; of runs that share nothing, `welch` asks it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from fa_audit.audit.statistics import (
    ROUNDING,
    Interval,
    Sample,
    mean_interval,
    mean_p,
    summarise,
    upper_tail,
)
from fa_audit.errors import AuditError

MOST_SIGN_FLIPS = 20
"""The largest N for which all 2^N sign patterns are enumerated."""


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
        p = 2 * upper_tail(abs(mean), 0.0, n - 1)
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
        p=2 * upper_tail(abs(mean), error, df),
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
