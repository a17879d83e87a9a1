"""A card says how its claim was tested, what came of it, and what would change that."""

import re
from dataclasses import replace

import pytest

from fa_audit.audit import Word
from fa_audit.report import Report
from fa_audit.report.cards import claim_card
from fa_audit.report.sentences import how_tested, what_would_change
from fa_audit.report.strips import strip_plot


def card(report: Report, id: str) -> str:
    material = report.material
    return claim_card(next(v for v in material.verdicts if v.claim == id), material)


def change(report: Report, id: str) -> str:
    material = report.material
    verdict = next(v for v in material.verdicts if v.claim == id)
    return what_would_change(material.claim[id], verdict)


@pytest.mark.parametrize(
    ("id", "says"),
    [
        ("bp-accuracy", "in the prediction interval of our seeds"),
        ("order", "We ask of 2 differences, taken seed by seed (paired t test)"),
        ("order", "and then whether each is at least 20 points"),
        ("near-bp", "the bounds that the claims file sets, −5 to 5 points"),
        ("winner", "by counting its wins (binomial test)"),
        ("cka-usf_sn/conv1/conv1", "4 claims of the family “cka” are explored together"),
        ("read", "No runs are needed"),
    ],
)
def test_the_test_is_told_in_words(invented_report: Report, id: str, says: str) -> None:
    material = invented_report.material
    assert says in how_tested(material.claim[id], material)


@pytest.mark.parametrize(
    ("id", "says"),
    [
        ("bp-accuracy", "A published value inside"),
        ("order", "BP − FA (Toeplitz), now 36.45 to 38.83 points, below 20 points."),
        ("near-bp", "Further seeds that move the interval of our mean"),
        ("signs/conv2", "A definition under which the measurement exists."),
        ("long-training", "uSF Init seed 2"),
        ("fa-at-the-end", "More seeds alone would not"),
        ("winner", "About 11 seeds in place of 2"),
        ("read", "that we have overlooked"),
        ("asked-and-so", "below 0 points."),
        ("asked-and-not-so", "above 0 points."),
    ],
)
def test_what_would_change_the_verdict(invented_report: Report, id: str, says: str) -> None:
    assert says in change(invented_report, id)


@pytest.mark.parametrize(
    ("id", "word", "says"),
    [
        ("bp-accuracy", Word.REPRODUCED, "or seeds so scattered that the interval is wider than"),
        ("order", Word.DIRECTION_ONLY, "to 20 points or more."),
        ("order", Word.NOT_REPRODUCED, "above 0 points."),
        ("angle-end/fc1", Word.NOT_REPRODUCED, "between the bounds."),
        ("winner", Word.REPRODUCED, "that this configuration wins more rarely."),
        ("winner", Word.NOT_REPRODUCED, "that this configuration wins more often."),
        ("read", Word.NOT_TESTABLE, "or an experiment that supplies it."),
    ],
)
def test_what_would_change_another_verdict(
    invented_report: Report, id: str, word: Word, says: str
) -> None:
    material = invented_report.material
    verdict = next(v for v in material.verdicts if v.claim == id)
    assert says in what_would_change(material.claim[id], replace(verdict, word=word))


def test_a_claim_about_other_settings_waits_for_them(invented_report: Report) -> None:
    material = invented_report.material
    verdict = next(v for v in material.verdicts if v.claim == "long-training")
    claim, complete = material.claim["long-training"], replace(verdict, missing=())
    assert what_would_change(claim, complete) == "Runs with epochs = 50, as the claim is about."


def test_every_claim_has_both_sentences(invented_report: Report) -> None:
    for verdict in invented_report.material.verdicts:
        claim = invented_report.material.claim[verdict.claim]
        for sentence in (
            how_tested(claim, invented_report.material),
            what_would_change(claim, verdict),
        ):
            assert sentence.endswith("."), sentence


def test_a_value_claim_shows_seeds_interval_and_published_value(invented_report: Report) -> None:
    text = card(invented_report, "bp-accuracy")
    assert text.count("<circle") == 3
    assert 'class="interval"' in text
    assert 'class="published"' in text
    assert "the bar is the 95 % prediction interval" in text
    assert "Table 1 (printed)" in text


def test_a_range_shows_what_is_claimed(invented_report: Report) -> None:
    assert 'class="band"' in card(invented_report, "angle-end/fc1")


def test_an_order_shows_every_subject_and_every_pair(invented_report: Report) -> None:
    text = card(invented_report, "order")
    assert text.count("<circle") == 9
    for pair in ("BP − FA (Toeplitz)", "uSF SN − FA (Toeplitz)"):
        assert f'<th scope="row">{pair}</th>' in text


def test_a_difference_is_drawn_seed_by_seed(invented_report: Report) -> None:
    text = card(invented_report, "near-bp")
    assert "uSF SN − BP" in text
    assert text.count("<circle") == 3


def test_a_question_of_the_audit_says_that_the_paper_does_not_ask_it(
    invented_report: Report,
) -> None:
    assert "the audit; the paper does not say it" in card(invented_report, "asked-and-so")
    assert "the paper does not say it" not in card(invented_report, "order")


def test_a_grid_shows_who_won(invented_report: Report) -> None:
    assert "FA (Toeplitz) grid, lr 0.001, σ 0.1</th>" in card(invented_report, "winner")


def test_a_claim_settled_by_reading_has_neither_plot_nor_runs(invented_report: Report) -> None:
    text = card(invented_report, "read")
    assert "<svg" not in text
    assert "The runs behind it" not in text


def test_runs_are_named_with_what_made_them(invented_report: Report) -> None:
    text = card(invented_report, "bp-accuracy")
    for seed, record in invented_report.material.runs("bp").items():
        assert f"BP, seed {seed} <code>{record.hash[:12]}</code>" in text
    assert "Code 0.1.0 (0123456789ab); device invented &lt;device&gt;." in text


def test_marks_lie_within_the_plot(invented_report: Report) -> None:
    material = invented_report.material
    for verdict in material.verdicts:
        plot = strip_plot(material.claim[verdict.claim], verdict, material)
        for x in re.findall(r' (?:cx|x)="([\d.-]+)"', plot or ""):
            assert 0 <= float(x) <= 340


def test_no_verdict_of_the_invented_study_is_left_out(invented_report: Report) -> None:
    words = {verdict.word for verdict in invented_report.material.verdicts}
    assert words >= set(Word) - {Word.DIRECTION_ONLY}
