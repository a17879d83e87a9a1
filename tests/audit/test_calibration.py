"""Verdicts are wrong no more often than they may be, as the table of rates says they are."""

import pytest

from audit.calibration import (
    SEEDS,
    SETTLED,
    TABLE,
    exceeds,
    outlook_name,
    read,
    standard_error,
    studies_of,
    title,
)
from audit.scenarios import LAWS, OPEN, SCENARIOS, Scenario
from audit.simulation import measure, outlook
from fa_audit.audit import families, statistics
from fa_audit.audit.statistics import Sample

COMMITTED = read(TABLE.read_text(encoding="utf-8"))


def name(scenario: Scenario) -> str:
    return f"{scenario.kind}: {scenario.truth}"


def find(kind: str, truth: str) -> Scenario:
    (found,) = (one for one in SCENARIOS if (one.kind, one.truth) == (kind, truth))
    return found


def breaches(scenario: Scenario, n: int, studies: int, seed: int = 1) -> list[str]:
    """The words that normal seeds get wrongly more often than is nominal."""
    rates = measure(scenario, "normal", n, studies, seed)
    found = {
        "reproduced": exceeds(rates.reproduced, scenario.reproduced, studies),
        "refuted": exceeds(rates.refuted, scenario.refuted, studies),
    }
    return [word for word, breach in found.items() if breach]


def agree(one: float, many: float, studies: int, others: int) -> bool:
    """Whether two rates that were counted independently differ by no more than chance explains."""
    pooled = (one * studies + many * others + 1) / (studies + others + 2)
    error = standard_error(pooled, studies) + standard_error(pooled, others)
    return abs(one - many) <= 5 * error + 0.0005


# A few studies, at once


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name)
def test_normal_seeds_keep_the_nominal_rates(scenario: Scenario) -> None:
    assert breaches(scenario, n=5, studies=studies_of(scenario, "normal") // 40) == []


@pytest.mark.parametrize("scenario", OPEN[1:9:2], ids=name)
def test_the_seeds_named_settle_about_every_second_study(scenario: Scenario) -> None:
    found = outlook(scenario, "normal", 5, studies=100)
    assert found.open > 0.2
    assert found.settled > 0.4


# Judging that is wrong is seen


def test_the_interval_of_the_mean_in_place_of_a_prediction_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(values: Sample, published: float, runs: int = 1, error: float = 0.0) -> float:
        return statistics.mean_p(values, published)

    monkeypatch.setattr(statistics, "prediction_p", wrong)
    assert breaches(find("value of one subject", "a run like ours"), 5, 200) == ["refuted"]


def test_two_one_sided_refutations_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = statistics.equivalence_test

    def wrong(values: Sample, low: float, high: float) -> statistics.Equivalence:
        found = right(values, low, high)
        return statistics.Equivalence(found.interval, found.p_inside, found.p_outside / 2)

    monkeypatch.setattr(statistics, "equivalence_test", wrong)
    near = find("equivalence of one subject", "at the target, margin .05")
    assert breaches(near, 5, 1_000) == ["refuted"]


def test_a_family_that_is_not_adjusted_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families.multiplicity, "holm", list)
    assert breaches(find("family of 6: value", "6 like ours"), 5, 150) == ["refuted"]


def test_a_map_that_is_not_adjusted_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families.multiplicity, "benjamini_hochberg", list)
    assert breaches(find("map of 16: value", "16 like ours"), 5, 100) == ["refuted"]


# The table that is written down


def test_the_table_has_every_rate_and_no_other() -> None:
    rates = {
        (title(one.kind), one.truth, law, n) for one in SCENARIOS for law in LAWS for n in SEEDS
    }
    outlooks = {(SETTLED, outlook_name(one), law, n) for one in OPEN for law in LAWS for n in SEEDS}
    assert set(COMMITTED) == rates | outlooks


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name)
def test_the_table_keeps_the_nominal_rates_where_seeds_are_normal(scenario: Scenario) -> None:
    for n in SEEDS:
        rates = COMMITTED[title(scenario.kind), scenario.truth, "normal", n]
        for rate, nominal in zip(rates, (scenario.reproduced, scenario.refuted), strict=False):
            assert (rate is None) == (nominal is None)
            assert rate is None or not exceeds(rate, nominal, studies_of(scenario, "normal"))


@pytest.mark.deep
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=name)
def test_other_studies_give_the_rates_of_the_table(scenario: Scenario, law: str) -> None:
    studies, others = studies_of(scenario, law) // 2, studies_of(scenario, law)
    for n in SEEDS:
        rates = measure(scenario, law, n, studies, seed=1)
        for rate, committed in zip(
            rates, COMMITTED[title(scenario.kind), scenario.truth, law, n], strict=True
        ):
            assert committed is None or agree(rate, committed, studies, others), (n, rates)


@pytest.mark.deep
@pytest.mark.parametrize("scenario", OPEN, ids=name)
def test_the_seeds_named_settle_about_every_second_study_or_more(scenario: Scenario) -> None:
    for n in SEEDS:
        found = outlook(scenario, "normal", n, studies=400, seed=2)
        assert found.settled > 0.5 - 4 * standard_error(0.5, max(1, round(400 * found.open)))
