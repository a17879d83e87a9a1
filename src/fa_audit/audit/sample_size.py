"""How many seeds would do: the smallest N that settles a question, if s stays as it is."""

import math
from collections.abc import Callable

from fa_audit.audit.statistics import prediction_half_width, t_quantile

MOST_SEEDS = 100_000
"""Where the search for a sufficient number of seeds gives up: nobody will train that many."""


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
