"""Claims files: what they may say, how they expand, and one clear sentence for each mistake."""

import dataclasses
import re
from pathlib import Path

import pytest

from audit.invented import HEADER, table, write_claims
from fa_audit.audit import load_claims
from fa_audit.audit.claims import (
    KINDS,
    EquivalenceClaim,
    OrderClaim,
    PropertyClaim,
    ValueClaim,
)
from fa_audit.errors import AuditError

MATRIX = {
    "id": "m",
    "statement": "How similar the layers are.",
    "where": "Figure 1",
    "read": "printed",
    "reading_error": 0.005,
    "unit": "fraction",
    "of": "fa~bp",
    "measure": "cka/all",
    "rows": ["conv", "fc"],
    "columns": ["conv", "fc"],
    "published": [[0.9, 0.2], [0.3, 0.8]],
    "margin": 0.1,
}


def refusal(folder: Path, *tables: dict[str, object], **options: str) -> str:
    with pytest.raises(AuditError) as caught:
        load_claims(write_claims(folder, *tables, **options))
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_complete_claim_of_each_kind_is_read(kind: str, tmp_path: Path) -> None:
    (claim,) = load_claims(write_claims(tmp_path, table(kind))).claims
    assert isinstance(claim, KINDS[kind])
    assert claim.kind == kind
    with pytest.raises(dataclasses.FrozenInstanceError):
        claim.id = "another"  # type: ignore[misc]


def test_the_header_says_which_paper_and_which_images(tmp_path: Path) -> None:
    claims = load_claims(write_claims(tmp_path, table("value"), header=HEADER + "alpha = 0.01\n"))
    assert (claims.paper, claims.source) == ("A paper", "its text")
    assert (claims.data, claims.alpha) == ("cifar10", 0.01)
    assert load_claims(write_claims(tmp_path)).alpha == 0.05


def test_defaults_are_one_published_run_read_exactly(tmp_path: Path) -> None:
    (claim,) = load_claims(write_claims(tmp_path, table("value"))).claims
    assert isinstance(claim, ValueClaim)
    assert (claim.published_runs, claim.reading_error) == (1, 0.0)
    assert (claim.family, claim.minus, dict(claim.requires)) == (None, None, {})


ASPECT = {
    "id": "sign",
    "statement": "{rule}: sign concordance",
    "where": "Figure 1",
    "read": "printed",
    "aspect": "sign concordance",
    "published": {"bp": "perfect", "usf_sn": "enforced"},
}


