"""Verdicts as tables for a terminal and for a README."""

from dataclasses import replace
from pathlib import Path

import pytest

from audit.invented import HEADER, evidence, four_verdicts, record, table, verdict
from fa_audit.audit import Evidence, Word, verdict_table

FOUND = evidence({"bp": [75.1, 75.4, 74.9, 75.2], "fa": [36.0, 35.2, 37.1, 35.9]})
LEGEND = (
    "PI: prediction interval of a run like the published one. "
    "CI: confidence interval of what we estimate."
)
COUNTS = "4 claims in all: 2 reproduced, 1 inconclusive, 1 not testable."


def first_cells(markdown: str) -> list[str]:
    """The first cell of each row below the head."""
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    return [row.split(" | ")[0].removeprefix("| ") for row in rows[2:]]


def test_the_table_shows_claim_published_ours_n_and_verdict(tmp_path: Path) -> None:
    lines = verdict_table(four_verdicts(tmp_path, FOUND), FOUND).splitlines()
    assert lines[0] == "Verdicts of study invented on cifar10"
    assert lines[2].split() == ["claim", "published", "ours", "n", "verdict"]
    value, order, source, open_claim = lines[4:8]
    assert value.startswith("z-value  75 %       75.15 %, 95 % PI [74.41, 75.89]")
    assert value.endswith("4  reproduced")
    assert "75 > 36" in order
    assert "bp − fa: 39.1 points, 95 % CI [" in order
    assert source.split() == ["source", "not", "testable"]
    assert "inconclusive (needs n ≥ " in open_claim
    assert lines[9] == LEGEND
    assert lines[10:] == [COUNTS, "Data: cifar10. Seeds: 0, 1, 2, 3. Epochs: 50. Records: 8 of 8."]


def test_headlines_are_the_rows_in_their_order_and_counts_are_of_all(tmp_path: Path) -> None:
    verdicts = four_verdicts(tmp_path, FOUND)
    lines = verdict_table(verdicts, FOUND, headlines=["source", "z-value"]).splitlines()
    assert [line.split()[0] for line in lines[4:6]] == ["source", "z-value"]
    assert set(lines[6]) == {"-"}
    assert lines[7] == "PI: prediction interval of a run like the published one."
    assert lines[8] == COUNTS
    assert first_cells(verdict_table(verdicts, FOUND, ["open"], markdown=True)) == ["So it is."]


def test_abbreviations_are_explained_where_they_occur(tmp_path: Path) -> None:
    def text(kind: str) -> str:
        return verdict_table([verdict(tmp_path, table(kind), FOUND)], FOUND)

    assert "PI" not in text("source")
    assert "CI" not in text("source")
    assert ", 90 % CI [" in text("equivalence")
    assert "PI" not in text("equivalence")
    assert "CI: confidence interval of what we estimate." in text("equivalence")


def test_properties_are_counted_apart_for_they_need_no_run(tmp_path: Path) -> None:
    known = replace(FOUND, properties={"weight transport": {"usf_init": "sign"}})
    by_definition = verdict(tmp_path, table("property"), known)
    others = [replace(by_definition, claim=f"c{i}") for i in range(2)]
    lines = verdict_table([*four_verdicts(tmp_path, FOUND), by_definition, *others], FOUND)
    assert "\n3 claims are settled by what a rule is, without a run: 3 reproduced.\n" in lines
    assert "without a run" not in verdict_table(four_verdicts(tmp_path, FOUND), FOUND)


def test_the_table_of_a_stand_in_says_so_in_its_title(tmp_path: Path) -> None:
    shapes = replace(FOUND, data="shapes", stand_in=True)
    verdicts = four_verdicts(tmp_path, shapes, HEADER.replace("cifar10", "shapes"))
    for markdown in (False, True):
        first = verdict_table(verdicts, shapes, markdown=markdown).splitlines()[0]
        assert "STAND-IN DATA, not the paper's" in first
        assert "shapes" in first


def test_markdown_has_the_statement_of_each_claim_in_one_row(tmp_path: Path) -> None:
    whole = table("value", statement="At {at}, |a~b| is *right*.", published=75.0)
    text = verdict_table([verdict(tmp_path, whole, FOUND)], FOUND, markdown=True)
    assert first_cells(text) == [r"At last, \|a\~b\| is \*right\*."]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)
    assert text.startswith("**Verdicts of study invented on cifar10**\n\n| claim |")
    assert text.splitlines()[-4] == ""


def test_a_statement_over_several_lines_stays_in_its_row(tmp_path: Path) -> None:
    one = verdict(tmp_path, table("value", published=75.0), FOUND)
    text = verdict_table([replace(one, statement="So\n  it\r\nis.")], FOUND, markdown=True)
    assert first_cells(text) == ["So it is."]


def test_what_keeps_several_claims_open_is_said_once(tmp_path: Path) -> None:
    waiting = evidence({"bp": [75.0, 75.1], "fa": [36.0]})
    text = verdict_table(four_verdicts(tmp_path, waiting), waiting)
    assert "are inconclusive for one reason" not in text
    one = verdict(tmp_path, table("range", requires={"epochs": 6}), FOUND)
    lines = verdict_table([one, replace(one, claim="d")], FOUND).splitlines()
    assert lines[-2] == (
        "2 are inconclusive for one reason: "
        "The claim is about epochs = 6, and ours have epochs = 50."
    )
    wide = verdict(tmp_path, table("value", published=75.0, margin=0.1), FOUND)
    assert wide.word == Word.INCONCLUSIVE
    lines = verdict_table([wide, replace(wide, claim="d")], FOUND).splitlines()
    assert "one reason" not in lines[-2]  # judged, each by numbers of its own


def test_claims_that_wait_for_runs_are_counted_together(tmp_path: Path) -> None:
    waiting = evidence({"bp": [75.0, 75.1], "fa": []}, seeds=(0, 1))
    one, other = (
        verdict(tmp_path, table("value", of=of, minus=minus), waiting)
        for of, minus in [("fa", None), ("bp", "fa")]
    )
    lines = verdict_table([one, replace(other, claim="d")], waiting).splitlines()
    assert lines[-3:-1] == [
        "2 claims in all: 2 inconclusive.",
        "2 of the inconclusive wait for runs that are declared, but not there yet.",
    ]


@pytest.mark.parametrize(
    ("found", "basis"),
    [
        (
            evidence({"bp": [], "fa": []}, seeds=(3, 4)),
            "Seeds: 3, 4. Epochs: none yet. Records: 0 of 4",
        ),
        (
            replace(FOUND, records={"bp": {0: record({}, epochs=6), 1: record({}, epochs=12)}}),
            "Seeds: 0, 1, 2, 3. Epochs: 6, 12. Records: 2 of 4",
        ),
        (
            evidence({"bp": [75.1, 75.4], "fa": []}, declared={"fa": (1, 9, 8)}),
            "Seeds: 0, 1, 9, 8. Epochs: 50. Records: 2 of 5",
        ),
    ],
)
def test_missing_and_mixed_records_are_seen_below_the_table(found: Evidence, basis: str) -> None:
    assert verdict_table((), found).endswith(f"\nThere are no claims.\nData: cifar10. {basis}.")
