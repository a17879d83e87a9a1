"""Which networks a pair means, seed by seed."""

import pytest

from fa_audit.errors import AuditError
from fa_audit.study.pairs import NetworkPair, Side, pair_at_seeds, pairs_that_fit

SEEDS = (4, 0, 2)
DECLARED = {"bp": SEEDS, "fa": SEEDS, "few": (2, 7), "one": (0,)}


def seeds(text: str, first: int | None = None) -> dict[int, tuple[int, int]]:
    """Cell's seed → seed of the rows, seed of the columns."""
    pairs = pair_at_seeds(text, DECLARED, SEEDS, first)
    return {seed: (pair.rows.seed, pair.columns.seed) for seed, pair in pairs.items()}


def test_a_plain_pair_is_compared_at_every_seed_that_both_sides_have() -> None:
    assert seeds("fa~bp") == {4: (4, 4), 0: (0, 0), 2: (2, 2)}
    assert seeds("few~bp") == seeds("bp~few") == {2: (2, 2)}


def test_the_other_seed_is_the_next_declared_and_after_the_last_the_first() -> None:
    assert seeds("fa~bp.other-seed") == {4: (4, 0), 0: (0, 2), 2: (2, 4)}
    assert seeds("fa.other-seed~bp") == {4: (0, 4), 0: (2, 0), 2: (4, 2)}
    assert seeds("bp~bp.other-seed") == {4: (4, 0), 0: (0, 2), 2: (2, 4)}


def test_each_network_is_on_each_side_once() -> None:
    for text in ("bp~bp.other-seed", "fa~bp.other-seed", "untrained~bp.other-seed"):
        for side in zip(*seeds(text).values(), strict=True):
            assert sorted(side) == sorted(SEEDS)


def test_the_other_seed_of_a_configuration_is_one_of_its_own() -> None:
    assert seeds("bp~few.other-seed") == {2: (2, 7)}
    assert seeds("few~bp.other-seed") == {2: (2, 4)}
    assert seeds("one~bp.other-seed") == {0: (0, 2)}


def test_with_two_seeds_a_pair_with_itself_is_not_turned_round() -> None:
    assert seeds("few~few.other-seed") == {2: (2, 7)}
    assert seeds("few~few.shuffled") == {2: (2, 2), 7: (7, 7)}


def test_untrained_networks_have_the_seeds_of_the_other_side_or_of_the_study() -> None:
    assert seeds("untrained~few") == {2: (2, 2), 7: (7, 7)}


def test_an_untrained_other_starts_no_run_and_is_in_no_second_pair() -> None:
    assert seeds("untrained.other-seed~few") == {2: (-3, 2), 7: (-8, 7)}
    assert seeds("untrained.other-seed~one") == {0: (-1, 0)}
    assert seeds("untrained~untrained.other-seed") == {4: (4, -5), 0: (0, -1), 2: (2, -3)}
    for text in ("untrained.other-seed~bp", "untrained~untrained.other-seed"):
        networks = [seed for pair in seeds(text).values() for seed in pair]
        assert len(set(networks)) == len(networks)


def test_with_fewer_seeds_the_pairs_that_are_left_are_the_same() -> None:
    """The other seed does not depend on how many seeds are asked for."""
    texts = ("fa~bp", "fa~bp.other-seed", "untrained.other-seed~bp", "bp.other-seed~untrained")
    for text in texts:
        for first in (1, 2, 3):
            assert seeds(text, first).items() <= seeds(text).items()
    assert seeds("fa~bp.other-seed", 1) == {}
    assert seeds("fa~bp.other-seed", 2) == {4: (4, 0)}
    assert seeds("untrained.other-seed~bp", 1) == {4: (-5, 4)}  # it needs no run
    assert seeds("bp.other-seed~untrained", 1) == {}
    assert seeds("untrained~bp.other-seed", 1) == {}


def test_sides_and_shuffling_are_read_off_the_text() -> None:
    assert pair_at_seeds("one~one.shuffled", DECLARED, SEEDS, None) == {
        0: NetworkPair(Side("one", 0), Side("one", 0), shuffled=True)
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f*~bp", ["fa~bp", "few~bp"]),
        ("*~bp.other-seed", [f"{id}~bp.other-seed" for id in DECLARED]),
        ("untrained~f*.shuffled", ["untrained~fa.shuffled", "untrained~few.shuffled"]),
        ("f*a~*e", ["fa~one"]),
        ("fa~bp", ["fa~bp"]),
        ("fa~sgd", ["fa~sgd"]),  # what is not there is refused where pairs are read
    ],
)
def test_a_star_stands_for_every_configuration_that_fits(text: str, expected: list[str]) -> None:
    assert pairs_that_fit(text, DECLARED) == expected


def test_a_star_that_fits_nothing_is_one_sentence() -> None:
    with pytest.raises(AuditError, match=r"has 'g\*~bp', but no configuration fits 'g\*'; choose"):
        pairs_that_fit("g*~bp", DECLARED)
