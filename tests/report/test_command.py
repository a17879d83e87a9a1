"""`fa-audit report`: what it writes, and what it says when it cannot."""

from pathlib import Path

import pytest

from fa_audit.cli import main
from fa_audit.report import Report, markdown_report
from report.invented import write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study without a record: its page is small."""
    write_study(tmp_path / "study")
    for file in (tmp_path / "study" / "ledger").iterdir():
        file.unlink()
    return tmp_path / "study"


def test_the_page_is_written_and_named(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(study), "--out", str(tmp_path / "out")]) == 0
    page = tmp_path / "out" / "report" / "index.html"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>\n<html lang=")
    assert str(page) in capsys.readouterr().out


def test_without_a_folder_it_goes_to_the_study(study: Path) -> None:
    assert main(["report", str(study)]) == 0
    assert (study / "report" / "index.html").exists()


def test_a_folder_that_cannot_be_written_is_a_mistake(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main(["report", str(study), "--out", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_markdown_is_printed_and_nothing_written(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(study), "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("**Verdicts of study invented on cifar10**")
    assert not (study / "report").exists()


def test_markdown_has_headlines_warnings_and_all_claims_folded(invented_report: Report) -> None:
    text = markdown_report(invented_report)
    shown, folded = text.split("<details><summary>All 19 claims</summary>")
    assert "| BP: test accuracy |" in shown
    assert "The figure shows what the text says" not in shown
    assert "- 1 of 54 declared runs and measurements are missing: uSF Init seed 2." in shown
    assert "| The figure shows what the text says |" in folded
    assert folded.rstrip().endswith("</details>")


def test_markup_in_a_claim_is_text_in_markdown_too(invented_report: Report) -> None:
    text = markdown_report(invented_report)
    assert "<script>" not in text.replace("\\<", "")
    assert "\\<script>document.title" in text
