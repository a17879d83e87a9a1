"""An honest page whatever is missing: no value, no interval and no picture is made up."""

import re
from pathlib import Path

import pytest

from fa_audit.audit import Word
from fa_audit.errors import AuditError
from fa_audit.report import Report, make_report, write_report
from fa_audit.report.flags import flag_sentences
from fa_audit.report.material import Missing
from fa_audit.report.page import all_figures, report_page
from report.invented import write_study

ONE_SEED = [
    ("seeds = [0, 1, 2]", "seeds = [0]"),
    ("seeds = [0, 1]\n", "seeds = [0]\n"),
    ('    "usf_sn~bp.other-seed",\n    "bp~bp.other-seed",\n', ""),
]


def page_of(report: Report) -> str:
    figures = all_figures(report.material)
    return report_page(report.material, figures, report.folder, report.commands, report.changes)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("empty")
    write_study(folder)
    for file in (folder / "ledger").iterdir():
        file.unlink()
    return make_report(folder)


def test_without_any_record_the_page_says_what_is_missing(empty: Report) -> None:
    page = page_of(empty)
    assert "0 of 54 declared" in page
    assert "54 of 54 declared runs and measurements are missing" in page


def test_without_any_record_no_figure_is_drawn(empty: Report) -> None:
    figures = [one for group in all_figures(empty.material).values() for one in group]
    assert all(isinstance(figure, Missing) for figure in figures)
    assert "<svg" not in page_of(empty)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("single")
    write_study(folder, *ONE_SEED, diverged={("fa_toeplitz", 0)})
    return make_report(folder)


@pytest.fixture(scope="module")
def page(single: Report) -> str:
    return page_of(single)


def test_one_run_gets_no_interval(single: Report, page: str) -> None:
    assert all(verdict.interval is None for verdict in single.material.verdicts)
    assert 'class="interval"' not in page
    assert "no interval, because the claim could not be judged" in page
    assert "With one seed the spread between runs is hardly known" in page
    assert not re.search(r"\bnan\b", page)


def test_one_run_leaves_claims_open_and_says_what_would_settle_them(
    single: Report, page: str
) -> None:
    words = {verdict.claim: verdict.word for verdict in single.material.verdicts}
    assert words["bp-accuracy"] == Word.INCONCLUSIVE
    assert "A second seed; one run does not tell how far runs scatter." in page


def test_a_run_that_diverged_is_a_result_and_named_as_one(single: Report, page: str) -> None:
    sentence = "Runs that diverged, counted like the others: FA (Toeplitz) (seed 0)."
    assert sentence in flag_sentences(single.material)
    assert "<td>diverged</td>" in page
    assert "not finite &gt; chance" in page


def test_claims_about_other_lengths_name_the_configurations_they_are_about(single: Report) -> None:
    [sentence] = [one for one in flag_sentences(single.material) if "epochs" in one]
    assert sentence.startswith(
        "Claims about uSF Init are about networks trained for 50 epochs, ours have 3: "
    )


def test_the_same_ledger_gives_the_same_bytes(single: Report, page: str) -> None:
    assert page_of(single) == page


def test_verdicts_other_than_those_recorded_are_named(tmp_path: Path) -> None:
    write_study(tmp_path, *ONE_SEED)
    (tmp_path / "verdicts.json").write_text('{"records": {}, "verdicts": []}', encoding="utf-8")
    report = make_report(tmp_path)
    sentences = list(flag_sentences(report.material, report.changes))
    assert sentences[-1].startswith("19 verdicts differ from those recorded in verdicts.json: ")


def test_an_output_folder_is_used_where_it_has_a_ledger(tmp_path: Path) -> None:
    write_study(tmp_path / "study", *ONE_SEED)
    here = make_report(tmp_path / "study", tmp_path / "elsewhere")
    assert len(here.material.records) > 0
    (tmp_path / "elsewhere" / "ledger").mkdir(parents=True)
    there = make_report(tmp_path / "study", tmp_path / "elsewhere")
    assert there.material.records == ()


def test_a_stand_in_says_so_before_anything_else(tmp_path: Path) -> None:
    write_study(tmp_path, *ONE_SEED, ('"cifar10"', '"shapes"'))
    for file in (tmp_path / "ledger").iterdir():
        file.unlink()
    page = page_of(make_report(tmp_path))
    assert "<title>STAND-IN: An invented study: audit</title>" in page
    assert page.index("Stand-in data.") < page.index("<h1>")
    assert "say nothing about any paper" in page


@pytest.mark.parametrize("content", [b"<html>my homepage</html>", b"\xff\xfe"])
def test_a_page_that_is_no_report_is_not_written_over(tmp_path: Path, content: bytes) -> None:
    write_study(tmp_path, *ONE_SEED)
    page = tmp_path / "report" / "index.html"
    page.parent.mkdir()
    page.write_bytes(content)
    with pytest.raises(AuditError, match=r"index\.html is no report; name another folder"):
        write_report(make_report(tmp_path), page.parent)
    assert page.read_bytes() == content