def test_a_table_of_properties_stands_for_a_claim_of_each_rule(tmp_path: Path) -> None:
    first, second = load_claims(write_claims(tmp_path, ASPECT, heading="properties")).claims
    assert isinstance(first, PropertyClaim)
    assert isinstance(second, PropertyClaim)
    assert (first.id, first.rule, first.published) == ("sign/bp", "bp", "perfect")
    assert (second.id, second.rule, second.published) == ("sign/usf_sn", "usf_sn", "enforced")
    assert second.statement == "usf_sn: sign concordance"


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"published": "perfect"}, "'published' must be a table of rules"),
        ({"rule": "bp"}, "unknown key 'rule'"),
    ],
)
def test_a_wrong_table_of_properties_is_refused(
    keys: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    assert sentence in refusal(tmp_path, {**ASPECT, **keys}, heading="properties")


def test_an_order_compares_every_earlier_with_every_later_member(tmp_path: Path) -> None:
    groups = [["a"], ["b", "c"], ["d"]]
    falling = [("a", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")]
    for direction, pairs in [
        ("descending", falling),
        ("ascending", [(b, a) for a, b in falling]),
    ]:
        claim = table("order", groups=groups, direction=direction)
        (order,) = load_claims(write_claims(tmp_path, claim)).claims
        assert isinstance(order, OrderClaim)
        assert order.pairs == tuple(pairs)
        assert order.subjects == ("a", "b", "c", "d")


def test_an_equivalence_is_a_range_about_its_target(tmp_path: Path) -> None:
    (claim,) = load_claims(write_claims(tmp_path, table("equivalence", minus="fa"))).claims
    assert isinstance(claim, EquivalenceClaim)
    assert (claim.low, claim.high) == (73.0, 77.0)
    assert claim.subjects == ("bp", "fa")


def test_a_matrix_is_one_value_claim_for_each_cell(tmp_path: Path) -> None:
    for cells, expected in [
        (None, {"conv/conv": 0.9, "conv/fc": 0.2, "fc/conv": 0.3, "fc/fc": 0.8}),
        ("all", {"conv/conv": 0.9, "conv/fc": 0.2, "fc/conv": 0.3, "fc/fc": 0.8}),
        ("diagonal", {"conv/conv": 0.9, "fc/fc": 0.8}),
    ]:
        matrix = {**MATRIX, "cells": cells} if cells else MATRIX
        claims = load_claims(write_claims(tmp_path, matrix, heading="matrices")).claims
        found = {claim.at: claim.published for claim in claims if isinstance(claim, ValueClaim)}
        assert found == expected
        assert [claim.id for claim in claims] == [f"m/{at}" for at in expected]
        assert {claim.margin for claim in claims if isinstance(claim, ValueClaim)} == {0.1}


def test_a_list_of_places_is_one_claim_for_each(tmp_path: Path) -> None:
    claim = table("equivalence", at=["conv", "fc"], published=[74.0, 76.0])
    claims = load_claims(write_claims(tmp_path, claim)).claims
    found = [(c.id, c.at, c.published) for c in claims if isinstance(c, EquivalenceClaim)]
    assert found == [("c/conv", "conv", 74.0), ("c/fc", "fc", 76.0)]
    alike = table("order", at=["conv", "fc"], published="a > b")
    claims = load_claims(write_claims(tmp_path, alike)).claims
    assert [c.published for c in claims if isinstance(c, OrderClaim)] == ["a > b"] * 2


def test_a_statement_names_its_place(tmp_path: Path) -> None:
    many = table("value", statement="So it is at {at}.", at=["conv", "fc"])
    one = table("value", id="d", statement="{at} again.")
    claims = load_claims(write_claims(tmp_path, many, one)).claims
    assert [c.statement for c in claims] == ["So it is at conv.", "So it is at fc.", "last again."]
    matrix = {**MATRIX, "statement": "How similar: {at}.", "cells": "diagonal"}
    cells = load_claims(write_claims(tmp_path, matrix, heading="matrices")).claims
    assert [c.statement for c in cells] == ["How similar: conv/conv.", "How similar: fc/fc."]


def test_headlines_are_ids_of_claims_in_an_order_of_their_own(tmp_path: Path) -> None:
    tables = [table("value", at=["conv", "fc"]), table("source", id="d")]
    header = HEADER + 'headlines = ["d", "c/fc"]\n'
    assert load_claims(write_claims(tmp_path, *tables, header=header)).headlines == ("d", "c/fc")
    assert load_claims(write_claims(tmp_path, *tables)).headlines == ()


@pytest.mark.parametrize(
    ("headlines", "sentence"),
    [
        ('["c/fd"]', "headlines name 'c/fd', which is no claim; did you mean 'c/fc'?"),
        ('["zzzz"]', "headlines name 'zzzz', which is no claim; choose from: c/conv, c/fc."),
        ('["c/fc", "c/fc"]', "headlines name 'c/fc' twice; leave one out."),
        ("[]", "headlines = [] will not do; it must be a list of ids of claims."),
        ('"c/fc"', "headlines = 'c/fc' will not do; it must be a list of ids of claims."),
    ],
)
def test_a_headline_that_is_no_claim_is_refused(
    headlines: str, sentence: str, tmp_path: Path
) -> None:
    header = f"{HEADER}headlines = {headlines}\n"
    message = refusal(tmp_path, table("value", at=["conv", "fc"]), header=header)
    assert message == f"{tmp_path / 'claims.toml'}: {sentence}"


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        ("value", {"margin": None}, "'margin' is missing; add margin = a number above 0"),
        ("equivalence", {"margin": None}, "'margin' is missing"),
        ("value", {"margn": 1.0}, "unknown key 'margn'; did you mean 'margin'?"),
        ("range", {"margin": 1.0}, "unknown key 'margin'"),
        ("source", {"of": "bp"}, "unknown key 'of'"),
        ("value", {"kind": "valeu"}, "kind = 'valeu' will not do"),
        ("value", {"kind": None}, "'kind' is missing"),
        ("value", {"statement": " "}, "statement = ' ' will not do; it must be what is claimed"),
        ("value", {"read": "guessed"}, '"printed" or "figure" or "prose"'),
        ("value", {"margin": 0}, "margin = 0 will not do"),
        ("value", {"margin": True}, "margin = True will not do"),
        ("value", {"margin": float("nan")}, "margin = nan will not do"),
        ("value", {"published": "75"}, "give it as a number"),
        ("value", {"published": 175.0}, "published = 175.0 is impossible in %; give 0 to 100"),
        ("range", {"high": 101.0}, "high = 101.0 is impossible in %"),
        ("equivalence", {"unit": "fraction"}, "target = 75.0 is impossible in fraction"),
        ("range", {"low": 80.0}, "low = 80.0 is not below high = 80.0"),
        ("value", {"published_runs": 0}, "published_runs = 0 will not do"),
        ("value", {"published_runs": 1.5}, "published_runs = 1.5 will not do"),
        ("value", {"reading_error": -1.0}, "reading_error = -1.0 will not do"),
        ("value", {"reading_error": 2.0}, "uses up the margin"),
        ("value", {"read": "figure"}, "add reading_error"),
        ("value", {"requires": 50}, "such as { epochs = 50 }"),
        ("value", {"requires": {"epochs": [50]}}, "such as { epochs = 50 }"),
        ("value", {"minus": "bp"}, "compare different ones"),
        ("value", {"minus_at": "last"}, "subtracts 'bp' from itself"),
        ("order", {"groups": [["bp"]]}, "at least two groups"),
        ("order", {"groups": [["bp"], []]}, "a list of lists of configurations"),
        ("order", {"groups": [["bp"], ["fa", "bp"]]}, "twice"),
        ("order", {"direction": "up"}, '"descending" or "ascending"'),
        ("order", {"at_least": 0.0}, "how far apart"),
        ("winner", {"grid": ["bp"]}, "at least two configurations"),
        ("winner", {"grid": ["bp", "fa", "bp"]}, "twice"),
        ("winner", {"winner": "bq"}, "its winner 'bq' is not in its grid; name one that is."),
        ("winner", {"grid": "bp"}, "grid = 'bp' will not do; it must be a list of configurations"),
        ("source", {"verdict": "reproduced"}, "contradicted by its own source"),
        ("value", {"at": ["a", "b"], "published": [1.0]}, "got 2 and 1"),
        ("value", {"at": ["a", 1]}, "must hold names"),
        ("value", {"at": []}, "must hold names"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_and_claim(
    kind: str, changes: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    message = refusal(tmp_path, table(kind, **changes))
    assert sentence in message
    assert message.startswith(f"{tmp_path / 'claims.toml'}, claim 'c': ")
    assert message.endswith((".", "?"))
    assert "?." not in message
    assert "\n" not in message


def test_ids_are_present_plain_and_unique(tmp_path: Path) -> None:
    assert "'id' is missing" in refusal(tmp_path, table("value", id=None))
    assert "a name of letters" in refusal(tmp_path, table("value", id="a b"))
    assert "two claims are called 'c'" in refusal(tmp_path, table("value"), table("range"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"published": [[0.9, 0.2]]}, "matrix of 2 rows and 2 columns"),
        ({"published": [[0.9], [0.3]]}, "matrix of 2 rows and 2 columns"),
        ({"published": [[0.9, "x"], [0.3, 0.8]]}, "claim 'm/conv/fc': a value claim computes"),
        ({"published": [[0.9, 1.2], [0.3, 0.8]]}, "claim 'm/conv/fc': published = 1.2"),
        ({"rows": "conv"}, "rows = 'conv' will not do; it must be a list of names"),
        ({"cells": "upper"}, '"all" or "diagonal"'),
        ({"kind": "order"}, "unknown key 'kind'"),
        ({"matrix": "n"}, "unknown key 'matrix'"),
        ({"margin": -1}, "claim 'm/conv/conv': margin = -1"),
    ],
)
def test_a_mistake_in_a_matrix_is_named(
    changes: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    assert sentence in refusal(tmp_path, {**MATRIX, **changes}, heading="matrices")


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ('paper = "A"\nsource = "B"\n', "'data' is missing"),
        (HEADER + "alpha = 0.5\n", "alpha = 0.5 will not do"),
        (HEADER + "dta = 1\n", "unknown key 'dta'; did you mean 'data'?"),
        (HEADER + "claims = 1\n", "claims = 1 will not do"),
        (HEADER + "matrices = [1]\n", "matrices = [1] will not do"),
        ("paper = \n", "is not valid TOML"),
    ],
)
def test_a_mistake_in_the_header_is_named(header: str, sentence: str, tmp_path: Path) -> None:
    assert sentence in refusal(tmp_path, header=header)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"none\.toml cannot be read \(No such file"):
        load_claims(tmp_path / "none.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes('paper = "Müller"'.encode("latin-1"))
    with pytest.raises(AuditError, match=r"latin\.toml is not valid TOML"):
        load_claims(latin)


def test_a_subject_the_study_does_not_have_is_refused(tmp_path: Path) -> None:
    claims = load_claims(write_claims(tmp_path, table("order", groups=[["bp"], ["fa_randm"]])))
    claims.check_subjects(["bp", "fa_randm"])
    sentence = "claim 'c': 'fa_randm' is no configuration or comparison of the study; did you mean"
    with pytest.raises(AuditError, match=re.escape(sentence)):
        claims.check_subjects(["bp", "fa_random"])
    with pytest.raises(AuditError, match="choose from: bp, shapes"):
        claims.check_subjects(["bp", "shapes"])
