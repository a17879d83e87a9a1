"""How often verdicts are wrong, counted over invented studies.

Every test judges many studies in which the truth is known. A rate of .05 over `STUDIES` of them is
seen with a standard error of about .006; `SLACK` is four of them.
"""

import math
from collections import Counter
from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest

from audit.invented import evidence
from fa_audit.audit import Evidence, Verdict, Word, judge
from fa_audit.audit.claims import (
    Claim,
    Claims,
    EquivalenceClaim,
    OrderClaim,
    RangeClaim,
    ValueClaim,
)

STUDIES = 1_500
SLACK = 4 * math.sqrt(0.05 * 0.95 / STUDIES)

SAID = {"statement": "So it is.", "where": "Table 1", "read": "printed"}
MEASURED = {**SAID, "measure": "test_accuracy", "at": "last", "unit": "points"}


def verdicts(claims: Iterable[Claim], found: Evidence) -> tuple[Verdict, ...]:
    return judge(
        Claims("claims.toml", "A paper", "its text", "cifar10", 0.05, tuple(claims)), found
    )


def rates(claims: Iterable[Claim], found: Evidence) -> dict[Word, float]:
    """The share of each verdict over many claims."""
    counts = Counter(verdict.word for verdict in verdicts(claims, found))
    return {word: counts[word] / counts.total() for word in Word}


@cache
def runs(n: int, seed: int) -> Evidence:
    """Configurations a0, a1, … of n runs each, mean 0, standard deviation 1."""
    draws = np.random.default_rng(seed).standard_normal((STUDIES, n))
    return evidence({f"a{i}": list(values) for i, values in enumerate(draws)})


@pytest.mark.parametrize("n", [2, 5, 10])
def test_an_honest_number_is_called_not_reproduced_with_alpha(n: int) -> None:
    published = np.random.default_rng(1).standard_normal(STUDIES)
    claims = [
        ValueClaim(id=f"{i}", of=f"a{i}", published=float(y), margin=3.0, **MEASURED)
        for i, y in enumerate(published)
    ]
    found = rates(claims, runs(n, seed=n))
    assert found[Word.NOT_REPRODUCED] == pytest.approx(0.05, abs=SLACK)


@pytest.mark.parametrize("margin", [2.2, 2.6, 4.0])
def test_a_number_two_margins_away_is_called_reproduced_with_half_alpha_at_most(
    margin: float,
) -> None:
    published = 2 * margin + np.random.default_rng(2).standard_normal(STUDIES)
    claims = [
        ValueClaim(id=f"{i}", of=f"a{i}", published=float(y), margin=margin, **MEASURED)
        for i, y in enumerate(published)
    ]
    found = rates(claims, runs(8, seed=3))
    assert found[Word.REPRODUCED] <= 0.025 + SLACK


def test_a_family_of_honest_numbers_raises_a_false_alarm_with_alpha_at_most() -> None:
    size = 5
    families = STUDIES // size
    published = np.random.default_rng(4).standard_normal((families, size))
    alarms = {True: 0, False: 0}
    for shared in alarms:
        claims = [
            ValueClaim(
                id=f"{i}-{j}",
                of=f"a{i * size + j}",
                published=float(published[i, j]),
                margin=3.0,
                family=f"{i}" if shared else None,
                **MEASURED,
            )
            for i in range(families)
            for j in range(size)
        ]
        found = verdicts(claims, runs(5, seed=5))
        refuted = {one.claim.split("-")[0] for one in found if one.word == Word.NOT_REPRODUCED}
        alarms[shared] = len(refuted)
    assert alarms[True] / families <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / families)
    assert alarms[False] / families > 0.15


@pytest.mark.parametrize("n", [2, 5])
def test_a_mean_at_the_edge_of_a_range_errs_with_alpha_and_half_of_it(n: int) -> None:
    claims = [
        RangeClaim(id=f"{i}", of=f"a{i}", low=-50, high=0, **MEASURED) for i in range(STUDIES)
    ]
    found = rates(claims, runs(n, seed=n))
    assert found[Word.REPRODUCED] == pytest.approx(0.05, abs=SLACK)
    assert found[Word.NOT_REPRODUCED] == pytest.approx(0.025, abs=SLACK)


@pytest.mark.parametrize("n", [2, 5])
def test_a_mean_at_a_target_that_is_met_hardly_ever_is_refuted_with_alpha(n: int) -> None:
    claims = [
        EquivalenceClaim(id=f"{i}", of=f"a{i}", target=0.0, margin=0.001, **MEASURED)
        for i in range(STUDIES)
    ]
    assert rates(claims, runs(n, seed=n))[Word.NOT_REPRODUCED] <= 0.05 + SLACK


def test_equivalence_that_is_not_there_is_rarely_claimed_and_one_that_is_rarely_denied() -> None:
    for target, wrong in [(1.5, Word.REPRODUCED), (0.0, Word.NOT_REPRODUCED)]:
        claims = [
            EquivalenceClaim(id=f"{i}", of=f"a{i}", target=target, margin=1.5, **MEASURED)
            for i in range(STUDIES)
        ]
        assert rates(claims, runs(6, seed=20))[wrong] <= 0.05 + SLACK


ORDERS = 300
"""Studies of orders, which are slower to judge: each pair comes with its effect size."""
ORDER_SLACK = 4 * math.sqrt(0.025 * 0.975 / ORDERS)


def order_rates(centres: dict[str, float], at_least: float | None = None) -> dict[Word, float]:
    """Verdicts on "a is above b is above c, ..." for runs that share noise by seed."""
    studies, n = ORDERS, 5
    rng = np.random.default_rng(30)
    shared = 3 * rng.standard_normal((studies, n))
    numbers = {
        f"{name}{i}": list(values)
        for name, centre in centres.items()
        for i, values in enumerate(centre + shared + rng.standard_normal((studies, n)))
    }
    claims = [
        OrderClaim(
            id=f"{i}",
            groups=tuple((f"{name}{i}",) for name in centres),
            direction="descending",
            at_least=at_least,
            **MEASURED,
        )
        for i in range(studies)
    ]
    return rates(claims, evidence(numbers))


def test_equals_are_put_in_order_with_half_alpha_at_most() -> None:
    found = order_rates({"a": 0.0, "b": 0.0})
    assert found[Word.REPRODUCED] <= 0.025 + ORDER_SLACK
    assert found[Word.NOT_REPRODUCED] <= 0.025 + ORDER_SLACK
    assert found[Word.INCONCLUSIVE] >= 0.95 - 2 * ORDER_SLACK


def test_a_long_order_of_equals_is_refuted_with_alpha_at_most() -> None:
    found = order_rates({"a": 0.0, "b": 0.0, "c": 0.0})
    assert found[Word.NOT_REPRODUCED] <= 0.05 + ORDER_SLACK
    assert found[Word.REPRODUCED] <= ORDER_SLACK


def test_a_true_order_is_seen_through_the_noise_that_pairs_share() -> None:
    found = order_rates({"a": 8.0, "b": 0.0})
    assert found[Word.REPRODUCED] > 0.95
    assert found[Word.NOT_REPRODUCED] == 0


def test_a_distance_at_its_edge_errs_with_half_alpha_either_way() -> None:
    found = order_rates({"a": 8.0, "b": 0.0}, at_least=8.0)
    assert found[Word.REPRODUCED] <= 0.025 + ORDER_SLACK
    assert found[Word.DIRECTION_ONLY] <= 0.025 + ORDER_SLACK
    assert found[Word.INCONCLUSIVE] > 0.9
