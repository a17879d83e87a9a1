"""Accuracy against similarity: stated as association, with intervals, or not at all."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from audit.invented_pairs import evidence_of, pair
from fa_audit.audit import Evidence
from fa_audit.audit.paired_runs import to_csv
from fa_audit.cli import main
from fa_audit.report import Report, markdown_report
from fa_audit.report.association import association_notes
from fa_audit.report.drawing import Figure
from fa_audit.report.figures.association import accuracy_against_similarity
from fa_audit.report.material import Material, Missing


def with_evidence(report: Report, evidence: Evidence) -> Material:
    return replace(report.material, evidence=evidence)


@pytest.fixture
def many(invented_report: Report) -> Material:
    """Five rules, each with a similarity and an accuracy of its own, three seeds each."""
    rules = ("fa_random", "fa_toeplitz", "usf_init", "usf_sn", "brsf")
    pairs = [
        pair(rule, seed, 30 + 10 * i + 0.3 * (seed * i % 3), (0.2 + 0.15 * i + 0.01 * seed,) * 2)
        for i, rule in enumerate(rules)
        for seed in range(3)
    ]
    return with_evidence(invented_report, evidence_of([one for both in pairs for one in both]))


def test_every_number_has_its_interval_and_the_caveat_stands_beside_it(many: Material) -> None:
    text = "".join(association_notes(many))
    assert '<th scope="row">mean over layers</th>' in text
    assert "Association, nothing more." in text
    assert "Between rules, .1 more of CKA goes with 6" in text
    assert "fa_random" not in text


def test_the_figure_has_a_panel_for_each_similarity(many: Material) -> None:
    figure = accuracy_against_similarity(many)
    assert isinstance(figure, Figure)
    names = [panel.alt.partition(":")[0] for panel in figure.panels]
    assert names == ["mean over layers, 50 epochs", "conv2, 50 epochs", "fc1, 50 epochs"]
    assert "not evidence that one makes the other" in figure.caption


def test_too_few_runs_get_one_sentence(invented_report: Report) -> None:
    few = with_evidence(invented_report, evidence_of([*pair("usf_sn", 0, 70.0, (0.9, 0.8))]))
    (sentence,) = association_notes(few)
    assert sentence == (
        "<p>How closely accuracy and similarity go together cannot be estimated from so few: "
        "1 run, 1 configuration, 1 rule, 1 seed.</p>"
    )


def test_without_a_comparison_nothing_is_said(invented_report: Report) -> None:
    none = with_evidence(invented_report, evidence_of([]))
    assert list(association_notes(none)) == []
    figure = accuracy_against_similarity(none)
    assert isinstance(figure, Missing)
    assert "No run of this study is compared with BP of its own seed yet" in figure.reason


def test_it_is_in_page_markdown_and_csv(invented_report: Report, invented_page: Path) -> None:
    too_few = "cannot be estimated from so few: 6 runs, 2 configurations, 2 rules, 3 seeds."
    assert too_few in invented_page.read_text(encoding="utf-8")
    text = markdown_report(invented_report)
    assert "<details><summary>Accuracy against similarity to BP</summary>" in text
    assert too_few in text
    assert "Association, nothing more." in text
    file = invented_page.parent / "accuracy-and-similarity.csv"
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert [(row["run"], row["seed"]) for row in rows] == [
        *((id, str(seed)) for id in ("fa_toeplitz", "usf_sn") for seed in range(3)),
        *(("grid-fa_toeplitz.learning_rate=0.003.feedback_scale=0.1", seed) for seed in "01"),
    ]


def test_the_command_prints_sentences_or_runs(
    invented_report: Report, invented_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["associate", str(invented_study)]) == 0
    assert capsys.readouterr().out.startswith("Does similarity to bp of the same seed go with")
    assert main(["associate", str(invented_study), "--csv"]) == 0
    runs = invented_report.material.associations.paired.runs
    assert capsys.readouterr().out == to_csv(runs)


def test_an_unknown_reference_is_a_mistake(
    invented_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["associate", str(invented_study), "--reference", "sgd"]) == 2
    assert "--reference sgd: there is no such configuration; choose from: bp," in (
        capsys.readouterr().err
    )
