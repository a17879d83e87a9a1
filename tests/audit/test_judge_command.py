"""`fa-audit judge` on the committed ledger of the five-rule study."""

import os
import shutil
import subprocess
import sys
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
    first, *others = again.err.splitlines()
    assert first == "differs from verdicts.json: record untrained~bp seed 0 is missing."
    missing = [line for line in others if "record untrained~bp seed 0 is missing" in line]
    concerned = [claim for claim in CLAIMS.claims if "untrained~bp" in claim.subjects]
    assert len(missing) == len(others) == len(concerned) > 10
    assert again.out.splitlines()[:below] == shown.splitlines()[:below]


def test_a_record_that_no_claim_rests_on_is_missed_too(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "fa_random~bp.other-seed"
    assert not any(name in claim.subjects for claim in CLAIMS.claims)
    next((out / "ledger").glob(f"{name}-s0-*.json")).unlink()
    capsys.readouterr()
    assert main(["judge", str(STUDY), "--out", str(out)]) == 1
    said = f"differs from verdicts.json: record {name} seed 0 is missing.\n"
    assert capsys.readouterr().err == said


def test_verdicts_that_are_not_recorded_are_said_to_be_so_beside_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ledger").mkdir()
    assert main(["judge", str(STUDY), "--out", str(tmp_path), "--markdown"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("**Verdicts of study lance_kieu_2026 on cifar10**\n")
    assert printed.err.startswith(f"No verdicts are recorded in {tmp_path / 'verdicts.json'}")


def test_a_study_without_headlines_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ROOT / "src" / "fa_audit" / "quick"
    (tmp_path / "ledger").mkdir()
    assert main(["judge", str(quick), "--out", str(tmp_path), "--headlines"]) == 2
    [sentence] = capsys.readouterr().err.splitlines()
    assert "names no headlines; add headlines = " in sentence


@pytest.mark.parametrize("command", ["judge", "associate"])
def test_a_folder_without_a_ledger_is_a_mistake_and_no_empty_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        assert main([command, str(STUDY), "--out", str(out)]) == 2
        assert "holds no folder called ledger" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b'{"verdicts": [5]}', None])
def test_a_file_of_verdicts_that_is_none_is_a_mistake(
    out: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    file = out / "verdicts.json"
    file.unlink()
    file.mkdir() if content is None else file.write_bytes(content)
    assert main(["judge", str(STUDY), "--out", str(out)]) == 2
    assert "restore" in capsys.readouterr().err


def test_who_stops_reading_loses_neither_the_record_nor_the_exit_code(out: Path) -> None:
    file = out / "verdicts.json"
    file.unlink()
    judge = [sys.executable, "-m", "fa_audit", "judge", str(STUDY), "--out", str(out), "--reasons"]

    def with_a_reader_that_left(*more: str) -> subprocess.CompletedProcess[bytes]:
        read, write = os.pipe()
        os.close(read)
        try:
            return subprocess.run([*judge, *more], stdout=write, stderr=subprocess.PIPE)
        finally:
            os.close(write)

    assert with_a_reader_that_left("--record").returncode == 0
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"inconclusive"', '"reproduced"', 1), encoding="utf-8")
    again = with_a_reader_that_left()
    assert again.returncode == 1
    assert b"differs from verdicts.json" in again.stderr
    assert b"Traceback" not in again.stderr


def test_an_output_that_knows_no_minus_sign_gets_another_sign(out: Path) -> None:
    judge = [sys.executable, "-m", "fa_audit", "judge", str(STUDY), "--out", str(out)]
    for encoding in ("cp1252", "ascii"):
        found = subprocess.run(
            judge, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}
        )
        assert (found.returncode, found.stderr) == (0, b"")
