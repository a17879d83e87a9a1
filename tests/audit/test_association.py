"""Accuracy and similarity in invented runs whose truth is known."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from audit.calibration import exceeds
from audit.invented_pairs import evidence_of, pair, row
from fa_audit.audit.association import Association, associate, association
from fa_audit.audit.association_text import association_text, sentences, sign
from fa_audit.audit.paired_runs import PairedRun
from fa_audit.audit.regression import Estimate
from oracles import regression_twins as twins

ALPHA = 0.05

RATES = (3e-4, 1e-3, 3e-3, 1e-2)


def invented(
    between: float,
    within: float,
    seed: int = 0,
    rules: int = 5,
    configurations: int = 4,
    seeds: int = 2,
    noise: float = 1.0,
    of_rate: float = 0.0,
    rate_of: float = 0.0,
) -> list[PairedRun]:
    """Runs of rules; `between` and `within` are points of accuracy per .1 of CKA.

    A tenfold learning rate adds `of_rate` points of accuracy and `rate_of` to the similarity.
    """
    rng = np.random.default_rng(seed)
    start = rng.standard_normal((2, seeds))
    runs = []
    for rule in range(rules):
        mean = 0.2 + 0.6 * rule / (rules - 1)
        off = rng.standard_normal() / 2
        for number in range(configurations):
            decade = math.log10(RATES[number % len(RATES)]) + 2.75
            shift = 0.03 * rng.standard_normal() + rate_of * decade
            error = noise * rng.standard_normal() + of_rate * decade
            for at in range(seeds):
                moved = shift + 0.01 * (start[0, at] + rng.standard_normal())
                accuracy = 50 + off + 10 * (between * (mean - 0.5) + within * moved) + error
                accuracy += start[1, at] + noise * rng.standard_normal() / 3
                settings = {"learning_rate": RATES[number % len(RATES)]}
                runs.append(row(f"r{rule}", number, at, accuracy, mean + moved, settings))
    return runs


def bracket(estimate: Estimate) -> tuple[float, float]:
    assert estimate.interval is not None, estimate.reason
    return tuple(estimate.interval)


def holds(estimate: Estimate, truth: float) -> bool:
    low, high = bracket(estimate)
    return low <= truth <= high


def columns(runs: Sequence[PairedRun], *names: str) -> list[np.ndarray]:
    """One indicator for each distinct value of each of these attributes."""
    found = []
    for name in names:
        labels = [getattr(run, name) for run in runs]
        found += [np.array([float(one == label) for one in labels]) for label in set(labels)]
    return found


def numbers(runs: Sequence[PairedRun]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([run.accuracy for run in runs]), np.array([10 * run.mean for run in runs])


# Known truths


def test_an_association_between_rules_alone_is_found_there_alone() -> None:
    found = association(invented(between=8.0, within=0.0))
    assert found.correlation.value == pytest.approx(1, abs=0.05)
    assert sign(found.correlation) == 1
    assert sign(found.between) == 1
    assert holds(found.between, 8.0)
    assert sign(found.within) == sign(found.adjusted) == sign(found.partial) == 0
    assert "that it tells runs of one rule apart is not shown" in " ".join(sentences(found))


def test_simpsons_paradox_is_seen() -> None:
    found = association(invented(between=8.0, within=-6.0, noise=0.3))
    assert sign(found.correlation) == sign(found.between) == 1
    assert sign(found.within) == sign(found.adjusted) == sign(found.partial) == -1
    assert holds(found.between, 8.0)
    assert holds(found.adjusted, -6.0)
    assert "Simpson's paradox" in " ".join(sentences(found))


def test_an_association_that_a_setting_makes_goes_when_the_setting_is_held_fixed() -> None:
    found = association(invented(8.0, 0.0, configurations=12, of_rate=20.0, rate_of=0.1))
    assert sign(found.within) == 1
    assert sign(found.adjusted) == 0
    assert holds(found.adjusted, 0.0)


def test_one_that_is_there_beside_the_setting_stays() -> None:
    found = association(invented(8.0, 5.0, configurations=12, noise=0.3, of_rate=9.0, rate_of=0.1))
    assert sign(found.adjusted) == 1
    assert holds(found.adjusted, 5.0)
    assert "in the same direction, between rules and within them" in " ".join(sentences(found))
    assert all(sign(rule.over_settings) == 1 for rule in found.by_rule)


def test_the_settings_held_fixed_are_rate_scale_no_scale_and_decay() -> None:
    rng = np.random.default_rng(8)
    runs = [
        row(
            f"r{number % 4}",
            number,
            seed,
            rng.normal(50, 5),
            rng.uniform(),
            {
                "learning_rate": RATES[rng.integers(4)],
                "feedback_scale": [None, 0.01, 0.1, 0.5][rng.integers(4)],
                "weight_decay": [0.0, 1e-4][rng.integers(2)],
            },
        )
        for number in range(40)
        for seed in range(2)
    ]
    y, x = numbers(runs)
    scales = [run.feedback_scale for run in runs]
    by_hand = [
        *columns(runs, "rule", "seed"),
        np.array([math.log(run.learning_rate) for run in runs]),
        np.array([0.0 if scale is None else math.log(scale) for scale in scales]),
        np.array([float(scale is None) for scale in scales]),
        np.array([float(run.weight_decay > 0) for run in runs]),
    ]
    expected = twins.first_coefficient(y, x, *by_hand)
    found = association(runs)
    assert found.adjusted.value == pytest.approx(expected, abs=1e-9)
    left = [twins.residual(value, np.column_stack(by_hand)) for value in (y, x)]
    assert found.partial.value == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-9)
    assert expected != pytest.approx(twins.first_coefficient(y, x, *by_hand[:-1]), abs=1e-3)


def test_both_parts_are_the_coefficients_of_one_hybrid_regression() -> None:
    """Mundlak's, where all rules have as many runs: rule means and deviations side by side."""
    runs = invented(between=8.0, within=3.0, seed=4)
    y, x = numbers(runs)
    rules = [run.rule for run in runs]
    mean = np.array([np.mean(x[[other == rule for other in rules]]) for rule in rules])
    seeds = columns(runs, "seed")
    found = association(runs)
    between = twins.first_coefficient(y, mean, x - mean, *seeds)
    within = twins.first_coefficient(y, x - mean, mean, *seeds)
    assert found.between.value == pytest.approx(between, abs=1e-9)
    assert found.within.value == pytest.approx(within, abs=1e-9)
    by_dummies = twins.first_coefficient(y, x, *columns(runs, "rule", "seed"))
    assert found.within.value == pytest.approx(by_dummies, abs=1e-9)


