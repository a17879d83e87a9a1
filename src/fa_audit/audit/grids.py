"""Grids: whether a search comes out with the same configuration again, and whether at an edge.

A search trains every configuration of a grid once and takes the one with the highest measurement.
Our runs of one seed are one search, so N seeds are N searches, and how often one of them comes out
with a given configuration is binomial, whatever the distribution of the measurements. A search may
end in a tie; it counts as won where that tells against what is to be shown.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fa_audit.audit.sample_size import MOST_SEEDS
from fa_audit.audit.statistics import ROUNDING, Interval


@dataclass(frozen=True)
class Wins:
    """How often one configuration comes first in N searches of its grid."""

    n: int
    alone: int
    """Searches in which every other configuration is below it."""
    shared: int
    """Searches in which another configuration is level with it, and none above."""

    @property
    def p_most(self) -> float:
        """p of "it wins half of all searches or fewer": P(B ≥ alone), B ~ Binomial(N, ½)."""
        return float(special.bdtrc(self.alone - 1, self.n, 0.5)) if self.alone else 1.0

    @property
    def p_fewest(self) -> float:
        """p of "it wins half of all searches or more": P(B ≤ alone + shared)."""
        return float(special.bdtr(self.alone + self.shared, self.n, 0.5))


def count_wins(numbers: Mapping[str, NDArray[np.float64]], configuration: str) -> Wins:
    """In how many searches a configuration comes first.

    Args:
        numbers: Configuration → its measurements, search by search; two configurations or more.
        configuration: One of them.
    """
    own = numbers[configuration]
    best = np.max([values for name, values in numbers.items() if name != configuration], axis=0)
    return Wins(own.size, int(np.sum(own > best)), int(np.sum(own == best)))


def share_interval(wins: int, n: int, alpha: float = 0.05) -> Interval:
    """The exact (1 − α) confidence interval of a share of which `wins` in `n` were seen.

        [β(α/2; w, n − w + 1), β(1 − α/2; w + 1, n − w)], β the quantiles of the beta distribution

    Source:
        Clopper & Pearson (1934), Biometrika 26, 404–413.
    """
    low = special.betaincinv(wins, n - wins + 1, alpha / 2) if wins else 0.0
    high = special.betaincinv(wins + 1, n - wins, 1 - alpha / 2) if wins < n else 1.0
    return Interval(float(low), float(high))


def searches_for_majority(wins: Wins, alpha: float = 0.05) -> int | None:
    """The smallest number of searches that settles on which side of one half the share lies.

    The share is taken to be (w + ½) / (N + 1), since three wins in three do not make a share of 1.

    Args:
        wins: What was seen so far.
        alpha: Error rate of each side, in (0, .5).

    Returns:
        N ≥ 2, or None where no side is favoured or even 100,000 would not do.
    """
    share = (max(wins.alone, wins.n - wins.alone - wins.shared) + 0.5) / (wins.n + 1)
    if share <= 0.5:
        return None
    # By the normal approximation, a quarter of this range would do.
    reach = 4 * (special.ndtri(alpha) / (2 * share - 1)) ** 2 + 10
    n = np.arange(2, min(int(reach), MOST_SEEDS) + 1)
    expected = np.floor(share * n + ROUNDING)
    enough = np.flatnonzero(special.bdtrc(expected - 1, n, 0.5) <= alpha)
    return int(n[enough[0]]) if enough.size else None


def edges(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """On which axes a configuration stands at the edge of its grid: the best may lie beyond.

    An axis is a numerical setting with three values or more; of two, none is inside.

    Args:
        settings: Configuration → its settings.

    Returns:
        Configuration → its edges in words, such as "learning_rate = 0.001 is the lowest of 3".
    """
    found: dict[str, tuple[str, ...]] = {}
    axes = {name: values for name in _names(settings) if (values := _axis(settings, name))}
    for configuration, own in settings.items():
        found[configuration] = tuple(
            f"{name} = {own[name]:g} is the {'lowest' if own[name] == values[0] else 'highest'} "
            f"of {len(values)}"
            for name, values in axes.items()
            if own[name] in (values[0], values[-1])
        )
    return found


def _names(settings: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    return sorted({name for own in settings.values() for name in own})


def _axis(settings: Mapping[str, Mapping[str, Any]], name: str) -> list[float]:
    """The values of a setting in rising order; none where it is no axis."""
    values = {own.get(name, math.nan) for own in settings.values()}
    numeric = all(type(value) in (int, float) and math.isfinite(value) for value in values)
    return sorted(values) if numeric and len(values) > 2 else []
