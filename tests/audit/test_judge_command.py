"""`fa-audit judge` on the committed ledger of the five-rule study."""

import shutil
from pathlib import Path

import pytest

from fa_audit.audit import load_claims
from fa_audit.cli import main

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "reproductions" / "lance_kieu_2026"
CLAIMS = load_claims(STUDY / "claims.toml")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with a copy of the ledger and the verdicts recorded from it."""
    shutil.copytree(STUDY / "ledger", tmp_path / "ledger")
    assert main(["judge", str(STUDY), "--out", str(tmp_path), "--record"]) == 0
    return tmp_path


def test_what_was_recorded_is_derived_again(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (out / "verdicts.json").read_bytes()
    capsys.readouterr()
    assert main(["judge", str(STUDY), "--out", str(out)]) == 0
    assert capsys.readouterr().err == ""
    assert main(["judge", str(STUDY), "--out", str(out), "--record"]) == 0
    assert (out / "verdicts.json").read_bytes() == before


def test_headlines_are_shown_and_all_claims_are_compared(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["judge", str(STUDY), "--out", str(out), "--headlines", "--reasons"]
    capsys.readouterr()
    assert main(command) == 0
    shown = capsys.readouterr().out
    rows, reasons = shown.split("\n\n", 1)
    below = 4 + len(CLAIMS.headlines)
    assert tuple(line.split()[0] for line in rows.splitlines()[4:below]) == CLAIMS.headlines
    assert set(rows.splitlines()[below]) == {"-"}
    assert {line.split(": ")[0] for line in reasons.split("\n\n")} == set(CLAIMS.headlines)

    next((out / "ledger").glob("untrained~bp-s0-*.json")).unlink()
    assert main(command) == 1
    again = capsys.readouterr()
    missing = [
        line for line in again.err.splitlines() if "record untrained~bp seed 0 is missing" in line
    ]
    concerned = [claim for claim in CLAIMS.claims if "untrained~bp" in claim.subjects]
    assert len(missing) == len(again.err.splitlines()) == len(concerned) > 10
    assert again.out.splitlines()[:below] == shown.splitlines()[:below]


def test_verdicts_that_are_not_recorded_are_said_to_be_so_beside_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", str(STUDY), "--out", str(tmp_path), "--markdown"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("**Verdicts of study lance_kieu_2026 on cifar10**\n")
    assert printed.err.startswith(f"No verdicts are recorded in {tmp_path / 'verdicts.json'}")


def test_a_study_without_headlines_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ROOT / "src" / "fa_audit" / "quick"
    assert main(["judge", str(quick), "--out", str(tmp_path), "--headlines"]) == 2
    [sentence] = capsys.readouterr().err.splitlines()
    assert "names no headlines; add headlines = " in sentence