def test_what_is_left_within_one_rule_is_the_correlation_of_residuals() -> None:
    runs = invented(between=8.0, within=3.0, seed=5, configurations=8, seeds=5)
    rule = association(runs).by_rule[2]
    own = [run for run in runs if run.rule == rule.rule]
    y, x = numbers(own)
    rate = np.array([math.log(run.learning_rate) for run in own])
    for estimate, held in (
        (rule.over_settings, [*columns(own, "seed"), rate]),
        (rule.over_seeds, columns(own, "run")),
    ):
        left = [twins.residual(value, np.column_stack(held)) for value in (y, x)]
        assert estimate.value == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-9)
        bracket(estimate)
    assert (rule.over_settings.clusters, rule.over_seeds.clusters) == (8, 5)


def test_the_raw_correlation_is_pearsons() -> None:
    runs = invented(between=2.0, within=0.0, noise=5.0)
    expected = np.corrcoef(*numbers(runs))[0, 1]
    assert association(runs).correlation.value == pytest.approx(expected, abs=1e-12)


def test_a_rule_with_more_runs_weighs_no_more_between_rules() -> None:
    runs = invented(between=8.0, within=0.0)
    doubled = [*runs, *(row("r0", 9, run.seed, run.accuracy, run.mean) for run in runs[:8])]
    expected = association(runs).between.value
    assert association(doubled).between.value == pytest.approx(expected, abs=1e-9)


# What cannot be said


def test_one_configuration_of_each_rule_has_seeds_alone_to_go_by() -> None:
    found = association(invented(8.0, 0.0, rules=4, configurations=1, seeds=5))
    assert found.within.clusters == 4
    assert found.within.value == pytest.approx(found.adjusted.value, rel=1e-11)
    assert bracket(found.within) == pytest.approx(bracket(found.adjusted), rel=1e-11)
    assert not found.settings_vary
    assert "no setting varies within a rule" in sentences(found)[2]
    assert "settings held fixed too" not in sentences(found)[2]
    for rule in found.by_rule:
        assert rule.over_settings.reason == "1 configuration"
        assert rule.over_seeds.clusters == 5
        bracket(rule.over_seeds)


def test_one_run_of_each_rule_leaves_open_what_is_within_rules() -> None:
    found = association(invented(8.0, 0.0, configurations=1, seeds=1))
    assert sign(found.between) == 1
    assert (found.adjusted.value, found.adjusted.interval) == (None, None)
    assert "whether it tells runs of one rule apart stays open" in " ".join(sentences(found))


def test_three_rules_have_no_interval_between_them() -> None:
    found = association(invented(8.0, 0.0, rules=3))
    for estimate in (found.correlation, found.between):
        assert estimate.value is not None
        assert (estimate.interval, estimate.reason) == (None, "3 rules")
    assert "interval not estimable: 3 rules" in sentences(found)[0]
    bracket(found.within)


