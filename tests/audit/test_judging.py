"""Every rule of judging, on invented evidence."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.invented import (
    evidence,
    measured_record,
    record,
    table,
    verdict,
    write_claims,
)
from fa_audit.audit import Evidence, Word, judge, load_claims, multiplicity, sample_size, statistics
from fa_audit.errors import AuditError

NEAR_75 = [74.6, 75.2, 74.9, 75.4, 75.1, 74.8, 75.3, 75.0]
"""Eight runs: mean 75.04, s .27; prediction half-width .67."""


# value


def test_a_value_is_reproduced_when_predicted_and_the_prediction_informs(tmp_path: Path) -> None:
    found = verdict(tmp_path, table("value", published=75.5, margin=1.0), evidence({"bp": NEAR_75}))
    assert found.word == Word.REPRODUCED
    assert found.interval == pytest.approx(statistics.prediction_interval(NEAR_75))
    assert found.half_width == pytest.approx(statistics.prediction_interval(NEAR_75).half_width)
    assert found.interval_kind == "95 % prediction interval"
    assert (found.n, found.seeds, found.quantity) == (8, tuple(range(8)), "bp")
    assert found.estimate == pytest.approx(75.0375)
    assert (found.published, found.seeds_needed) == (75.5, None)
    assert found.p == pytest.approx(statistics.prediction_p(NEAR_75, 75.5))
    assert found.p_adjusted == found.p


def test_a_value_is_not_reproduced_when_it_lies_outside(tmp_path: Path) -> None:
    found = verdict(tmp_path, table("value", published=76.0), evidence({"bp": NEAR_75}))
    assert found.word == Word.NOT_REPRODUCED
    assert "76 % lies outside 74.37 to 75.71 %" in found.reason


def test_a_value_outside_is_refuted_even_where_the_interval_is_wide(tmp_path: Path) -> None:
    claim = table("value", published=60.0, margin=0.1)
    assert verdict(tmp_path, claim, evidence({"bp": NEAR_75})).word == Word.NOT_REPRODUCED


def test_a_value_is_inconclusive_when_nearly_anything_would_fit(tmp_path: Path) -> None:
    claim = table("value", published=75.0, margin=1.0)
    found = verdict(tmp_path, claim, evidence({"bp": NEAR_75[:3]}))
    assert found.word == Word.INCONCLUSIVE
    assert found.seeds_needed == sample_size.seeds_for_prediction(0.3, 1.0)
    assert f"about {found.seeds_needed} seeds would settle it" in found.reason


def test_a_margin_below_the_scatter_of_single_runs_is_never_reached(tmp_path: Path) -> None:
    found = verdict(tmp_path, table("value", margin=0.4), evidence({"bp": NEAR_75}))
    assert (found.word, found.seeds_needed) == (Word.INCONCLUSIVE, None)
    assert "if mean and spread stay as they are, more seeds would not settle it" in found.reason


def test_a_published_mean_of_runs_scatters_less(tmp_path: Path) -> None:
    claim = table("value", published=75.6)
    assert verdict(tmp_path, claim, evidence({"bp": NEAR_75})).word == Word.REPRODUCED
    claim = table("value", published=75.6, published_runs=10)
    found = verdict(tmp_path, claim, evidence({"bp": NEAR_75}))
    assert found.word == Word.NOT_REPRODUCED
    assert "a mean of 10 runs like theirs" in found.reason


def test_a_reading_error_is_allowed_for_and_paid_for(tmp_path: Path) -> None:
    claim = table("value", published=76.0, read="figure", reading_error=0.5, margin=2.0)
    found = verdict(tmp_path, claim, evidence({"bp": NEAR_75}))
    assert found.word == Word.REPRODUCED
    spread = statistics.prediction_interval(NEAR_75).half_width
    assert found.half_width == pytest.approx(spread + 0.5)
    narrow = table("value", published=76.0, read="figure", reading_error=0.5, margin=1.0)
    found = verdict(tmp_path, narrow, evidence({"bp": NEAR_75}))
    assert found.word == Word.INCONCLUSIVE
    assert found.seeds_needed is None  # .5 is left for a spread of .27: below z · s


def test_one_miss_in_a_family_may_be_chance(tmp_path: Path) -> None:
    others = [table("value", id=f"other-{i}", published=75.0, family="table") for i in range(3)]
    miss = table("value", published=75.8, family="table")
    path = write_claims(tmp_path, miss, *others)
    first, *rest = judge(load_claims(path), evidence({"bp": NEAR_75}))
    assert first.p is not None
    assert first.p_adjusted == pytest.approx(4 * first.p)
    assert first.p < 0.05 < first.p_adjusted
    assert first.word == Word.INCONCLUSIVE
    assert "one miss among 4 claims may be chance" in first.reason
    assert first.seeds_needed is not None
    assert first.seeds_needed > first.n
    assert {other.word for other in rest} == {Word.REPRODUCED}
    alone = verdict(tmp_path, {**miss, "family": "another"}, evidence({"bp": NEAR_75}))
    assert alone.word == Word.NOT_REPRODUCED


def test_a_family_has_its_declared_size_even_while_runs_are_missing(tmp_path: Path) -> None:
    path = write_claims(
        tmp_path,
        table("value", published=75.8, family="table"),
        table("value", id="d", of="fa", family="table"),
    )
    first, second = judge(load_claims(path), evidence({"bp": NEAR_75, "fa": []}))
    assert first.p is not None
    assert first.p_adjusted == pytest.approx(2 * first.p)
    assert (second.p, second.p_adjusted) == (None, None)


def test_a_difference_can_have_a_published_value(tmp_path: Path) -> None:
    other = [value - 1.5 + 0.01 * i for i, value in enumerate(NEAR_75)]
    claim = table("value", of="fa", minus="bp", published=-1.5, margin=0.5)
    found = verdict(tmp_path, claim, evidence({"bp": NEAR_75, "fa": other}))
    assert (found.word, found.quantity) == (Word.REPRODUCED, "fa − bp")
    assert found.estimate == pytest.approx(-1.465)


def both_moments(before: list[float], after: list[float]) -> Evidence:
    """One configuration with two measures at two moments, told apart by tens and hundreds."""
    runs = {
        seed: measured_record(
            {
                "angle": {"start": a, "end": b},
                "predicted": {"start": 10 * a, "end": 10 * b},
            },
            name=f"sn-{seed}",
        )
        for seed, (a, b) in enumerate(zip(before, after, strict=True))
    }
    return Evidence("invented", "cifar10", False, tuple(runs), {"sn": runs})


@pytest.mark.parametrize(
    ("minus", "difference", "quantity"),
    [
        ({"minus_at": "start"}, 8.0, "sn end − sn start"),
        ({"minus_measure": "predicted"}, -342.0, "sn angle − sn predicted"),
        ({"minus_measure": "predicted", "minus_at": "start"}, -262.0, "sn angle − sn predicted"),
    ],
)
def test_another_measure_or_moment_of_the_same_run_can_be_subtracted(
    minus: dict[str, str], difference: float, quantity: str, tmp_path: Path
) -> None:
    found = both_moments([30.0, 29.0, 31.0], [38.0, 36.5, 39.5])
    keys = {"of": "sn", "measure": "angle", "at": "end", "unit": "degrees"}
    claim = table("value", **keys, **minus, published=difference, margin=20.0)
    one = verdict(tmp_path, claim, found)
    assert one.estimate == pytest.approx(difference)
    assert (one.quantity, one.n) == (quantity, 3)
    # The records of a run that gives both terms are named once.
    assert [(r.subject, r.seed) for r in one.records] == [("sn", 0), ("sn", 1), ("sn", 2)]


def test_the_measure_subtracted_must_be_there(tmp_path: Path) -> None:
    keys = {"of": "sn", "measure": "angle", "at": "end", "unit": "degrees"}
    claim = table("value", **keys, minus_measure="predict", published=8.0, margin=20.0)
    with pytest.raises(AuditError, match="'predict' is not measured of 'sn'; did you mean"):
        verdict(tmp_path, claim, both_moments([30.0], [38.0]))


# properties

PROPERTIES = {
    "weight transport": {"bp": "exact", "usf_init": "sign", "fa_random": "none"},
    "sign concordance": {"bp": "perfect", "usf_init": "enforced"},
    "feedback at convolutions": {"bp": "Toeplitz", "fa_random": "dense"},
}


@pytest.mark.parametrize(
    ("rule", "aspect", "published", "word"),
    [
        ("usf_init", "weight transport", "sign", Word.REPRODUCED),
        ("usf_init", "weight transport", "none", Word.NOT_REPRODUCED),
        ("fa_random", "feedback at convolutions", "dense", Word.REPRODUCED),
        ("fa_random", "feedback at convolutions", "Toeplitz", Word.NOT_REPRODUCED),
        ("bp", "sign concordance", "perfect", Word.REPRODUCED),
    ],
)
def test_a_property_is_settled_by_the_rule_itself(
    rule: str, aspect: str, published: str, word: Word, tmp_path: Path
) -> None:
    claim = table("property", rule=rule, aspect=aspect, published=published)
    found = verdict(tmp_path, claim, evidence({"bp": NEAR_75}, properties=PROPERTIES))
    assert (found.word, found.published, found.quantity) == (word, published, rule)
    assert (found.found == published) == (word == Word.REPRODUCED)
    assert found.found in found.reason


def test_a_property_in_other_words_is_shown_as_printed_and_judged_as_read(tmp_path: Path) -> None:
    runs = evidence({"bp": NEAR_75}, properties=PROPERTIES)
    claim = table("property", published="signs alone", read_as="sign")
    found = verdict(tmp_path, claim, runs)
    assert (found.word, found.published) == (Word.REPRODUCED, "signs alone")
    assert "“signs alone” is read as: sign" in found.reason
    wrong = verdict(tmp_path, {**claim, "read_as": "none"}, runs)
    assert wrong.word == Word.NOT_REPRODUCED


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"aspect": "weight-transport"}, "aspect 'weight-transport' is unknown; did you mean"),
        ({"rule": "usf"}, "rule 'usf' is unknown; choose from: bp, usf_init, fa_random."),
        ({"published": "signs"}, "'signs' is unknown; did you mean 'sign'?"),
        ({"read_as": "signs"}, "'signs' is unknown; did you mean 'sign'?"),
    ],
)
def test_a_property_that_no_rule_can_have_is_refused(
    keys: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    found = evidence({"bp": NEAR_75}, properties=PROPERTIES)
    with pytest.raises(AuditError, match=f"claims.toml, claim 'c': {re.escape(sentence)}"):
        verdict(tmp_path, table("property", **keys), found)


# range and equivalence


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (74.0, 76.0, Word.REPRODUCED),
        (75.5, 77.0, Word.NOT_REPRODUCED),
        (70.0, 74.5, Word.NOT_REPRODUCED),
        (75.0, 77.0, Word.INCONCLUSIVE),
        (74.0, 75.0, Word.INCONCLUSIVE),
    ],
)
def test_a_range_is_judged_by_where_the_interval_lies(
    low: float, high: float, word: Word, tmp_path: Path
) -> None:
    found = verdict(tmp_path, table("range", low=low, high=high), evidence({"bp": NEAR_75}))
    assert found.word == word
    alpha = 0.1 if low < np.mean(NEAR_75) < high else 0.05
    assert found.interval == pytest.approx(statistics.mean_interval(NEAR_75, alpha))
    assert found.interval_kind == f"{100 - 100 * alpha:g} % confidence interval"
    assert (found.seeds_needed is None) is (word != Word.INCONCLUSIVE)


def test_an_open_range_says_how_many_seeds_would_do(tmp_path: Path) -> None:
    found = verdict(tmp_path, table("range", low=75.0, high=77.0), evidence({"bp": NEAR_75}))
    _, mean, sd = statistics.summarise(NEAR_75)
    assert found.seeds_needed == sample_size.seeds_for_equivalence(sd, mean - 75.0)
    assert found.seeds_needed is not None
    assert found.seeds_needed > found.n
    beyond = verdict(tmp_path, table("range", low=75.1, high=77.0), evidence({"bp": NEAR_75}))
    assert beyond.seeds_needed == sample_size.seeds_for_difference(sd, 75.1 - mean)


def test_an_equivalence_is_shown_and_not_merely_unrefuted(tmp_path: Path) -> None:
    few, many = [75.0, 75.9, 74.1], NEAR_75
    claim = table("equivalence", target=75.0, margin=0.5)
    assert verdict(tmp_path, claim, evidence({"bp": few})).word == Word.INCONCLUSIVE
    assert verdict(tmp_path, claim, evidence({"bp": many})).word == Word.REPRODUCED


def test_a_difference_far_above_chance_can_still_be_near_it(tmp_path: Path) -> None:
    concordance = [0.513, 0.514, 0.515, 0.5135, 0.5145]
    assert statistics.mean_p(concordance, 0.5) < 1e-4
    claim = table("equivalence", target=0.5, margin=0.05, unit="fraction")
    assert verdict(tmp_path, claim, evidence({"bp": concordance})).word == Word.REPRODUCED


def test_equivalence_of_two_is_paired_by_seed(tmp_path: Path) -> None:
    wide = [70.0, 78.0, 74.0, 76.0, 72.0]
    twin = [value + shift for value, shift in zip(wide, [0.1, -0.1, 0.2, 0, 0.1], strict=True)]
    claim = table("equivalence", minus="fa", target=0.0, margin=0.5)
    found = verdict(tmp_path, claim, evidence({"bp": wide, "fa": twin}))
    assert (found.word, found.quantity) == (Word.REPRODUCED, "bp − fa")


def test_equivalence_in_a_family_is_harder_to_claim(tmp_path: Path) -> None:
    claims = [
        table("equivalence", id=f"c{i}", target=75.2, margin=0.35, family="all") for i in range(9)
    ]
    found = judge(load_claims(write_claims(tmp_path, *claims)), evidence({"bp": NEAR_75}))
    assert {one.word for one in found} == {Word.INCONCLUSIVE}
    assert found[0].p_adjusted == pytest.approx(9 * (found[0].p or 0))
    _, mean, sd = statistics.summarise(NEAR_75)
    room = min(mean - 74.85, 75.55 - mean)
    assert found[0].seeds_needed == sample_size.seeds_for_equivalence(sd, room, 0.05 / 9)
    alone = verdict(tmp_path, {**claims[0], "family": "own"}, evidence({"bp": NEAR_75}))
    assert alone.word == Word.REPRODUCED


# order


FALLING = {
    "bp": [75.0, 75.4, 74.8, 75.1, 75.6, 74.9],
    "sn": [74.1, 74.6, 73.9, 74.0, 74.9, 74.1],
    "fa": [40.2, 38.9, 41.0, 39.5, 40.8, 39.9],
}
GROUPS = [["bp"], ["sn"], ["fa"]]


def test_subjects_with_different_seeds_are_paired_at_those_that_both_have(tmp_path: Path) -> None:
    numbers = {"bp": [75.0, 75.2, 75.1, 75.3], "fa": [36.0, 36.1, 36.3]}
    found = evidence(numbers, declared={"fa": (2, 0, 1)})
    whole = verdict(tmp_path, table("order"), found)
    assert (whole.n, sorted(whole.seeds), whole.missing) == (3, [0, 1, 2], ())
    assert whole.estimate == pytest.approx(75.1 - 36.1333, abs=0.02)


def test_an_order_is_reproduced_when_every_difference_is_shown(tmp_path: Path) -> None:
    found = verdict(tmp_path, table("order", groups=GROUPS), evidence(FALLING))
    assert found.word == Word.REPRODUCED
    assert [pair.name for pair in found.comparisons] == ["bp − sn", "bp − fa", "sn − fa"]
    adjusted = multiplicity.holm([pair.difference.p for pair in found.comparisons])
    assert [pair.p_adjusted for pair in found.comparisons] == adjusted
    assert found.quantity == "bp − sn"  # the least certain
    assert found.estimate == pytest.approx(0.8667, abs=1e-4)
    for pair in found.comparisons:
        assert pair.difference.effect_interval is not None
        assert pair.difference.correlation is not None
        assert pair.difference.p_sign_flip == 2.0**-5


def test_ascending_turns_the_order_round(tmp_path: Path) -> None:
    claim = table("order", groups=[["fa"], ["sn"], ["bp"]], direction="ascending")
    assert verdict(tmp_path, claim, evidence(FALLING)).word == Word.REPRODUCED
    claim = table("order", groups=GROUPS, direction="ascending")
    assert verdict(tmp_path, claim, evidence(FALLING)).word == Word.NOT_REPRODUCED


def test_one_reversed_difference_refutes_an_order(tmp_path: Path) -> None:
    claim = table("order", groups=[["sn"], ["bp"], ["fa"]])
    found = verdict(tmp_path, claim, evidence(FALLING))
    assert found.word == Word.NOT_REPRODUCED
    assert found.quantity == "sn − bp"
    assert found.reason.startswith("sn − bp = −0.8667 points")


def test_the_clearest_refutation_is_reported(tmp_path: Path) -> None:
    claim = table("order", groups=[["fa"], ["sn"], ["bp"]])
    found = verdict(tmp_path, claim, evidence(FALLING))
    p_values = {pair.name: pair.difference.p for pair in found.comparisons}
    assert found.word == Word.NOT_REPRODUCED
    assert found.quantity == min(p_values, key=lambda name: p_values[name])


def test_an_open_difference_leaves_an_order_inconclusive(tmp_path: Path) -> None:
    level = {**FALLING, "sn": [75.1, 75.2, 74.9, 75.0, 75.5, 75.0]}
    found = verdict(tmp_path, table("order", groups=GROUPS), evidence(level))
    assert found.word == Word.INCONCLUSIVE
    assert found.quantity == "bp − sn"
    assert found.seeds_needed is not None
    assert found.seeds_needed > found.n


def test_equals_are_inconclusive_for_ever(tmp_path: Path) -> None:
    found = verdict(tmp_path, table("order"), evidence({"bp": NEAR_75, "fa": NEAR_75}))
    assert (found.word, found.seeds_needed, found.p) == (Word.INCONCLUSIVE, None, 1.0)


@pytest.mark.parametrize(
    ("at_least", "word"),
    [
        (20.0, Word.REPRODUCED),
        (35.0, Word.INCONCLUSIVE),
        (50.0, Word.DIRECTION_ONLY),
    ],
)
def test_an_order_with_a_distance(at_least: float, word: Word, tmp_path: Path) -> None:
    claim = table("order", groups=[["bp"], ["fa"]], at_least=at_least)
    found = verdict(tmp_path, claim, evidence(FALLING))
    assert found.word == word
    low, high = found.interval or (math.nan, math.nan)
    assert (low > at_least) is (word == Word.REPRODUCED)
    assert (high < at_least) is (word == Word.DIRECTION_ONLY)
    assert (found.seeds_needed is not None) is (word == Word.INCONCLUSIVE)


def test_an_open_distance_says_how_many_seeds_would_settle_it(tmp_path: Path) -> None:
    claim = table("order", groups=[["bp"], ["fa"]], at_least=34.9)
    found = verdict(tmp_path, claim, evidence(FALLING))
    difference = found.comparisons[0].difference
    needed = sample_size.seeds_for_difference(difference.sd, difference.mean - 34.9)
    assert (found.word, found.seeds_needed) == (Word.INCONCLUSIVE, needed)
    assert f"may be less than 34.9 points; about {needed} seeds" in found.reason


def test_one_difference_too_small_leaves_the_direction_only(tmp_path: Path) -> None:
    claim = table("order", groups=[["bp"], ["sn", "fa"]], at_least=20.0)
    found = verdict(tmp_path, claim, evidence(FALLING))
    assert (found.word, found.quantity) == (Word.DIRECTION_ONLY, "bp − sn")


def test_an_order_that_only_its_family_leaves_open_says_so(tmp_path: Path) -> None:
    noise = {other: [75.2, 75.4, 75.1] for other in ("x", "y", "z", "sn")}
    runs = evidence({"bp": [75.0, 75.5, 75.3], "fa": [70.0, 72.5, 71.2], **noise})
    claims = [
        table("order", id=f"c{i}", groups=[["bp"], [other]], family="all")
        for i, other in enumerate(["fa", "x", "y", "z", "sn"])
    ]
    alone = {**claims[0], "family": "own"}
    assert verdict(tmp_path, alone, runs).word == Word.REPRODUCED
    found = judge(load_claims(write_claims(tmp_path, *claims)), runs)[0]
    assert found.word == Word.INCONCLUSIVE
    assert found.interval is not None
    assert found.interval.low > 0
    assert "leaves the order open, for one such among 5 may be chance; about " in found.reason
    near = evidence({"bp": [75.0, 75.5, 75.3], "fa": [75.1, 75.4, 75.2]})
    assert "chance" not in verdict(tmp_path, alone, near).reason


@pytest.mark.parametrize(
    ("low", "high", "lies"),
    [(74.0, 76.0, "lies inside 74 to 76 %"), (76.0, 80.0, "lies outside 76 to 80 %")],
)
def test_a_range_that_only_its_family_leaves_open_says_so(
    low: float, high: float, lies: str, tmp_path: Path
) -> None:
    values = [75.0, 75.4, 74.5, 75.5]
    claim = table("range", low=low, high=high, family="all")
    others = [table("range", id=f"other-{i}", low=75.1, high=75.2, family="all") for i in range(9)]
    runs = evidence({"bp": values})
    alone = verdict(tmp_path, claim, runs)
    assert alone.word != Word.INCONCLUSIVE
    assert lies in alone.reason
    found = judge(load_claims(write_claims(tmp_path, claim, *others)), runs)[0]
    assert found.word == Word.INCONCLUSIVE
    assert found.interval == alone.interval
    assert f"{lies}, but one such among 10 claims may be chance; about " in found.reason
    near = verdict(tmp_path, table("range", low=75.0, high=75.2), runs)
    assert "is not clearly inside nor clearly outside 75 to 75.2 %; " in near.reason


def test_a_distance_is_not_asked_for_before_the_order_holds(tmp_path: Path) -> None:
    claim = table("order", groups=[["sn"], ["bp"]], at_least=1.0)
    assert verdict(tmp_path, claim, evidence(FALLING)).word == Word.NOT_REPRODUCED
    level = {"bp": NEAR_75, "fa": NEAR_75[::-1]}
    claim = table("order", at_least=20.0)
    assert verdict(tmp_path, claim, evidence(level)).word == Word.INCONCLUSIVE


# source


@pytest.mark.parametrize("word", [Word.CONTRADICTED, Word.NOT_TESTABLE])
def test_a_claim_settled_by_reading_needs_no_run(word: Word, tmp_path: Path) -> None:
    found = verdict(tmp_path, table("source", verdict=str(word)), evidence({"bp": []}))
    assert (found.word, found.reason, found.n) == (word, "Nothing tells.", 0)
    assert (found.estimate, found.p, found.records) == (None, None, ())


# What keeps a claim from being judged


def with_records(**records: dict[int, object]) -> Evidence:
    return replace(evidence({"bp": NEAR_75}), records=records, seeds=(0, 1, 2))


def test_runs_that_are_not_the_ones_claimed_are_inconclusive_and_no_more(tmp_path: Path) -> None:
    claim = table("value", published=20.0, requires={"epochs": 6})
    found = verdict(tmp_path, claim, evidence({"bp": NEAR_75}))
    assert found.word == Word.INCONCLUSIVE
    assert found.reason == "The claim is about epochs = 6, and ours have epochs = 50."
    assert found.estimate == pytest.approx(75.0375)
    assert (found.interval, found.p, found.seeds_needed) == (None, None, None)
    met = table("value", published=20.0, requires={"epochs": 50})
    assert verdict(tmp_path, met, evidence({"bp": NEAR_75})).word == Word.NOT_REPRODUCED


def test_a_setting_that_is_not_recorded_does_not_count_as_met(tmp_path: Path) -> None:
    claim = table("value", requires={"decay": 0.1})
    found = verdict(tmp_path, claim, evidence({"bp": NEAR_75}))
    assert found.reason == "The claim is about decay = 0.1, and ours do not say."


def test_a_comparison_meets_a_requirement_by_both_its_runs(tmp_path: Path) -> None:
    def pair(*epochs: int) -> Evidence:
        runs = {f"run_{i}": {"training": {"epochs": n}} for i, n in enumerate(epochs)}
        one = replace(record({"last": 75.0}), kind="comparison", configuration=runs)
        return with_records(bp={0: one, 1: one, 2: one})

    claim = table("range", requires={"epochs": 50})
    assert verdict(tmp_path, claim, pair(50, 50)).word == Word.REPRODUCED
    found = verdict(tmp_path, claim, pair(50, 6))
    assert (found.word, "epochs = 6" in found.reason) == (Word.INCONCLUSIVE, True)


def test_an_untrained_network_has_no_setting_to_be_unlike_what_is_required(tmp_path: Path) -> None:
    trained, start = record({"last": 75.0}), record({"last": 10.0})
    start = replace(start, configuration={"network": {"kind": "untrained", "seed": 0}})
    found = with_records(
        bp=dict.fromkeys(range(3), trained), untrained=dict.fromkeys(range(3), start)
    )
    claim = {"groups": [["bp"], ["untrained"]], "direction": "descending"}
    met = table("order", requires={"epochs": 50}, **claim)
    assert verdict(tmp_path, met, found).word == Word.REPRODUCED
    other = verdict(tmp_path, table("order", requires={"epochs": 6}, **claim), found)
    assert other.reason == "The claim is about epochs = 6, and ours have epochs = 50."
    alone = verdict(tmp_path, table("value", of="untrained", requires={"epochs": 50}), found)
    assert alone.reason == "The claim is about epochs = 50, and ours do not say."


def test_an_undefined_measurement_is_not_testable(tmp_path: Path) -> None:
    undefined = record({"last": None}, undefined={"last": "the shapes differ"})
    found = verdict(tmp_path, table("value"), with_records(bp={0: undefined, 1: undefined}))
    assert found.word == Word.NOT_TESTABLE
    assert found.reason == "bp has no test_accuracy at last: the shapes differ."
    only_reason = record({}, undefined={"last": "the shapes differ"})
    found = verdict(tmp_path, table("value"), with_records(bp={0: only_reason}))
    assert found.word == Word.NOT_TESTABLE


def test_a_measurement_nobody_took_is_a_mistake_in_the_claim(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"'test_accurac' is not measured.*did you mean"):
        verdict(tmp_path, table("value", measure="test_accurac"), evidence({"bp": NEAR_75}))


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_a_gap_is_named_and_never_left_out(bad: float | None, tmp_path: Path) -> None:
    runs = {0: record({"last": 75.0}), 1: record({"last": 75.1}), 2: record({"last": bad})}
    found = verdict(tmp_path, table("value"), with_records(bp=runs))
    assert found.word == Word.INCONCLUSIVE
    assert "bp seed 2 (" in found.reason
    assert (found.n, found.p) == (2, None)


def test_missing_runs_are_named_and_waited_for(tmp_path: Path) -> None:
    found = verdict(tmp_path, table("value"), evidence({"bp": NEAR_75[:6]}, seeds=range(8)))
    assert found.word == Word.INCONCLUSIVE
    assert found.missing == ("bp seed 6", "bp seed 7")
    assert found.reason == "Declared, but not there yet: bp seed 6, bp seed 7."
    assert found.n == 6
    found = verdict(tmp_path, table("order"), evidence({"bp": NEAR_75, "fa": []}))
    assert (found.word, len(found.missing), found.estimate) == (Word.INCONCLUSIVE, 8, None)
    assert found.reason.endswith("fa seed 3 and 4 more.")


def test_seeds_that_were_not_declared_are_not_looked_at(tmp_path: Path) -> None:
    lucky = evidence({"bp": [*NEAR_75, 20.0, 20.0]}, seeds=range(8))
    found = verdict(tmp_path, table("value"), lucky)
    assert (found.n, found.word) == (8, Word.REPRODUCED)
    assert len(found.records) == 8


@pytest.mark.parametrize("kind", ["value", "range", "equivalence"])
def test_one_run_settles_nothing(kind: str, tmp_path: Path) -> None:
    found = verdict(tmp_path, table(kind), evidence({"bp": [75.0]}))
    assert (found.word, found.seeds_needed) == (Word.INCONCLUSIVE, 2)
    found = verdict(tmp_path, table("order"), evidence({"bp": [75.0], "fa": [35.0]}))
    assert (found.word, found.seeds_needed) == (Word.INCONCLUSIVE, 2)


def test_diverged_runs_count_and_are_counted(tmp_path: Path) -> None:
    runs = {
        seed: record({"last": value}, status="diverged" if seed == 1 else "finished")
        for seed, value in enumerate([75.0, 20.0, 75.1])
    }
    found = verdict(tmp_path, table("value"), with_records(bp=runs))
    assert found.estimate == pytest.approx(56.7)
    assert (found.n, found.diverged) == (3, 1)
    assert found.reason.endswith("; 1 of 3 runs diverged and count like the others.")


# Two seeds, no spread


@pytest.mark.parametrize(
    ("claim", "values", "word"),
    [
        (table("value", published=75.0), [75.0, 75.0], Word.REPRODUCED),
        (table("value", published=74.0), [75.0, 75.0], Word.NOT_REPRODUCED),
        (table("range"), [75.0, 75.0], Word.REPRODUCED),
        (table("range"), [85.0, 85.0], Word.NOT_REPRODUCED),
        (table("range"), [80.0, 80.0], Word.INCONCLUSIVE),
        (table("value"), [75.0, 75.1], Word.REPRODUCED),
        (table("value"), [75.0, 76.0], Word.INCONCLUSIVE),
        (table("equivalence"), [75.0, 76.0], Word.INCONCLUSIVE),
    ],
)
def test_two_seeds_and_no_spread_give_finite_verdicts(
    claim: dict[str, object], values: list[float], word: Word, tmp_path: Path
) -> None:
    found = verdict(tmp_path, claim, evidence({"bp": values}))
    assert found.word == word
    assert found.p is not None
    assert 0 <= found.p <= (found.p_adjusted or 0) <= 1
    assert all(map(math.isfinite, [*(found.interval or ()), found.half_width or 0.0]))


def test_a_constant_difference_settles_an_order(tmp_path: Path) -> None:
    found = verdict(tmp_path, table("order"), evidence({"bp": [75.8, 75.9], "fa": [75.3, 75.4]}))
    assert (found.word, found.p) == (Word.REPRODUCED, 0.0)
    assert found.comparisons[0].difference.effect_size is None


# What is refused


def test_a_stand_in_is_never_judged_as_the_paper(tmp_path: Path) -> None:
    shapes = evidence({"bp": NEAR_75}, data="shapes", stand_in=True)
    with pytest.raises(AuditError, match=r"about cifar10, but .* come from shapes, a stand-in"):
        verdict(tmp_path, table("value"), shapes)
    header = 'paper = "None"\nsource = "the stand-in"\ndata = "shapes"\n'
    claims = load_claims(write_claims(tmp_path, table("value"), header=header))
    (found,) = judge(claims, shapes)
    assert (found.word, found.stand_in) == (Word.REPRODUCED, True)


def test_an_unknown_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="claim 'c': 'pb' is no configuration"):
        verdict(tmp_path, table("value", of="pb"), evidence({"bp": NEAR_75}))


def test_an_unknown_place_is_refused(tmp_path: Path) -> None:
    sentence = r"claim 'c': 'test_accuracy' of 'bp' is not measured at 'lst'; did you mean 'last'\?"
    with pytest.raises(AuditError, match=sentence):
        verdict(tmp_path, table("value", at="lst"), evidence({"bp": NEAR_75}))


# What a verdict carries


def test_a_verdict_names_the_records_behind_it(tmp_path: Path) -> None:
    found = verdict(tmp_path, table("order"), evidence({"bp": [75.0, 75.2], "fa": [35.0, 36.0]}))
    behind = [(one.subject, one.seed, one.hash, one.digest) for one in found.records]
    assert behind == [
        ("bp", 0, "hash-bp-0", "digest-bp-0"),
        ("bp", 1, "hash-bp-1", "digest-bp-1"),
        ("fa", 0, "hash-fa-0", "digest-fa-0"),
        ("fa", 1, "hash-fa-1", "digest-fa-1"),
    ]


def test_verdicts_come_in_the_order_of_the_claims(tmp_path: Path) -> None:
    tables = [table("value", id=name) for name in ("z", "a", "m")]
    found = judge(load_claims(write_claims(tmp_path, *tables)), evidence({"bp": NEAR_75}))
    assert [one.claim for one in found] == ["z", "a", "m"]


@pytest.mark.parametrize("unit", ["fraction", "degrees", "percent", "1"])
def test_a_claim_in_another_unit_than_its_records_is_refused(tmp_path: Path, unit: str) -> None:
    found = evidence({"bp": [75.1, 75.4, 74.9]})
    for one in found.records["bp"].values():
        one.measurements["test_accuracy"]["unit"] = "%"
    claim = table("value", unit=unit, published=0.75, margin=0.05)
    with pytest.raises(AuditError, match=rf"its unit is '{unit}', and 'test_accuracy' is recorded"):
        verdict(tmp_path, claim, found)


def test_a_part_of_one_may_be_called_what_it_is(tmp_path: Path) -> None:
    found = evidence({"bp": [0.1, 0.2, 0.3]})
    for one in found.records["bp"].values():
        one.measurements["test_accuracy"]["unit"] = "1"
    for unit in ("1", "fraction", "× BP", "of white"):
        assert verdict(tmp_path, table("range", unit=unit, low=0, high=1), found).n == 3
    with pytest.raises(AuditError, match="its unit is 'degrees'"):
        verdict(tmp_path, table("range", unit="degrees", low=0, high=1), found)
