"""The slope with clusters: against twins, theorems of classical statistics, and by simulation."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from audit.calibration import exceeds
from fa_audit.audit.regression import Array, Slope, clustered_slope, indicators
from oracles import regression_twins as twins

ALPHA = 0.05


class Design(NamedTuple):
    """Runs of rules, each with some configurations, each of those with some seeds."""

    rules: list[int]
    configurations: list[int]
    seeds: list[int]

    @property
    def held(self) -> Array:
        """Indicators of rules and seeds."""
        return np.hstack([indicators(self.rules), indicators(self.seeds)])


def design(shape: Sequence[tuple[int, int]]) -> Design:
    """(configurations, seeds) of each rule."""
    cells = [
        (rule, configuration, seed)
        for rule, (configurations, seeds) in enumerate(shape)
        for configuration in range(configurations)
        for seed in range(seeds)
    ]
    names = list(dict.fromkeys((rule, configuration) for rule, configuration, _ in cells))
    return Design(
        [rule for rule, _, _ in cells],
        [names.index((rule, configuration)) for rule, configuration, _ in cells],
        [seed for _, _, seed in cells],
    )


UNEVEN = design([(3, 2), (1, 4), (4, 3), (2, 1), (1, 1)])


def interval(slope: Slope) -> tuple[float, float]:
    assert slope.coefficient.interval is not None, slope.coefficient.reason
    return tuple(slope.coefficient.interval)


def of(y: Array, x: Array, held: Array, clusters: Sequence[object]) -> Slope:
    return clustered_slope(y, x, held, clusters, "cluster")


@given(st.integers(0, 10_000))
def test_the_slope_is_the_coefficient_in_the_whole_design(seed: int) -> None:
    x, y, z = np.random.default_rng(seed).standard_normal((3, len(UNEVEN.rules)))
    held = np.column_stack([UNEVEN.held, z])
    found = of(y, x, held, UNEVEN.configurations).coefficient.value
    assert found == pytest.approx(twins.first_coefficient(y, x, held), abs=1e-10)
    left_x, left_y = twins.residual(x, held), twins.residual(y, held)
    assert found == pytest.approx(twins.first_coefficient(left_y, left_x), abs=1e-10)


@given(st.integers(0, 10_000))
def test_variance_and_degrees_of_freedom_are_those_of_the_twin(seed: int) -> None:
    x, y = np.random.default_rng(seed).standard_normal((2, len(UNEVEN.rules)))
    found = of(y, x, UNEVEN.held, UNEVEN.configurations)
    variance, df = twins.cr2(y, x, UNEVEN.held, UNEVEN.configurations)
    low, high = interval(found)
    assert found.coefficient.df == pytest.approx(df, rel=1e-8)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, df) * math.sqrt(variance), rel=1e-8)


def test_two_groups_of_one_size_give_students_interval() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 6))
    group = np.repeat([1.0, 0.0], 6)
    found = of(np.concatenate([a, b]), group, np.ones((12, 1)), range(12))
    assert interval(found) == pytest.approx(stats.ttest_ind(a, b).confidence_interval(), rel=1e-10)
    assert found.coefficient.df == pytest.approx(10)


def test_whole_clusters_in_two_groups_give_students_interval_of_their_means() -> None:
    values = np.random.default_rng(1).standard_normal((10, 3))
    group, clusters = np.repeat([1.0, 0.0], 15), np.repeat(np.arange(10), 3)
    found = of(values.ravel(), group, np.ones((30, 1)), clusters.tolist())
    means = values.mean(axis=1)
    expected = stats.ttest_ind(means[:5], means[5:]).confidence_interval()
    assert interval(found) == pytest.approx(expected, rel=1e-10)


def test_correlation_is_pearsons_where_nothing_is_held_fixed() -> None:
    x, y = np.random.default_rng(2).standard_normal((2, 20))
    found = of(y, x, np.ones((20, 1)), range(20)).correlation.value
    assert found == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)


def test_partial_correlation_is_that_of_the_inverse_matrix() -> None:
    x, y, *z = np.random.default_rng(3).standard_normal((4, 20))
    held = np.column_stack(z)
    found = of(y, x, np.column_stack([np.ones(20), held]), range(20)).correlation.value
    assert found == pytest.approx(twins.partial_correlation(y, x, held), abs=1e-12)


@given(st.integers(0, 10_000))
def test_both_intervals_leave_out_zero_together_and_none_leaves_the_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(len(UNEVEN.rules))
    y = rng.uniform(-4, 4) * x + rng.standard_normal(len(x))
    slope, correlation = of(y, x, UNEVEN.held, UNEVEN.configurations)
    assert slope.interval is not None
    assert correlation.interval is not None
    assert [math.copysign(1, end) for end in slope.interval] == [
        math.copysign(1, end) for end in correlation.interval
    ]
    assert -1 <= correlation.interval.low <= correlation.value <= correlation.interval.high <= 1


def test_neither_order_nor_units_nor_collinear_columns_matter() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((2, len(UNEVEN.rules)))
    held, clusters = UNEVEN.held, np.array(UNEVEN.configurations)
    expected = of(y, x, held, UNEVEN.configurations)
    order = rng.permutation(len(x))
    collinear = np.column_stack([held * 1e-6, held @ rng.standard_normal(held.shape[1]), 0 * x])
    for found in (
        of(y[order], x[order], held[order], clusters[order].tolist()),
        of(y, x, collinear, UNEVEN.configurations),
        of(y + 7, x - 3, held, [f"c{cluster}" for cluster in clusters]),
    ):
        assert interval(found) == pytest.approx(interval(expected), rel=1e-9)
        assert found.coefficient.value == pytest.approx(expected.coefficient.value, rel=1e-9)


# What cannot be estimated is said, not invented


def test_three_clusters_give_a_value_without_interval() -> None:
    x, y = np.random.default_rng(5).standard_normal((2, 9))
    clusters = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for found in clustered_slope(y, x, np.ones((9, 1)), clusters, "rule"):
        assert found.value is not None
        assert found.interval is None
        assert found.reason == "3 rules"


def test_a_cluster_without_part_in_the_slope_is_not_counted() -> None:
    """Five rules of which one has a single run: its indicator takes all of it."""
    shape = design([(1, 3)] * 4 + [(1, 1)])
    x, y = np.random.default_rng(6).standard_normal((2, len(shape.rules)))
    found = of(y, x, shape.held, shape.configurations).coefficient
    assert found.clusters == 4
    without = design([(1, 3)] * 4)
    expected = of(y[:-1], x[:-1], without.held, without.configurations)
    assert found.interval == pytest.approx(interval(expected), rel=1e-8)


@pytest.mark.parametrize(
    ("x", "y", "held", "reason"),
    [
        ([1.0] * 6, [1, 2, 3, 4, 5, 7], np.ones((6, 1)), "the predictor does not vary"),
        ([1, 2, 3, 4, 5, 7], [10.0] * 6, np.ones((6, 1)), "the outcome does not vary"),
        ([1, 2, 3, 4, 5, 7], [1, 2, 1, 2, 1, 2], np.eye(6), "as much is held fixed as"),
        ([1, 2, 3, 4, 5, 7], [1, 2, 1, 2, 1, 2], np.eye(6)[:, 1:], "as much is held fixed as"),
    ],
)
def test_what_leaves_nothing_has_no_value(
    x: list[float], y: list[float], held: Array, reason: str
) -> None:
    for found in of(np.array(y, float), np.array(x, float), held, range(6)):
        assert found.value is None
        assert found.interval is None
        assert found.reason.startswith(reason)


def test_a_cluster_whose_residuals_are_always_zero_leaves_the_variance_unknown() -> None:
    """The first observation is fitted by x alone: what y does there is never a residual."""
    x = np.array([1.0, 1e-3, -1e-3, 1e-3, -1e-3])
    held = np.array([[0.0], [1], [1], [1], [1]])
    y = np.random.default_rng(7).standard_normal(5)
    found = of(y, x, held, range(5)).coefficient
    assert found.interval is not None
    x[1:] = 2e-5 * np.array([1, -1, 1, -1])
    found = of(y, x, held, range(5)).coefficient
    assert found.interval is None
    assert found.reason == "one cluster decides, and the fit leaves it no residual"


# Simulations: intervals of a slope that is zero leave zero out in .05 of studies

SHAPES = {
    "published settings": [(1, 5)] * 4,
    "small grids": [(3, 2)] * 4,
    "uneven grids": [(6, 2), (9, 2), (9, 2), (9, 2), (4, 2)],
    "one rule": [(9, 2)],
}


def simulated(shape: Design, rng: np.random.Generator, spread: float) -> tuple[Array, Array]:
    """x and y with effects of rule, configuration, seed and run each, and nothing between them.

    Every second rule scatters `spread` times as much in both.
    """

    def draw() -> Array:
        of_rule, of_configuration, of_seed, of_run = (
            rng.standard_normal(max(labels) + 1)[labels]
            for labels in (*shape, range(len(shape.rules)))
        )
        scale = np.where(np.array(shape.rules) % 2, 1, spread)
        drawn: Array = 5 * of_rule + of_seed + scale * (of_configuration + of_run / 2)
        return drawn

    return draw(), draw()


def rejections(
    name: str, spread: float, studies: int, held: str = "rule and seed", clusters: str = "own"
) -> float:
    """How often the interval leaves out zero."""
    rng = np.random.default_rng(len(name))
    shape, rejected = design(SHAPES[name]), 0
    fixed = shape.held if held == "rule and seed" else indicators(shape.rules)
    groups = shape.configurations if clusters == "own" else list(range(len(shape.rules)))
    for _ in range(studies):
        x, y = simulated(shape, rng, spread)
        low, high = interval(of(y, x, fixed, groups))
        rejected += not low <= 0 <= high
    return rejected / studies


@pytest.mark.parametrize("name", SHAPES)
def test_no_association_is_found_where_there_is_none(name: str) -> None:
    assert not exceeds(rejections(name, 5, 150), ALPHA, 150)


def test_runs_taken_for_independent_are_seen_to_find_too_much() -> None:
    assert exceeds(rejections("small grids", 1, 300, clusters="single runs"), ALPHA, 300)


def test_seeds_left_free_are_seen_to_find_too_much() -> None:
    assert exceeds(rejections("published settings", 1, 300, held="rule"), ALPHA, 300)


@pytest.mark.deep
@pytest.mark.parametrize("spread", [1, 2, 5])
@pytest.mark.parametrize("name", SHAPES)
def test_the_rate_is_nominal_or_below(name: str, spread: float) -> None:
    rate = rejections(name, spread, 4_000)
    assert not exceeds(rate, ALPHA, 4_000)
    assert rate > 0.015