def test_one_run_is_no_ground_for_anything() -> None:
    found = association([row("r0", 0, 0, 75.0, 0.8)])
    assert (found.runs, found.configurations, found.rules, found.seeds) == (1, 1, ("r0",), (0,))
    for estimate in (found.correlation, found.between, found.within, found.adjusted):
        assert (estimate.value, estimate.interval) == (None, None)
        assert estimate.reason in ("1 rule", "1 configuration")
    assert "not estimable: 1 rule" in sentences(found)[0]


def test_few_settings_and_few_seeds_of_a_rule_are_named() -> None:
    (rule, *_) = association(invented(8.0, 0.0, configurations=3, seeds=3)).by_rule
    assert rule.over_settings.reason == "3 configurations"
    assert rule.over_seeds.reason == "3 seeds"
    assert (rule.runs, rule.configurations, rule.seeds) == (9, 3, 3)


# From records


def records_of(runs: Sequence[PairedRun], **settings: object) -> list[object]:
    return [
        record
        for run in runs
        for record in pair(
            run.run,
            run.seed,
            run.accuracy,
            (run.mean - 0.05, run.mean + 0.05),
            learning_rate=run.learning_rate,
            **settings,
        )
    ]


def test_a_study_gives_an_association_for_each_length_and_similarity() -> None:
    long, short = invented(8.0, 0.0), invented(2.0, 0.0, seed=1, configurations=3)
    short = [replace(run, run=f"{run.run}.short") for run in short]
    evidence = evidence_of([*records_of(long), *records_of(short, epochs=3)])
    found = associate(evidence)
    assert [(one.epochs, one.similarity) for one in found.found] == [
        (epochs, similarity) for epochs in (50, 3) for similarity in ("mean", "conv2", "fc1")
    ]
    by_hand = association(long)
    mean, conv2 = found.found[:2]
    for name in ("correlation", "between", "within", "adjusted", "partial"):
        assert getattr(mean, name).value == pytest.approx(getattr(by_hand, name).value, abs=1e-6)
    assert conv2.between.value == pytest.approx(by_hand.between.value, abs=1e-6)
    assert found.found[3].runs == 30
    assert len(found.paired.runs) == 70


def test_each_layer_alone_has_its_own_similarity() -> None:
    rng = np.random.default_rng(3)
    records = [
        record
        for rule in range(5)
        for seed in range(2)
        for record in pair(f"r{rule}", seed, 50 + rule, (rng.uniform(), 0.1 * rule + 0.01 * seed))
    ]
    mean, conv2, fc1 = associate(evidence_of(records)).found
    assert fc1.correlation.value == pytest.approx(1, abs=0.01)
    assert abs(conv2.correlation.value or 0) < 0.9
    assert mean.correlation.value not in (conv2.correlation.value, fc1.correlation.value)


def test_the_text_tells_all_and_what_it_is_not() -> None:
    runs = invented(8.0, 0.0)
    *records, run, comparison = records_of(runs)
    text = association_text(associate(evidence_of([*records, run])))
    assert "39 runs, 20 configurations, 5 rules, 2 seeds" in text
    assert "1 left out (the record of the comparison is missing): r4.3:1." in text
    assert "Association, nothing more" in text
    assert "\nconv2 " in text
    whole = association_text(associate(evidence_of([*records, run, comparison])))
    assert "left out" not in whole
    nothing = association_text(associate(evidence_of([run])))
    assert "Not estimable: no run is compared with bp." in nothing


# Calibration of the whole, from runs to intervals


def alarms(studies: int, seed: int, **shape: int) -> dict[str, float]:
    """How often each interval misses the truth."""
    names = ("between", "within", "adjusted")
    missed = dict.fromkeys((*names, "partial"), 0)
    for study in range(studies):
        runs = invented(4.0, 0.0, seed=seed + study, **shape)
        found: Association = association(runs)
        for name, truth in zip((*names, "partial"), (4.0, 0.0, 0.0, 0.0), strict=True):
            missed[name] += not holds(getattr(found, name), truth)
    return {name: count / studies for name, count in missed.items()}


def test_intervals_miss_the_truth_as_seldom_as_they_promise() -> None:
    found = alarms(80, seed=100, rules=4, configurations=3)
    assert not any(exceeds(rate, ALPHA, 80) for rate in found.values()), found


@pytest.mark.deep
@pytest.mark.parametrize(("rules", "configurations", "seeds"), [(4, 1, 5), (4, 3, 2), (5, 8, 2)])
def test_intervals_miss_the_truth_with_alpha(rules: int, configurations: int, seeds: int) -> None:
    found = alarms(2_000, 1_000, rules=rules, configurations=configurations, seeds=seeds)
    assert not any(exceeds(rate, ALPHA, 2_000) for rate in found.values()), found
    assert min(found.values()) > 0.01, found
