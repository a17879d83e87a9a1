"""The claims of the five-rule study: complete, and each answerable by the study's records."""

from collections import Counter
from pathlib import Path

import pytest

from audit.invented import record
from fa_audit.audit import Claims, Evidence, Word, judge, load_claims
from fa_audit.audit.claims import (
    EquivalenceClaim,
    MeasuredClaim,
    OrderClaim,
    SourceClaim,
    ValueClaim,
)

FILE = Path(__file__).parents[2] / "reproductions" / "lance_kieu_2026" / "claims.toml"
RULES = ("bp", "fa_random", "fa_toeplitz", "usf_init", "usf_sn")
LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")
SUBJECTS = {*RULES, *(f"{rule}~bp" for rule in RULES[1:])}


@pytest.fixture(scope="module")
def claims() -> Claims:
    return load_claims(FILE)


def test_every_subject_is_one_of_the_study(claims: Claims) -> None:
    claims.check_subjects(SUBJECTS)
    assert claims.data == "cifar10"


def test_table_1_is_ten_values_in_one_family(claims: Claims) -> None:
    table = [one for one in claims.claims if isinstance(one, ValueClaim) and one.where == "Table 1"]
    cells = {(one.of, one.measure) for one in table}
    assert cells == {
        (rule, f"{part}_accuracy") for rule in RULES for part in ("validation", "test")
    }
    assert {one.family for one in table} == {"table-1"}
    assert {one.at for one in table} == {"best-validation"}


def test_four_cka_diagonals_are_twenty_values_in_one_family(claims: Claims) -> None:
    cells = [
        one for one in claims.claims if isinstance(one, ValueClaim) and one.measure == "cka/all"
    ]
    assert Counter(one.of for one in cells) == {f"{rule}~bp": 5 for rule in RULES[1:]}
    assert {one.at for one in cells} == {f"{layer}/{layer}" for layer in LAYERS}
    assert {one.family for one in cells} == {"cka-all-diagonals"}


def test_sign_concordance_is_judged_in_the_seven_cells_where_it_is_defined(claims: Claims) -> None:
    cells = [
        (one.of, one.at)
        for one in claims.claims
        if isinstance(one, EquivalenceClaim) and one.measure == "sign_concordance/end"
    ]
    toeplitz = {("fa_toeplitz", layer) for layer in LAYERS[1:]}
    assert set(cells) == toeplitz | {("fa_random", layer) for layer in LAYERS[2:]}
    assert len(cells) == 7


def test_angles_are_ordered_at_every_layer_with_feedback(claims: Claims) -> None:
    orders = [
        (one.measure, one.at)
        for one in claims.claims
        if isinstance(one, OrderClaim) and "angle" in one.measure
    ]
    assert sorted(orders) == sorted(
        (f"{kind}_angle/{moment}", layer)
        for kind in ("local", "true")
        for moment in ("start", "end")
        for layer in LAYERS[1:]
    )


def test_what_training_made_needs_fifty_epochs_and_what_it_did_not_needs_none(
    claims: Claims,
) -> None:
    for claim in claims.claims:
        if isinstance(claim, MeasuredClaim):
            untrained = claim.measure.endswith("/start")
            assert dict(claim.requires) == ({} if untrained else {"epochs": 50}), claim.id


def test_every_statement_is_short_and_tells_its_claim_from_all_others(claims: Claims) -> None:
    statements = [claim.statement for claim in claims.claims]
    assert len(set(statements)) == len(statements)
    for statement in statements:
        assert len(statement) <= 90, statement
        assert "{" not in statement


def test_headlines_are_few_and_begin_with_the_test_column_of_table_1(claims: Claims) -> None:
    assert 8 <= len(claims.headlines) <= 10
    assert {f"table1-test-{rule}" for rule in RULES} == set(claims.headlines[:5])


def test_every_claim_says_where_it_stands(claims: Claims) -> None:
    words = ("Table", "Figure", "Discussion", "Main text", "Description", "Equation", "Prose")
    for claim in claims.claims:
        assert claim.where.startswith((*words, "Conclusions")), claim.id


def test_only_reading_settles_anything_on_short_runs_but_the_first_angles(claims: Claims) -> None:
    """Six epochs: claims about fifty are inconclusive, and say so."""
    measured: dict[str, set[str]] = {}
    for claim in claims.claims:
        if isinstance(claim, MeasuredClaim):
            measured.setdefault(claim.measure, set()).add(claim.at)
    centre = {"bp": 0.0, "usf_sn": 30.0, "usf_init": 46.3, "fa_random": 90.0, "fa_toeplitz": 90.0}

    def run(subject: str, seed: int) -> dict[str, object]:
        value = centre.get(subject, 0.5) + 0.01 * seed * len(subject)
        return {
            measure: {"values": dict.fromkeys(places, value), "undefined": {}}
            for measure, places in measured.items()
        }

    base = record({}, epochs=6)
    records = {
        subject: {
            seed: type(base)(**{**vars(base), "measurements": run(subject, seed)})
            for seed in range(3)
        }
        for subject in SUBJECTS
    }
    found = judge(claims, Evidence("short", "cifar10", False, (0, 1, 2), records))
    for claim, verdict in zip(claims.claims, found, strict=True):
        if isinstance(claim, SourceClaim):
            assert verdict.word in (Word.CONTRADICTED, Word.NOT_TESTABLE)
        elif isinstance(claim, MeasuredClaim) and claim.requires:
            assert verdict.word == Word.INCONCLUSIVE
            assert verdict.reason == "The claim is about epochs = 50, and ours have epochs = 6."
        else:
            assert verdict.word == Word.REPRODUCED
