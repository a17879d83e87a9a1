"""The command line: what users see when all is well, and one clear sentence when it is not."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fa_audit.cli import main

QUICK = Path(__file__).parents[1] / "src" / "fa_audit" / "quick"

STUDY = """
name = "tiny"
title = "A tiny study"
source = "a test"
seeds = [0, 1]
network = "architecture1"

[data]
name = "shapes"
validation = 60
train = 160
test = 50

[training]
epochs = 1
batch_size = 32
learning_rate = 1e-3

[probe]
images = 16
per_decade = 1

[comparison]
pairs = ["fa_toeplitz~bp"]

[[configurations]]
rule = "bp"

[[configurations]]
rule = "fa_toeplitz"
feedback_scale = 0.01
"""

CLAIMS = """
paper = "none"
source = "a test"
data = "shapes"

[[claims]]
id = "accuracy"
kind = "value"
statement = "BP is right on 50 % of the images."
where = "here"
read = "printed"
published = 50
unit = "%"
of = "bp"
measure = "test_accuracy"
at = "last"
margin = 5
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "study.toml").write_text(STUDY)
    (folder / "claims.toml").write_text(CLAIMS)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny study with its ledger and recorded verdicts, made through the command line."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "study.toml").write_text(STUDY)
    (folder / "claims.toml").write_text(CLAIMS)
    assert main(["run", str(folder), "--workers", "1", "--device", "cpu"]) == 0
    assert main(["judge", str(folder), "--record"]) == 0
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, to be spoilt."""
    return shutil.copytree(finished, tmp_path / "copy")


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The sentence that a command ends with; fails unless it is one line and the exit code is 2."""
    code = main(arguments)
    error = capsys.readouterr().err.strip().splitlines()
    assert code == 2, error
    assert len(error) == 1, error
    assert error[0].startswith("fa-audit: ")
    assert "Traceback" not in error[0]
    return error[0]


