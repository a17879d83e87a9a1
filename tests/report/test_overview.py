"""Several studies in one report: a page for each, and one that leads to them."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from fa_audit.cli import main
from fa_audit.report import make_report, write_reports
from report.invented import MARKUP, write_study
from report.test_page import Page

SECOND = ('name = "invented"', 'name = "another"')


def two_studies(folder: Path) -> list[Path]:
    """Without records, so that their pages are small."""
    folders = [folder / name for name in ("first", "second")]
    for one, changes in zip(folders, ([], [SECOND]), strict=True):
        write_study(one, *changes)
        for file in (one / "ledger").iterdir():
            file.unlink()
    return folders


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return two_studies(tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="module")
def written(studies: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    reports = [make_report(study) for study in studies]
    return write_reports(reports, tmp_path_factory.mktemp("out"))


def test_it_leads_to_the_page_and_the_card_of_every_headline(
    written: Path, studies: list[Path]
) -> None:
    page = Page(written.read_text(encoding="utf-8"))
    links = [str(link["href"]) for link in page.all("a")]
    for study, name in zip(studies, ("invented", "another"), strict=True):
        material = make_report(study).material
        target = Page((written.parent / name / "index.html").read_text(encoding="utf-8"))
        ids = {attributes.get("id") for _, attributes in target.elements}
        assert f"{name}/index.html" in links
        own = [link for link in links if link.startswith(f"{name}/index.html#")]
        assert len(own) == len(material.claims.headlines) == 2
        assert {unquote(link.partition("#")[2]) for link in own} <= ids
    assert len(links) == 2 + 2 * 2


def test_it_says_of_each_study_what_it_is_and_what_became_of_all_claims(
    written: Path, studies: list[Path]
) -> None:
    text = unescape(written.read_text(encoding="utf-8"))
    material = make_report(studies[0]).material
    assert text.count(material.study.title) == text.count(material.claims.paper) == 2
    counts = re.findall(
        r"(\d+) claims of the paper: [^<]*inconclusive[^<]*\. (\d+) questions", text
    )
    assert [sum(map(int, pair)) for pair in counts] == [len(material.verdicts)] * 2
    assert text.count("0 of 54 declared") == 2


def test_claims_without_headlines_are_all_there(tmp_path: Path) -> None:
    studies = two_studies(tmp_path)
    claims = studies[1] / "claims.toml"
    text = re.sub(r"(?s)headlines = \[.*?\]\n", "", claims.read_text(encoding="utf-8"), count=1)
    claims.write_text(text, encoding="utf-8")
    page = write_reports([make_report(study) for study in studies], tmp_path / "out")
    links = [str(link["href"]) for link in Page(page.read_text(encoding="utf-8")).all("a")]
    every = len(make_report(studies[1]).material.verdicts)
    assert sum(link.startswith("another/index.html#") for link in links) == every
    assert MARKUP not in page.read_text(encoding="utf-8")


def test_on_stand_in_images_it_says_so(tmp_path: Path, studies: list[Path]) -> None:
    drawn = tmp_path / "drawn"
    write_study(drawn, SECOND, ('name = "cifar10"', 'name = "shapes"'))
    for file in (drawn / "ledger").iterdir():
        file.unlink()
    claims = drawn / "claims.toml"
    claims.write_text(
        claims.read_text(encoding="utf-8").replace('data = "cifar10"', 'data = "shapes"'), "utf-8"
    )
    page = write_reports([make_report(one) for one in (studies[0], drawn)], tmp_path / "out")
    assert page.read_text(encoding="utf-8").count("Stand-in data.") == 1


def test_the_command_names_the_page_and_each_study_has_its_own_ledger(
    studies: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *map(str, studies), "--out", str(tmp_path)]) == 0
    assert f"begin at {tmp_path / 'report' / 'index.html'}" in capsys.readouterr().out
    assert main(["report", *map(str, studies), "--out", str(tmp_path)]) == 0  # once more


def test_markdown_of_several_is_one_after_the_other(
    studies: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *map(str, studies), "--markdown"]) == 0
    printed = capsys.readouterr().out
    first = printed.index("**Verdicts of study invented on cifar10**")
    assert first == 0 < printed.index("\n\n**Verdicts of study another on cifar10**")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "2 studies have no folder in common; name one with --out DIR"),
        (("--figure", "accuracy.png"), "--figure draws one figure of one study, and 2 are given"),
    ],
)
def test_what_cannot_be_done_with_several_is_said(
    options: tuple[str, ...],
    sentence: str,
    studies: list[Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["report", *map(str, studies), *options]) == 2
    assert sentence in capsys.readouterr().err


def test_one_study_twice_is_refused(
    studies: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = [str(studies[0])] * 2
    assert main(["report", *twice, "--out", str(tmp_path)]) == 2
    assert "are both called invented" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_neither_page_is_written_over_by_the_other(
    studies: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several, one = tmp_path / "several", tmp_path / "one"
    assert main(["report", *map(str, studies), "--out", str(several)]) == 0
    assert main(["report", str(studies[0]), "--out", str(several)]) == 2
    assert "is the report of several studies; name another folder" in capsys.readouterr().err
    assert main(["report", str(studies[0]), "--out", str(one)]) == 0
    assert main(["report", *map(str, studies), "--out", str(one)]) == 2
    assert "is the report of the study invented" in capsys.readouterr().err
