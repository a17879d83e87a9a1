"""Statistics that are wrong in one way each."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fa_audit.audit.differences import Difference, paired_t, sign_flip_p, welch
from fa_audit.audit.multiplicity import holm
from fa_audit.audit.statistics import (
    Equivalence,
    Sample,
    Summary,
    equivalence_test,
    mean_interval,
    prediction_half_width,
    summarise,
    t_quantile,
)
from mutations.registry import broken, replace_function


@broken
def holm_without_the_step_down(patch: pytest.MonkeyPatch) -> None:
    """Every p-value is multiplied by the size of the family: Bonferroni."""

    def wrong(p_values: Sequence[float]) -> list[float]:
        return [min(1.0, len(p_values) * p) for p in p_values]

    replace_function(patch, holm, wrong)


@broken
def holm_not_monotone(patch: pytest.MonkeyPatch) -> None:
    """Holm's adjusted p-values are not kept in the order of the raw ones."""

    def wrong(p_values: Sequence[float]) -> list[float]:
        rank = np.argsort(np.argsort(p_values))
        return [min(1.0, (len(p_values) - i) * p) for i, p in zip(rank, p_values, strict=True)]

    replace_function(patch, holm, wrong)


@broken
def interval_of_the_mean_for_prediction(patch: pytest.MonkeyPatch) -> None:
    """A published run is looked for where our mean lies, not where a run lies."""

    def wrong(n: int, sd: float, alpha: float = 0.05, published_runs: int = 1) -> float:
        return t_quantile(n, alpha / 2) * sd / math.sqrt(n)

    replace_function(patch, prediction_half_width, wrong)


@broken
def spread_divided_by_n(patch: pytest.MonkeyPatch) -> None:
    """The standard deviation of N runs has the divisor N."""

    def wrong(values: Sample) -> Summary:
        n, mean, sd = summarise(values)
        return Summary(n, mean, sd * math.sqrt((n - 1) / n))

    replace_function(patch, summarise, wrong)


@broken
def equivalence_by_the_wide_interval(patch: pytest.MonkeyPatch) -> None:
    """Two one-sided tests are said to go with the (1 − α) interval."""

    def wrong(values: Sample, low: float, high: float, alpha: float = 0.05) -> Equivalence:
        found = equivalence_test(values, low, high, alpha)
        return replace(found, interval=mean_interval(values, alpha))

    replace_function(patch, equivalence_test, wrong)


@broken
def pairs_ignored(patch: pytest.MonkeyPatch) -> None:
    """Runs that share a seed are compared as if they shared nothing."""

    def wrong(a: Sample, b: Sample, alpha: float = 0.05) -> Difference:
        return replace(paired_t(a, b, alpha), p=welch(a, b, alpha).p)

    replace_function(patch, paired_t, wrong)


@broken
def one_sided_sign_flips(patch: pytest.MonkeyPatch) -> None:
    """The exact test counts one direction only, which halves its p."""
    replace_function(patch, sign_flip_p, lambda differences: sign_flip_p(differences) / 2)
