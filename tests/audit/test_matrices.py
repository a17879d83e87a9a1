"""Matrices: judged cell by cell with control of false discoveries, and counted together."""

from dataclasses import replace
from pathlib import Path

import pytest

from audit.invented import evidence, record, table, write_claims
from fa_audit.audit import (
    Evidence,
    Verdict,
    Word,
    judge,
    load_claims,
    multiplicity,
    sample_size,
    statistics,
    verdict_table,
)
from fa_audit.audit.matrices import summarise_matrices
from fa_audit.errors import AuditError

LAYERS = ["conv", "fc"]
OURS = {"conv/conv": 0.9, "conv/fc": 0.2, "fc/conv": 0.3, "fc/fc": 0.8}
SPREAD = [-0.02, 0.01, 0.02, -0.01, 0.0, 0.0, 0.01, -0.01]


def matrix(published: list[list[float]], **changes: object) -> dict[str, object]:
    return {
        "id": "m",
        "statement": "How similar: {at}.",
        "where": "Figure 1",
        "read": "printed",
        "unit": "fraction",
        "of": "fa~bp",
        "measure": "cka/all",
        "rows": LAYERS,
        "columns": LAYERS,
        "published": published,
        "margin": 0.1,
        "family": "map",
        "control": "false-discovery",
        **changes,
    }


def similarities() -> Evidence:
    records = {
        seed: record({at: value + noise for at, value in OURS.items()}, measure="cka/all")
        for seed, noise in enumerate(SPREAD)
    }
    found = evidence({"fa~bp": SPREAD})
    return Evidence(found.study, found.data, found.stand_in, found.seeds, {"fa~bp": records})


def verdicts(folder: Path, published: list[list[float]], **changes: object) -> list[Verdict]:
    path = write_claims(folder, matrix(published, **changes), heading="matrices")
    return list(judge(load_claims(path), similarities()))


def test_cells_are_adjusted_by_benjamini_and_hochberg(tmp_path: Path) -> None:
    found = verdicts(tmp_path, [[0.95, 0.24], [0.335, 0.8]])
    raw = [one.p or 0.0 for one in found]
    assert [one.p_adjusted for one in found] == pytest.approx(multiplicity.benjamini_hochberg(raw))
    holm = verdicts(tmp_path, [[0.95, 0.24], [0.335, 0.8]], control="family-wise")
    assert [one.p_adjusted for one in holm] == pytest.approx(multiplicity.holm(raw))


def test_a_map_sees_what_holm_leaves_to_chance(tmp_path: Path) -> None:
    off = [[0.94, 0.24], [0.34, 0.84]]  # each with p = .024
    assert {one.word for one in verdicts(tmp_path, off)} == {Word.NOT_REPRODUCED}
    holm = verdicts(tmp_path, off, control="family-wise")
    assert {one.word for one in holm} == {Word.INCONCLUSIVE}
    assert "one miss among 4 claims may be chance" in holm[0].reason


def test_seeds_needed_are_for_the_level_that_the_others_leave(tmp_path: Path) -> None:
    published = [[0.5, 0.236], [0.3, 0.8]]  # the first is refuted, the second is open
    for control, level in [("false-discovery", 0.05 * 2 / 4), ("family-wise", 0.05 / 3)]:
        found = verdicts(tmp_path, published, control=control)
        words = [Word.NOT_REPRODUCED, Word.INCONCLUSIVE, Word.REPRODUCED, Word.REPRODUCED]
        assert [one.word for one in found] == words
        needed = sample_size.seeds_for_prediction(statistics.summarise(SPREAD).sd, 0.036, level)
        assert found[1].seeds_needed == needed


def test_a_matrix_is_counted_together(tmp_path: Path) -> None:
    found = verdicts(tmp_path, [[0.5, 0.236], [0.3, 0.81]])
    (summary,) = summarise_matrices(found)
    assert (summary.matrix, summary.cells, summary.farthest) == ("m", 4, "m/conv/conv")
    assert summary.words == {
        Word.NOT_REPRODUCED: 1,
        Word.INCONCLUSIVE: 1,
        Word.REPRODUCED: 2,
    }
    assert summary.mean_distance == pytest.approx((0.4 + 0.036 + 0 + 0.01) / 4)
    assert summary.largest_distance == pytest.approx(0.4)
    sentence = (
        "m, 4 cells: 2 reproduced, 1 not reproduced, 1 inconclusive; "
        "ours are 0.1115 off in the mean, 0.4 at most (m/conv/conv)."
    )
    assert str(summary) == sentence
    assert sentence in verdict_table(found, similarities()).splitlines()


def test_below_headlines_matrices_are_counted_together(tmp_path: Path) -> None:
    found = verdicts(tmp_path, [[0.5, 0.236], [0.3, 0.81]])
    other = [replace(one, matrix="n", claim=f"n{i}") for i, one in enumerate(found)]
    lines = verdict_table([*found, *other], similarities(), headlines=["n0"]).splitlines()
    assert (
        "8 claims are cells of 2 matrices: 4 reproduced, 2 not reproduced, 2 inconclusive." in lines
    )
    assert not any(line.startswith("m, 4 cells") for line in lines)


def test_a_matrix_without_runs_has_no_distances(tmp_path: Path) -> None:
    path = write_claims(tmp_path, matrix([[0.5, 0.2], [0.3, 0.8]]), heading="matrices")
    found = judge(load_claims(path), evidence({"fa~bp": []}, seeds=(0, 1)))
    (summary,) = summarise_matrices(found)
    assert str(summary) == "m, 4 cells: 4 inconclusive."


def test_other_claims_are_in_no_matrix(tmp_path: Path) -> None:
    path = write_claims(tmp_path, table("value"), table("range", id="d"))
    assert summarise_matrices(judge(load_claims(path), evidence({"bp": [75.0, 75.1]}))) == ()


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        (
            [table("value", control="false-discovery")],
            "claim 'c': control = 'false-discovery' is about a family; add family.",
        ),
        (
            [table("order", control="false-discovery", family="map")],
            "claim 'c': control = 'false-discovery' counts claims, not an order's pairs; leave it",
        ),
        (
            [table("value", control="fdr", family="map")],
            'it must be "family-wise" or "false-discovery".',
        ),
        (
            [
                table("value", control="false-discovery", family="map"),
                table("value", id="d", family="map"),
            ],
            "claim 'd': its control is family-wise, that of 'c' in family 'map' is false-discovery",
        ),
        (
            [table("value", family="map"), table("range", id="d", family="map")],
            "claim 'd': its kind is range or equivalence, that of 'c' in family 'map' is value; "
            "give each kind its own family.",
        ),
    ],
)
def test_a_family_has_one_error_rate_of_one_question(
    tables: list[dict[str, object]], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(AuditError) as caught:
        load_claims(write_claims(tmp_path, *tables))
    assert sentence in str(caught.value)


def test_ranges_and_equivalences_may_share_a_family(tmp_path: Path) -> None:
    tables = [table("range", family="f"), table("equivalence", id="d", family="f")]
    assert len(load_claims(write_claims(tmp_path, *tables)).claims) == 2