def test_run_prints_every_seed_and_marks_losses_above_chance(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(finished), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "seed 0" in printed
    assert "seed 1" in printed
    assert "fa_toeplitz" in printed
    assert "!" in printed  # after one epoch of three steps the loss is no better than chance
    assert "stands above chance, 2.30" in printed


def test_the_ledger_has_one_file_per_cell(finished: Path) -> None:
    names = sorted(path.name.rsplit("-", 1)[0] for path in (finished / "ledger").iterdir())
    assert names == [
        "bp-s0",
        "bp-s1",
        "fa_toeplitz-s0",
        "fa_toeplitz-s1",
        "fa_toeplitz~bp-s0",
        "fa_toeplitz~bp-s1",
    ]


def test_judge_says_stand_in_and_agrees_with_the_record(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", str(finished), "--reasons"]) == 0
    printed = capsys.readouterr()
    assert "STAND-IN" in printed.out
    assert "differs" not in printed.out + printed.err


def test_judge_fails_when_a_record_is_missing_and_names_it(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next((copy / "ledger").glob("bp-s1-*.json")).unlink()
    assert main(["judge", str(copy)]) == 1
    assert "record bp seed 1 is missing" in capsys.readouterr().err


def test_judge_fails_when_a_claim_changes(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims = copy / "claims.toml"
    claims.write_text(claims.read_text().replace('of = "bp"', 'of = "fa_toeplitz"'))
    assert main(["judge", str(copy)]) == 1
    assert "differs from verdicts.json: accuracy" in capsys.readouterr().err


def test_an_altered_ledger_file_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next((copy / "ledger").glob("bp-s0-*.json"))
    text = path.read_text()
    value = json.loads(text)["measurements"]["test_accuracy"]["values"]["last"]
    path.write_text(text.replace(f'"last": {value}', f'"last": {value + 1}', 1))
    sentence = mistake(capsys, "judge", str(copy))
    assert path.name in sentence
    assert "altered" in sentence


def test_a_cell_run_again_elsewhere_is_held_to_the_studys_own_record(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", str(finished), "--workers", "1", "--device", "cpu"]
    assert main([*arguments, "--only", "bp:0", "--out", str(tmp_path)]) == 0
    assert re.search(r"^bp:0: all \d+ numbers are as recorded$", capsys.readouterr().out, re.M)
    assert main(arguments) == 0
    assert "as recorded" not in capsys.readouterr().out


def test_a_ledger_file_cut_short_is_set_aside_and_its_cell_runs_again(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next((copy / "ledger").glob("bp-s0-*.json"))
    whole = json.loads(path.read_text())
    path.write_text(path.read_text()[:700])
    assert path.name in mistake(capsys, "judge", str(copy))
    assert main(["run", str(copy), "--workers", "1", "--device", "cpu"]) == 0
    assert "run again" in capsys.readouterr().err
    assert path.with_suffix(".damaged-1").exists()
    again = json.loads(path.read_text())
    assert again["measurements"] == whole["measurements"]
    assert again["series"] == whole["series"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('rule = "fa_toeplitz"', 'rule = "fa"'), "'fa_toeplitz'"),
        (('network = "architecture1"', 'network = "architecture2"'), "architecture2"),
        (("[probe]", "[probe]\nmetric = 3"), "'metric'"),
        (("learning_rate = 1e-3", "learning_rate = 0"), "learning_rate"),
        (("learning_rate = 1e-3", "learning_rat = 1e-3"), "'learning_rat'"),
        (("batch_size = 32", "batch_size = 1000"), "batch_size"),
        (("seeds = [0, 1]", "seeds = []"), "seeds"),
        (('name = "tiny"', "name = tiny"), "TOML"),
    ],
)
def test_a_mistake_in_study_toml_is_one_sentence(
    study: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    expected: str,
) -> None:
    file = study / "study.toml"
    assert change[0] in file.read_text()
    file.write_text(file.read_text().replace(*change))
    assert expected in mistake(capsys, "run", str(study), "--workers", "1", "--device", "cpu")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("margin = 5\n", ""), "margin"),
        (('of = "bp"', 'of = "usf_sn"'), "usf_sn"),
        (('measure = "test_accuracy"', 'measure = "accuracy"'), "accuracy"),
        (('kind = "value"', 'kind = "number"'), "number"),
        (('data = "shapes"', 'data = "cifar10"'), "cifar10"),
    ],
)
def test_a_mistake_in_claims_toml_is_one_sentence(
    copy: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    expected: str,
) -> None:
    file = copy / "claims.toml"
    assert change[0] in file.read_text()
    file.write_text(file.read_text().replace(*change))
    assert expected in mistake(capsys, "judge", str(copy))


def test_a_missing_study_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "study.toml" in mistake(capsys, "run", str(tmp_path / "nowhere"))


def test_a_missing_data_folder_is_one_sentence(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = study / "study.toml"
    sizes = 'name = "shapes"\nvalidation = 60\ntrain = 160\ntest = 50'
    file.write_text(file.read_text().replace(sizes, 'name = "cifar10"\nvalidation = 5000'))
    assert "nowhere" in mistake(capsys, "run", str(study), "--data", str(study / "nowhere"))


def test_an_output_folder_that_cannot_be_written_is_one_sentence(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = study / "blocked"
    blocked.write_text("a file where a folder should be")
    sentence = mistake(capsys, "run", str(study), "--out", str(blocked), "--device", "cpu")
    assert "cannot be written" in sentence


def test_one_cell_alone_has_the_recorded_numbers(
    study: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", str(study), "--only", "bp:1", "--out", str(tmp_path / "out")]
    assert main([*command, "--workers", "1", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "seed 1" in printed
    assert "seed 0" not in printed
    (alone,) = (tmp_path / "out" / "ledger").iterdir()
    found, recorded = (
        json.loads(path.read_text()) for path in (alone, finished / "ledger" / alone.name)
    )
    for key in ("configuration", "measurements", "series"):
        assert found[key] == recorded[key]


def test_only_what_is_not_there_is_one_sentence(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = mistake(capsys, "run", str(study), "--only", "bp:1", "--only", "usf_sn:1")
    assert "'usf_sn'" in sentence


def test_too_many_seeds_are_refused(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "2 are declared" in mistake(capsys, "run", str(study), "--seeds", "3")


@pytest.mark.parametrize("command", ["rules", "metrics"])
def test_the_tables_print_every_row(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    from fa_audit.metrics import METRICS
    from fa_audit.rules import RULES

    assert main([command]) == 0
    printed = capsys.readouterr().out
    for name, row in (RULES if command == "rules" else METRICS).items():
        assert f"{name}: {row.title}" in printed


@pytest.mark.parametrize(
    "command", [[], ["quick"], ["run"], ["judge"], ["report"], ["check"], ["rules"], ["metrics"]]
)
def test_help_teaches(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    assert "usage: fa-audit" in capsys.readouterr().out


def test_help_comes_without_importing_torch() -> None:
    code = (
        "import sys; from fa_audit.cli import build_parser; build_parser(); "
        "assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(QUICK.parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_that_the_caller_closed_is_no_mistake(
    monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    monkeypatch.setattr(sys, stream, None)  # as Python has it after >&- or 2>&-
    assert main(["metrics"]) == 0
    with getattr(sys, stream) as instead:
        assert instead.name == os.devnull


@pytest.mark.parametrize(
    ("function", "arguments", "goes_on"),
    [
        ("studies.quick_command", ["quick"], True),
        ("studies.run_command", ["run", "study"], True),
        ("studies.report_command", ["report", "study"], False),
        ("listings.check_command", ["check", "module:adapter"], False),
    ],
)
def test_a_command_that_is_stopped_says_that_it_goes_on_only_where_it_does(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    function: str,
    arguments: list[str],
    goes_on: bool,
) -> None:
    def interrupted(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"fa_audit.cli.{function}", interrupted)
    assert main(arguments) == 130
    end = "; the same command goes on from here" if goes_on else ""
    assert capsys.readouterr().err == f"fa-audit: stopped{end}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["quick", "--out", ""],
        ["run", ""],
        ["run", "study", "--data", ""],
        ["run", "study", "--out", ""],
        ["judge", "study", "--out", ""],
        ["report", "study", ""],
        ["report", "study", "--data", ""],
        ["report", "study", "--figure", ""],
        ["associate", "study", "--out", ""],
        ["check", "module:adapter", "--expected", ""],
    ],
    ids=" ".join,
)
def test_an_empty_path_is_not_taken_for_the_current_folder(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "the path is empty; name a file or folder" in capsys.readouterr().err


def test_quick_runs_judges_and_says_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []
    monkeypatch.setattr("fa_audit.cli.studies.train", _recorder(calls, "train"))
    monkeypatch.setattr("fa_audit.cli.studies.judge_command", _recorder(calls, "judge"))
    assert main(["quick", "--out", str(tmp_path)]) == 0
    assert calls == ["train", "judge"]
    page = tmp_path / "report" / "index.html"
    assert str(page) in capsys.readouterr().out
    assert "Stand-in data." in page.read_text(encoding="utf-8")


def _recorder(calls: list[str], name: str) -> Callable[[object], int]:
    def record(options: object) -> int:
        calls.append(name)
        return 0

    return record
