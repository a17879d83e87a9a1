"""`fa-audit report`: what it writes, and what it says when it cannot."""

import shlex
from pathlib import Path

import pytest

from fa_audit.cli import build_parser, main
from fa_audit.data.cifar import FOLDER_VARIABLE
from fa_audit.errors import AuditError
from fa_audit.report import Report, make_report, markdown_report, write_figure
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


def parsed(report: Report) -> list[tuple[list[str], str]]:
    """The words of each command that makes a report again, and what is said of it."""
    lines = [line.split("  # ") for line in report.commands]
    commands = [(shlex.split(command), comment) for command, comment in lines]
    for words, _ in commands:
        assert words[0] == "fa-audit"
        assert callable(build_parser().parse_args(words[1:]).command)
    return commands


def test_the_page_says_how_to_make_it_again(study: Path) -> None:
    name = str(study)
    assert parsed(make_report(study)) == [
        (
            ["fa-audit", "run", name, "--data", "DIR", "--out", "OUT"],
            "images to ledger; DIR holds CIFAR-10",
        ),
        (["fa-audit", "judge", name], "ledger to verdicts"),
        (["fa-audit", "report", name], "this page"),
    ]


def test_a_page_from_another_folder_is_made_again_from_there(study: Path, tmp_path: Path) -> None:
    other = study.rename(tmp_path / "my study")
    out = tmp_path / "it's here"
    there = ["--out", str(out)]
    elsewhere = [words[3:] for words, _ in parsed(make_report(other, out))]
    assert elsewhere == [["--data", "DIR", "--out", "OUT"], [], there]
    (out / "ledger").mkdir(parents=True)
    commands = [words for words, _ in parsed(make_report(other, out))]
    assert [words[2] for words in commands] == 3 * [str(other)]
    assert [words[3:] for words in commands] == [["--data", "DIR", *there], there, there]


def test_a_stand_in_is_made_again_without_a_folder_of_images(tmp_path: Path) -> None:
    write_study(tmp_path, ('"cifar10"', '"shapes"'))
    for file in (tmp_path / "ledger").iterdir():
        file.unlink()
    words, comment = parsed(make_report(tmp_path))[0]
    assert (words[3:], comment) == (["--out", "OUT"], "images to ledger")


def test_images_are_read_for_the_figure_that_shows_them_alone(
    invented_study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    command = ["report", str(invented_study)]
    assert main([*command, "--markdown"]) == 0
    assert main([*command, "--figure", str(tmp_path / "accuracy.svg")]) == 0
    assert capsys.readouterr().err == ""
    for images in (["--figure", str(tmp_path / "exemplars.svg")], ["--out", str(tmp_path)]):
        assert main([*command, *images]) == 2
        assert "nowhere" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["accuracy.svg"]


def test_a_figure_that_shows_images_is_one_of_those_to_choose_from(
    invented_report: Report, tmp_path: Path
) -> None:
    write_figure(invented_report, tmp_path / "exemplars.svg")
    with pytest.raises(AuditError, match=r"one of: accuracy, .*exemplars"):
        write_figure(invented_report, tmp_path / "exemplar.svg")
