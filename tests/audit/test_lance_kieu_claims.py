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
    PropertyClaim,
    SourceClaim,
    ValueClaim,
)
from fa_audit.audit.gather import gather
from fa_audit.study.cells import study_cells
from fa_audit.study.spec import Study, load_study

FOLDER = Path(__file__).parents[2] / "reproductions" / "lance_kieu_2026"
RULES = ("bp", "fa_random", "fa_toeplitz", "usf_init", "usf_sn")
LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")


@pytest.fixture(scope="module")
def claims() -> Claims:
    return load_claims(FOLDER / "claims.toml")


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(FOLDER)


def test_every_subject_is_one_of_the_study(claims: Claims, study: Study) -> None:
    claims.check_subjects({cell.id for cell in study_cells(study)})
    assert claims.data == study.data.name == "cifar10"


def test_table_1_is_ten_values_in_one_family(claims: Claims) -> None:
    table = [one for one in claims.claims if isinstance(one, ValueClaim) and one.where == "Table 1"]
    cells = {(one.of, one.measure) for one in table}
    assert cells == {
        (rule, f"{part}_accuracy") for rule in RULES for part in ("validation", "test")
    }
    assert {one.family for one in table} == {"table-1"}
    assert {one.at for one in table} == {"best-validation"}


def test_twelve_cka_matrices_are_300_values_in_one_family_of_discoveries(claims: Claims) -> None:
    cells = [one for one in claims.claims if isinstance(one, ValueClaim) and one.matrix]
    subsets = ("cka/all", "cka/reference-right-only", "cka/both-right")
    assert Counter((one.of, one.measure) for one in cells) == {
        (f"{rule}~bp", subset): 25 for rule in RULES[1:] for subset in subsets
    }
    assert {one.at for one in cells} == {f"{row}/{column}" for row in LAYERS for column in LAYERS}
    assert {(one.family, one.control) for one in cells} == {("cka", "false-discovery")}


def test_the_printed_cells_are_those_that_the_discussion_misquotes(claims: Claims) -> None:
    cells = {one.id: one.published for one in claims.claims if isinstance(one, ValueClaim)}
    assert cells["cka-all-fa_random/fc3/conv1"] == 0.09
    assert cells["cka-all-fa_random/fc3/fc3"] == 0.05
    assert cells["cka-all-fa_toeplitz/fc3/conv1"] == 0.06
    assert cells["cka-all-fa_toeplitz/fc3/fc3"] == 0.15


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


def test_a_claim_requires_as_many_epochs_as_its_runs_are_declared_with(
    claims: Claims, study: Study
) -> None:
    epochs = {
        id: {run.training.epochs for run in by_seed.values()}
        for id, by_seed in study.configurations.items()
    }
    for claim in claims.claims:
        if not isinstance(claim, MeasuredClaim):
            continue
        sides = [side for subject in claim.subjects for side in subject.split("~")]
        of = [side.removesuffix(end) for side in sides for end in (".other-seed", ".channels")]
        declared = {n for id in of for n in epochs.get(id, set())}
        untrained = claim.measure.endswith("/start") or claim.measure.startswith("cost")
        if untrained or len(declared) != 1:
            assert claim.requires == {}, claim.id
        else:
            assert {claim.requires["epochs"]} == declared, claim.id


def test_every_statement_is_short_and_tells_its_claim_from_all_others(claims: Claims) -> None:
    statements = [claim.statement for claim in claims.claims]
    assert len(set(statements)) == len(statements)
    for statement in statements:
        assert len(statement) <= 95, statement
        assert "{" not in statement


def test_headlines_are_few_and_begin_with_the_test_column_of_table_1(claims: Claims) -> None:
    assert 8 <= len(claims.headlines) <= 10
    assert {f"table1-test-{rule}" for rule in RULES} == set(claims.headlines[:5])


def test_every_claim_says_where_it_stands_or_that_it_is_not_in_the_paper(claims: Claims) -> None:
    places = "Table Figure Discussion Equation Prose Conclusions Section Description README Grid "
    places += "Results Training Main Figures"
    beside = "Assumed by|A baseline that the paper does not have|Reading of|Property of"
    for claim in claims.claims:
        in_paper = claim.where.split()[0].rstrip(":,") in places.split()
        assert in_paper or claim.where.startswith(tuple(beside.split("|"))), claim.id
        assert in_paper or claim.origin == "audit", claim.id


def test_runs_of_other_lengths_settle_nothing_that_training_made(
    claims: Claims, study: Study
) -> None:
    """Two epochs are not what any claim is about: those about training are open, and say so."""
    measured: dict[str, set[str]] = {}
    for claim in claims.claims:
        if isinstance(claim, MeasuredClaim):
            for _, measure, at in claim.terms.values():
                measured.setdefault(measure, set()).add(at)
    centre = {"bp": 0.0, "usf_sn": 30.0, "usf_init": 46.3, "fa_random": 90.0, "fa_toeplitz": 90.0}

    def run(subject: str, seed: int) -> dict[str, object]:
        value = centre.get(subject, 0.5) + 0.01 * seed * len(subject)
        return {
            measure: {"values": dict.fromkeys(places, value), "undefined": {}}
            for measure, places in measured.items()
        }

    base = record({}, epochs=2)
    subjects = {cell.id for cell in study_cells(study)}
    records = {
        subject: {
            seed: type(base)(**{**vars(base), "measurements": run(subject, seed)})
            for seed in range(3)
        }
        for subject in subjects
    }
    properties = gather(study, FOLDER).properties
    evidence = Evidence("short", "cifar10", False, (0, 1, 2), records, properties=properties)
    found = judge(claims, evidence)
    for claim, verdict in zip(claims.claims, found, strict=True):
        if isinstance(claim, SourceClaim):
            assert verdict.word in (Word.CONTRADICTED, Word.NOT_TESTABLE)
        elif isinstance(claim, PropertyClaim):
            assert verdict.word == Word.REPRODUCED, verdict.reason
        elif isinstance(claim, MeasuredClaim) and claim.requires:
            assert verdict.word == Word.INCONCLUSIVE
            assert verdict.reason.endswith("and ours have epochs = 2."), claim.id
        elif claim.id.startswith("angle-order-start"):
            assert verdict.word == Word.REPRODUCED, claim.id
