"""The README promises nothing that does not work."""

import json
import re
import shlex
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import torch
from PIL import Image

from fa_audit.audit import load_claims
from fa_audit.audit.wording import digits
from fa_audit.cli import build_parser, main
from fa_audit.report.drawing import Figure

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


def run(code: str) -> dict[str, object]:
    """What the names of an example stand for after it has run as printed."""
    names: dict[str, object] = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(code, "README.md", "exec"), names)
    return names


@pytest.mark.parametrize("code", BLOCKS, ids=["convert", "compare", "rank"])
def test_python_examples_run(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(code)
    assert capsys.readouterr().out


def test_the_convert_example_trains_through_the_rule() -> None:
    assert "rule=fa_toeplitz" in repr(run(BLOCKS[0])["network"])


@pytest.mark.parametrize("command", [c for c in COMMANDS if "fa-audit" in c])
def test_commands_parse(command: str) -> None:
    for part in command.split("&&"):
        words = shlex.split(part)
        if words[0] == "fa-audit":
            assert callable(build_parser().parse_args(words[1:]).command)


def test_extras_and_paths_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in re.findall(r'pip install "\.\[(.*?)\]"', README):
        assert set(extra.split(",")) <= set(project["optional-dependencies"])
    for path in re.findall(r"reproductions/[\w./]+", README):
        assert (ROOT / path).exists(), path


def test_continuous_integration_runs_the_test_command_as_printed() -> None:
    [command] = [c for c in COMMANDS if "pytest" in c]
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert command in (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")


def test_the_verdicts_are_those_that_their_command_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = r"<!-- verdicts: fa-audit (.*?) -->\n(.*?)<!-- end of verdicts -->"
    [(command, verdicts)] = re.findall(block, README, re.DOTALL)
    monkeypatch.chdir(ROOT)
    main(shlex.split(command))
    assert verdicts == capsys.readouterr().out, (
        f"README.md shows other verdicts; put what `fa-audit {command}` prints between its comments"
    )


def test_the_worst_error_rates_are_those_of_the_calibration() -> None:
    table = (ROOT / "tests/audit/calibration.md").read_text(encoding="utf-8")
    [worst] = [line for line in table.splitlines() if line.startswith("| all of these |")]
    normal, *skewed = re.findall(r"\*\*(\.\d+)\*\*", worst)[:3]
    told = f"at most {normal} where seeds are normal, but up to {max(skewed)} where they are skewed"
    assert told in " ".join(README.split())


def numbers(text: str) -> set[str]:
    """The numbers in a text, as they are written but for their signs."""
    return {found.rstrip(".,") for found in re.findall(r"\d[\d.,]*(?:e-?\d+)?", text)}


def test_what_surprised_us_tells_the_numbers_of_the_claims_it_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = "reproductions/lance_kieu_2026"
    [section] = re.findall(r"^## What surprised us\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    found = re.findall(r"^- (.*?)<!-- claims: (.*?) -->$", section, re.DOTALL | re.MULTILINE)
    assert len(found) == section.count("\n- ") > 3
    monkeypatch.chdir(ROOT)
    main(["judge", study, "--reasons"])
    printed = capsys.readouterr().out.splitlines()
    statements = {
        claim.id: claim.statement for claim in load_claims(ROOT / study / "claims.toml").claims
    }
    recorded = json.loads((ROOT / study / "verdicts.json").read_text(encoding="utf-8"))
    verdicts = {one["claim"]: one for one in recorded["verdicts"]}
    for told, names in found:
        known: set[str] = set()
        least: set[str] = set()
        for name in names.split(", "):
            differences = [abs(one["difference"]["mean"]) for one in verdicts[name]["comparisons"]]
            least |= {digits(min(differences))} if differences else set()
            [row, reason] = [line for line in printed if re.match(rf"{re.escape(name)}[ :]", line)]
            known |= numbers(f"{row} {reason} {statements[name]}".replace(name, ""))
        at_least = re.findall(r"(\d[\d.]*)(?: points)? or more", told)
        assert set(at_least) <= least, f"not the least of any claim named: {at_least}"
        known |= least
        told = re.sub(r"\]\(.*?\)", "]", told)  # the target of a link is no number told
        assert numbers(told) <= known, f"{sorted(numbers(told) - known)}: {told}"


def test_the_figures_are_those_that_their_command_makes() -> None:
    from fa_audit.report import make_report
    from fa_audit.report.page import all_figures

    block = r"<!-- figures: fa-audit (.*?) -->\n(.*?)<!-- end of figures -->"
    [(command, text)] = re.findall(block, README, re.DOTALL)
    options = build_parser().parse_args(shlex.split(command))
    shown = [Path(path) for path in re.findall(r"!\[.*?\]\((.*?)\)", text)]
    assert shown == options.figure
    figures = chain(*all_figures(make_report(ROOT / options.studies[0]).material).values())
    alts = {figure.name: figure.alt for figure in figures if isinstance(figure, Figure)}
    for file in shown:
        with Image.open(ROOT / file) as picture:
            numbers = picture.info["Description"]
        assert numbers == alts[file.stem], f"{file} is of another ledger: run fa-audit {command}"


def test_the_rules_table_has_every_rule() -> None:
    from fa_audit.rules import RULES

    assert re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE) == list(RULES)
