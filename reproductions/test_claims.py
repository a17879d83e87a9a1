"""Study by study and claim by claim: the committed ledger still gives the recorded verdict."""

from functools import cache
from pathlib import Path

import pytest

from fa_audit.audit import (
    Change,
    Claims,
    Evidence,
    compare_records,
    compare_verdicts,
    judge,
    load_claims,
)
from fa_audit.audit.gather import gather
from fa_audit.study.spec import load_study

ROOT = Path(__file__).parents[1]
STUDIES = [
    file.parent.relative_to(ROOT).as_posix()
    for file in sorted(Path(__file__).parent.glob("**/study.toml"))
]
every_study = pytest.mark.parametrize("study", STUDIES)


@cache
def claims(study: str) -> Claims:
    return load_claims(ROOT / study / "claims.toml")


@cache
def evidence(study: str) -> Evidence:
    return gather(load_study(ROOT / study), ROOT / study)


def recorded(study: str) -> str:
    return (ROOT / study / "verdicts.json").read_text(encoding="utf-8")


@cache
def changes(study: str) -> dict[str, Change]:
    """What differs between the verdicts derived now and those recorded, by claim."""
    verdicts = judge(claims(study), evidence(study))
    return {change.claim: change for change in compare_verdicts(recorded(study), verdicts)}


@pytest.mark.parametrize(
    ("study", "claim"), [(study, claim.id) for study in STUDIES for claim in claims(study).claims]
)
def test_the_verdict_is_the_recorded_one(study: str, claim: str) -> None:
    assert claim not in changes(study), str(changes(study)[claim])


@every_study
def test_no_verdict_is_recorded_of_a_claim_that_is_gone(study: str) -> None:
    assert changes(study).keys() <= {claim.id for claim in claims(study).claims}


@every_study
def test_the_records_are_those_there_were(study: str) -> None:
    assert compare_records(recorded(study), evidence(study).records) == []


@every_study
@pytest.mark.parametrize("file", ["noxfile.py", ".ci/run", ".github/workflows/tests.yml"])
def test_whatever_judges_the_studies_judges_all_of_them(study: str, file: str) -> None:
    words = (ROOT / file).read_text(encoding="utf-8").replace('"', " ").split()
    assert study in [word.rstrip(",]") for word in words]


@every_study
def test_no_claim_is_about_other_settings_than_its_runs_have(study: str) -> None:
    verdicts = judge(claims(study), evidence(study))
    unlike = [one.claim for one in verdicts if one.reason.startswith("The claim is about ")]
    assert unlike == []
