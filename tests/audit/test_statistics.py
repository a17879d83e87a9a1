"""The statistics of judging, against tables, other packages, slow twins and simulations."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from fa_audit.audit import statistics as s
from fa_audit.audit.differences import _noncentral_t_cdf, paired_t, sign_flip_p, welch
from fa_audit.audit.multiplicity import benjamini_hochberg, holm
from fa_audit.audit.sample_size import (
    seeds_for_difference,
    seeds_for_equivalence,
    seeds_for_prediction,
)
from fa_audit.errors import AuditError

A = [75.8, 75.1, 76.0, 75.4, 74.9, 75.6, 75.3]
B = [75.2, 75.0, 75.1, 75.3, 74.2, 75.7, 74.6]


def draws(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# Against the tables of the field


@pytest.mark.parametrize(("n", "half_width"), [(3, 4.97), (5, 3.04), (10, 2.37), (20, 2.145)])
def test_prediction_half_widths_in_units_of_s(n: int, half_width: float) -> None:
    assert s.prediction_half_width(n, 1.0) == pytest.approx(half_width, abs=0.005)


@pytest.mark.parametrize(("n", "half_width"), [(3, 2.48), (5, 1.24), (10, 0.715), (20, 0.468)])
def test_the_interval_of_the_mean_is_narrower(n: int, half_width: float) -> None:
    values = draws(n, seed=n)
    ours = s.mean_interval(values).half_width / np.std(values, ddof=1)
    assert ours == pytest.approx(half_width, abs=0.005)
    assert ours < s.prediction_half_width(n, 1.0)


@pytest.mark.parametrize(("n", "margin"), [(5, 0.953), (10, 0.580)])
def test_equivalence_needs_a_margin_of_so_many_s(n: int, margin: float) -> None:
    assert seeds_for_equivalence(1.0, margin + 0.001) == n
    assert seeds_for_equivalence(1.0, margin - 0.001) == n + 1


@pytest.mark.parametrize(("percent", "error"), [(75, 0.43), (36, 0.48)])
def test_ten_thousand_images_leave_half_a_point(percent: float, error: float) -> None:
    assert 100 * s.binomial_standard_error(percent / 100, 10_000) == pytest.approx(error, abs=5e-3)


# Against the textbook and other packages


def test_a_published_mean_of_k_runs_is_predicted_more_narrowly() -> None:
    n, mean, sd = len(A), np.mean(A), np.std(A, ddof=1)
    for k in (1, 4):
        half_width = stats.t.ppf(0.975, n - 1) * sd * np.sqrt(1 / k + 1 / n)
        interval = s.prediction_interval(A, published_runs=k)
        assert interval == pytest.approx((mean - half_width, mean + half_width), rel=1e-12)


def test_prediction_p_is_alpha_at_the_end_of_the_interval() -> None:
    for alpha in (0.05, 0.01):
        for end in s.prediction_interval(A, alpha, 3):
            assert s.prediction_p(A, end, 3) == pytest.approx(alpha, rel=1e-9)


def test_a_reading_error_moves_the_published_number_towards_ours() -> None:
    assert s.prediction_p(A, 78.0, reading_error=0.5) == pytest.approx(s.prediction_p(A, 77.5))
    assert s.prediction_p(A, 75.5, reading_error=1.0) == 1.0


def test_mean_interval_and_p_agree_with_scipy() -> None:
    test = stats.ttest_1samp(A, 75.0)
    assert s.mean_p(A, 75.0) == pytest.approx(test.pvalue, rel=1e-10)
    assert s.mean_interval(A) == pytest.approx(tuple(test.confidence_interval(0.95)), rel=1e-12)


def test_paired_t_agrees_with_scipy() -> None:
    ours, test = paired_t(A, B), stats.ttest_rel(A, B)
    assert ours.p == pytest.approx(test.pvalue, rel=1e-10)
    assert ours.interval == pytest.approx(tuple(test.confidence_interval(0.95)), rel=1e-10)
    assert ours.correlation == pytest.approx(stats.pearsonr(A, B).statistic, rel=1e-10)
    assert ours.effect_size == pytest.approx(test.statistic / np.sqrt(len(A)), rel=1e-10)


def test_welch_agrees_with_scipy() -> None:
    ours, test = welch(A, B[:4]), stats.ttest_ind(A, B[:4], equal_var=False)
    assert ours.p == pytest.approx(test.pvalue, rel=1e-10)
    assert ours.interval == pytest.approx(tuple(test.confidence_interval(0.95)), rel=1e-10)
    assert ours.n == 4
    assert ours.correlation is None


def test_equivalence_is_two_one_sided_t_tests() -> None:
    ours = s.equivalence_test(A, 75.0, 76.5)
    above = stats.ttest_1samp(A, 75.0, alternative="greater").pvalue
    below = stats.ttest_1samp(A, 76.5, alternative="less").pvalue
    assert ours.p_inside == pytest.approx(max(above, below), rel=1e-10)


def test_outside_is_a_two_sided_t_test_of_the_nearer_bound() -> None:
    for low, high, bound in [(70.0, 75.0, 75.0), (75.6, 80.0, 75.6)]:
        outside = s.equivalence_test(A, low, high).p_outside
        assert outside == pytest.approx(stats.ttest_1samp(A, bound).pvalue)
    assert s.equivalence_test(A, 75.0, 76.5).p_outside == 1.0


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_equivalence_holds_exactly_when_the_interval_lies_inside(alpha: float) -> None:
    interval = s.equivalence_test(A, 0, 100, alpha).interval
    for shift, inside in [(-1e-6, True), (1e-6, False)]:
        test = s.equivalence_test(A, interval.low + shift, 100, alpha)
        assert (test.p_inside <= alpha) is inside
        test = s.equivalence_test(A, 0, interval.high - shift, alpha)
        assert (test.p_inside <= alpha) is inside


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_mean_is_outside_exactly_when_the_wider_interval_is(alpha: float) -> None:
    interval = s.mean_interval(A, alpha)
    for shift, outside in [(-1e-6, True), (1e-6, False)]:
        test = s.equivalence_test(A, 0, interval.low + shift, alpha)
        assert (test.p_outside <= alpha) is outside
        test = s.equivalence_test(A, interval.high - shift, 100, alpha)
        assert (test.p_outside <= alpha) is outside


@pytest.mark.parametrize("n", [2, 5, 6, 9])
def test_sign_flips_are_enumerated(n: int) -> None:
    differences = draws(n, seed=n) + 0.5
    seen = abs(differences.sum())
    patterns = [np.dot(signs, differences) for signs in itertools.product((1, -1), repeat=n)]
    twin = np.mean([abs(total) >= seen - 1e-12 for total in patterns])
    assert sign_flip_p(differences) == pytest.approx(twin, abs=1e-15)


@pytest.mark.parametrize("n", [5, 6, 20])
def test_the_smallest_sign_flip_p_is_two_to_the_one_minus_n(n: int) -> None:
    assert sign_flip_p([0.1] * n) == 2.0 ** (1 - n)
    assert (sign_flip_p([0.1] * n) <= 0.05) is (n >= 6)


def test_too_many_sign_flips_are_refused() -> None:
    with pytest.raises(AuditError, match="N ≤ 20, got 21"):
        sign_flip_p([1.0] * 21)
    assert paired_t(range(1, 22), [0.0] * 21).p_sign_flip is None


@pytest.mark.parametrize(
    ("t", "df", "nc"),
    [(2, 4, 1), (-1, 9, 0.5), (75, 9, 70), (40, 19, 30), (0.3, 2.7, -4), (0, 3, 1)],
)
def test_noncentral_t_agrees_with_scipy_where_scipy_has_a_number(
    t: float, df: float, nc: float
) -> None:
    assert _noncentral_t_cdf(t, df, nc) == pytest.approx(stats.nct.cdf(t, df, nc), abs=1e-12)


def test_the_interval_of_an_effect_size_survives_a_clear_cut_pair_of_seeds() -> None:
    difference = paired_t([75.8, 75.9], [35.8, 35.90001])
    assert difference.effect_size is not None
    assert difference.effect_interval is not None
    low, high = difference.effect_interval
    assert 0 < low < difference.effect_size < high < math.inf


# Many questions at once


def holm_twin(p: list[float]) -> list[float]:
    """Rejected at level α exactly when every smaller p passes its own α / (those left)."""
    m = len(p)
    return [min(1.0, max((m - sum(r < q for r in p)) * q for q in p if q <= one)) for one in p]


def test_holm_is_its_step_down_definition() -> None:
    p = [0.01, 0.04, 0.03, 0.005, 0.8]
    assert holm(p) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.8])
    for seed in range(20):
        random = list(np.random.default_rng(seed).uniform(size=7) ** 2)
        assert holm(random) == pytest.approx(holm_twin(random), rel=1e-12)


def test_benjamini_hochberg_agrees_with_scipy() -> None:
    for seed in range(20):
        p = np.random.default_rng(seed).uniform(size=9) ** 2
        assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))


def test_one_question_needs_no_adjustment() -> None:
    assert holm([0.03]) == benjamini_hochberg([0.03]) == [0.03]
    assert holm([]) == benjamini_hochberg([]) == []


# How many seeds would do


@pytest.mark.parametrize("margin", [2.2, 2.5, 3.0, 4.0, 16.0])
def test_seeds_for_prediction_is_the_smallest_number_that_will_do(margin: float) -> None:
    n = seeds_for_prediction(1.0, margin)
    assert n is not None
    assert s.prediction_half_width(n, 1.0) <= margin
    assert n == 2 or s.prediction_half_width(n - 1, 1.0) > margin


def test_no_number_of_seeds_makes_a_published_run_scatter_less() -> None:
    assert seeds_for_prediction(1.0, 1.95) is None
    assert seeds_for_prediction(1.0, 1.95, published_runs=4) is not None


@pytest.mark.parametrize("difference", [0.2, -0.5, 1.0, 3.0])
def test_seeds_for_difference_is_where_the_interval_leaves_zero(difference: float) -> None:
    n = seeds_for_difference(1.0, difference)
    assert n is not None
    assert s.t_quantile(n, 0.025) / math.sqrt(n) <= abs(difference)
    assert s.t_quantile(n - 1, 0.025) / math.sqrt(n - 1) > abs(difference)


def test_no_number_of_seeds_tells_equals_apart() -> None:
    assert seeds_for_difference(1.0, 0.0) is None
    assert seeds_for_difference(1.0, 1e-9) is None
    assert seeds_for_equivalence(1.0, 0.0) is None


# Samples at the edge


def test_a_constant_sample_is_judged_exactly() -> None:
    constant = [0.1] * 3
    assert s.summarise(constant) == (3, 0.1, 0.0)
    assert s.prediction_interval(constant) == (0.1, 0.1)
    assert (s.prediction_p(constant, 0.1), s.prediction_p(constant, 0.2)) == (1.0, 0.0)
    assert (s.mean_p(constant, 0.1), s.mean_p(constant, 0.2)) == (1.0, 0.0)
    inside, outside = s.equivalence_test(constant, 0, 1), s.equivalence_test(constant, 1, 2)
    assert (inside.p_inside, inside.p_outside) == (0.0, 1.0)
    assert (outside.p_inside, outside.p_outside) == (1.0, 0.0)
    edge = s.equivalence_test(constant, 0.1, 1)
    assert (edge.p_inside, edge.p_outside) == (0.5, 1.0)


def test_values_equal_but_for_rounding_do_not_differ() -> None:
    difference = paired_t([0.1 + 0.2, 0.3, 1.1 + 2.2], [0.3, 0.1 + 0.2, 3.3])
    assert (difference.mean, difference.sd, difference.p) == (0.0, 0.0, 1.0)
    steady = paired_t([75.8, 75.9, 76.0], [75.3, 75.4, 75.5])
    assert (steady.sd, steady.p, steady.effect_size, steady.effect_interval) == (0, 0, None, None)


def test_welch_of_constants() -> None:
    assert welch([1.0, 1.0], [1.0, 1.0]).p == 1.0
    assert welch([2.0, 2.0], [1.0, 1.0]).p == 0.0


def test_two_seeds_have_no_correlation_worth_the_name() -> None:
    assert paired_t([1.0, 2.0], [1.0, 3.0]).correlation is None


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf], [[1.0], [2.0]]])
def test_what_is_no_sample_is_refused(values: list[float]) -> None:
    with pytest.raises(AuditError):
        s.summarise(values)


def test_unpaired_lists_are_refused() -> None:
    with pytest.raises(AuditError, match="got 2 and 3"):
        paired_t([1.0, 2.0], [1.0, 2.0, 3.0])


@pytest.mark.parametrize(("accuracy", "images"), [(75, 10), (-0.1, 10), (0.5, 0)])
def test_percentages_are_not_fractions(accuracy: float, images: int) -> None:
    with pytest.raises(AuditError, match="between 0 and 1"):
        s.binomial_standard_error(accuracy, images)


# Simulations: each statement that holds "with probability" is counted. 4,000 studies leave a
# standard error of .0034 on a rate of .05; the bounds are four of them.

STUDIES = 4_000
SLACK = 4 * math.sqrt(0.05 * 0.95 / STUDIES)


@pytest.mark.parametrize(("n", "k"), [(3, 1), (5, 1), (5, 3)])
def test_prediction_intervals_cover_what_they_promise(n: int, k: int) -> None:
    ours, theirs = draws(STUDIES, n, seed=10 * n + k), draws(STUDIES, k, seed=77).mean(axis=1)
    covered = 0
    wrongly_rejected_by_the_mean = 0
    for run, published in zip(ours, theirs, strict=True):
        low, high = s.prediction_interval(run, published_runs=k)
        covered += low <= published <= high
        low, high = s.mean_interval(run)
        wrongly_rejected_by_the_mean += not low <= published <= high
    assert covered / STUDIES == pytest.approx(0.95, abs=SLACK)
    assert wrongly_rejected_by_the_mean / STUDIES > 0.15


def test_equivalence_errs_at_the_margin_with_alpha() -> None:
    samples = 0.5 + draws(STUDIES, 6, seed=3)
    claimed = [s.equivalence_test(one, -4.0, 0.5).p_inside <= 0.05 for one in samples]
    denied = [s.equivalence_test(one, 0.5, 9.0).p_outside <= 0.05 for one in samples]
    assert np.mean(claimed) == pytest.approx(0.05, abs=SLACK)
    assert np.mean(denied) == pytest.approx(0.025, abs=SLACK)


def test_a_mean_between_near_bounds_is_denied_with_alpha() -> None:
    """Either bound can be missed: two tests with α each would deny it twice as often."""
    samples = draws(STUDIES, 6, seed=9)
    denied = [s.equivalence_test(one, -0.001, 0.001).p_outside <= 0.05 for one in samples]
    assert np.mean(denied) == pytest.approx(0.05, abs=SLACK)


def test_intervals_of_effect_sizes_cover_the_effect() -> None:
    samples = 1.2 + draws(500, 5, seed=4)
    covered = 0
    for one in samples:
        interval = paired_t(one, np.zeros(5)).effect_interval
        assert interval is not None
        covered += interval.low <= 1.2 <= interval.high
    assert covered / 500 == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / 500))


def test_sign_flips_err_with_at_most_alpha() -> None:
    samples = np.random.default_rng(5).laplace(size=(STUDIES, 7))
    assert np.mean([sign_flip_p(one) <= 0.05 for one in samples]) <= 0.05 + SLACK


def test_holm_keeps_the_rate_of_any_false_alarm() -> None:
    samples = draws(1_000, 5, 6, seed=6)
    alarms = [min(holm([s.mean_p(one, 0.0) for one in family])) <= 0.05 for family in samples]
    raw = [min(s.mean_p(one, 0.0) for one in family) <= 0.05 for family in samples]
    assert np.mean(alarms) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 1_000)
    assert np.mean(raw) > 0.15
