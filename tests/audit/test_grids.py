"""Winners of grids: who wins how often, what that shows, and where the winner stands."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from audit.invented import evidence, record, table, verdict, write_claims
from fa_audit.audit import Evidence, Verdict, Word, judge, load_claims, verdict_table
from fa_audit.audit.grids import Wins, count_wins, edges, searches_for_majority, share_interval


def numbers(**values: list[float]) -> dict[str, np.ndarray]:
    return {name: np.array(own) for name, own in values.items()}


# Counting


def test_a_search_is_won_by_what_is_above_all_others() -> None:
    found = numbers(a=[3, 1, 2, 2], b=[1, 3, 2, 1], c=[2, 2, 1, 3])
    assert count_wins(found, "a") == Wins(4, alone=1, shared=1)
    assert count_wins(found, "b") == Wins(4, alone=1, shared=1)
    assert count_wins(found, "c") == Wins(4, alone=1, shared=0)


@pytest.mark.parametrize(("n", "wins"), [(5, 5), (5, 4), (5, 0), (10, 9), (10, 1), (7, 3)])
def test_a_majority_is_a_binomial_test_of_one_half(n: int, wins: int) -> None:
    found = Wins(n, wins, 0)
    greater = stats.binomtest(wins, n, 0.5, alternative="greater").pvalue
    less = stats.binomtest(wins, n, 0.5, alternative="less").pvalue
    assert (found.p_most, found.p_fewest) == pytest.approx((greater, less), rel=1e-12)


def test_five_searches_are_the_fewest_that_can_show_a_majority() -> None:
    assert Wins(5, 5, 0).p_most == 2.0**-5
    assert Wins(4, 4, 0).p_most > 0.05
    assert Wins(5, 0, 0).p_fewest == 2.0**-5


def test_a_tie_counts_against_what_is_to_be_shown() -> None:
    assert Wins(5, 4, 1).p_most == Wins(5, 4, 0).p_most
    assert Wins(5, 0, 1).p_fewest == Wins(5, 1, 0).p_fewest


@pytest.mark.parametrize(("n", "wins"), [(5, 0), (5, 2), (5, 5), (10, 9)])
def test_the_interval_of_a_share_is_the_exact_one(n: int, wins: int) -> None:
    exact = stats.binomtest(wins, n).proportion_ci(0.9, method="exact")
    assert share_interval(wins, n, 0.1) == pytest.approx((exact.low, exact.high), abs=1e-12)


@pytest.mark.parametrize("wins", [Wins(3, 3, 0), Wins(5, 4, 0), Wins(10, 8, 0), Wins(10, 2, 1)])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_so_many_searches_are_the_fewest_that_settle_it(wins: Wins, alpha: float) -> None:
    more = max(wins.alone, wins.n - wins.alone - wins.shared)
    share = (more + 0.5) / (wins.n + 1)
    settled = (n for n in range(2, 999) if Wins(n, int(share * n + 1e-9), 0).p_most <= alpha)
    assert searches_for_majority(wins, alpha) == next(settled)


def test_no_number_of_searches_settles_an_even_split() -> None:
    assert searches_for_majority(Wins(10, 5, 0)) is None
    assert searches_for_majority(Wins(4, 1, 2)) is None
    assert searches_for_majority(Wins(2_001, 1_001, 0)) is None


# Edges


def grid(rates: list[float], scales: list[float]) -> dict[str, dict[str, object]]:
    return {
        f"lr={rate}.scale={scale}": {
            "learning_rate": rate,
            "feedback_scale": scale,
            "epochs": 3,
            "optimizer": "adam",
            "flip": scale == 1,
        }
        for rate in rates
        for scale in scales
    }


def test_an_edge_is_the_lowest_or_highest_value_of_an_axis() -> None:
    found = edges(grid([1e-3, 3e-3, 1e-2], [0.01, 0.05, 0.1]))
    assert found["lr=0.003.scale=0.05"] == ()
    assert found["lr=0.001.scale=0.05"] == ("learning_rate = 0.001 is the lowest of 3",)
    assert found["lr=0.01.scale=0.1"] == (
        "feedback_scale = 0.1 is the highest of 3",
        "learning_rate = 0.01 is the highest of 3",
    )


def test_two_values_and_words_make_no_axis() -> None:
    found = edges(grid([1e-3, 3e-3, 1e-2], [0.0, 1.0]))
    assert found["lr=0.003.scale=0.0"] == ()
    assert found["lr=0.001.scale=1.0"] == ("learning_rate = 0.001 is the lowest of 3",)


def test_a_setting_that_some_lack_makes_no_axis() -> None:
    found = edges({"a": {"decay": 0.1}, "b": {"decay": 0.2}, "c": {"decay": 0.3}, "d": {}})
    assert set(found.values()) == {()}


# Judging

RATES = {"low": 1e-3, "mid": 3e-3, "high": 1e-2}
CLAIM = table("winner", grid=list(RATES), winner="low")


def searched(seeds: int | None = None, **values: list[float]) -> Evidence:
    """Searches of three learning rates."""
    found = evidence(values, seeds=None if seeds is None else range(seeds))
    records = {
        name: {
            seed: record({"last": value}, training={"learning_rate": RATES[name]})
            for seed, value in enumerate(own)
        }
        for name, own in values.items()
    }
    return Evidence(found.study, found.data, found.stand_in, found.seeds, records)


def judged(folder: Path, *winners: str) -> Verdict:
    """The verdict on "low wins" where these won, search by search."""
    values = {name: [60.0 + (name == winner) for winner in winners] for name in RATES}
    return verdict(folder, CLAIM, searched(**values))


def test_a_winner_of_every_search_is_reproduced_and_seen_at_its_edge(tmp_path: Path) -> None:
    found = judged(tmp_path, *["low"] * 5)
    assert found.word == Word.REPRODUCED
    assert found.reason == (
        "low wins 5 of 5 searches: more than half; "
        "low stands at the edge of its grid (learning_rate = 0.001 is the lowest of 3)."
    )
    assert (found.estimate, found.unit, found.quantity) == (1.0, "of searches", "low")
    assert (found.p, found.p_adjusted) == (2.0**-5, 2.0**-5)
    assert found.interval == share_interval(5, 5, 0.1)
    assert [(one.configuration, one.wins, one.mean) for one in found.grid] == [
        ("low", 5, 61.0),
        ("mid", 0, 60.0),
        ("high", 0, 60.0),
    ]
    assert [bool(one.edges) for one in found.grid] == [True, False, True]


def test_a_winner_of_no_search_is_not_reproduced_and_the_other_one_is_named(tmp_path: Path) -> None:
    found = judged(tmp_path, *["mid"] * 4, "high")
    assert found.word == Word.NOT_REPRODUCED
    assert found.reason.startswith("low wins 0 of 5 searches, mid 4: fewer than half; low stands")
    assert "mid stands" not in found.reason
    assert found.p == 2.0**-5


def test_a_winner_of_most_searches_is_open_until_there_are_enough(tmp_path: Path) -> None:
    found = judged(tmp_path, *["low"] * 4, "high")
    assert (found.word, found.seeds_needed) == (Word.INCONCLUSIVE, 16)
    assert "about 16 seeds would settle it, if shares stay as they are" in found.reason
    even = judged(tmp_path, "low", "mid", "low", "high")
    assert (even.word, even.seeds_needed) == (Word.INCONCLUSIVE, None)
    assert "if shares stay as they are, more seeds would not settle it" in even.reason


def test_two_searches_settle_nothing(tmp_path: Path) -> None:
    assert judged(tmp_path, "low", "low").word == Word.INCONCLUSIVE
    assert judged(tmp_path, "mid", "mid").word == Word.INCONCLUSIVE


def test_every_configuration_must_have_been_searched(tmp_path: Path) -> None:
    found = verdict(tmp_path, CLAIM, searched(low=[61.0] * 5, mid=[60.0] * 5, high=[60.0] * 4))
    assert (found.word, found.missing) == (Word.INCONCLUSIVE, ("high seed 4",))
    assert (found.estimate, found.grid) == (None, ())


def test_a_family_of_grids_needs_more_searches(tmp_path: Path) -> None:
    claims = [{**CLAIM, "id": f"c{i}", "family": "grids"} for i in range(3)]
    values = {name: [60.0 + (name == "low")] * 5 for name in RATES}
    found = judge(load_claims(write_claims(tmp_path, *claims)), searched(**values))
    assert {one.word for one in found} == {Word.INCONCLUSIVE}
    assert found[0].p_adjusted == pytest.approx(3 * 2.0**-5)
    assert found[0].seeds_needed == searches_for_majority(Wins(5, 5, 0), 0.05 / 3)


def test_a_table_shows_the_share_of_searches(tmp_path: Path) -> None:
    values = {name: [60.0 + (name == "low")] * 5 for name in RATES}
    found = searched(**values)
    assert "1 of searches, 90 % CI [0.5493, 1]" in verdict_table(
        [verdict(tmp_path, CLAIM, found)], found
    )


def test_only_a_run_of_the_epochs_claimed_counts(tmp_path: Path) -> None:
    values = {name: [60.0 + (name == "low")] * 5 for name in RATES}
    found = verdict(tmp_path, {**CLAIM, "requires": {"epochs": 3}}, searched(**values))
    assert found.reason == "The claim is about epochs = 3, and ours have epochs = 50."
