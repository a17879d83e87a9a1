"""Claim by claim: the committed ledger still gives the verdict that is recorded."""

from pathlib import Path

import pytest

from fa_audit.audit import Change, compare_verdicts, judge, load_claims
from fa_audit.audit.gather import gather
from fa_audit.study.spec import load_study

FOLDER = Path(__file__).parent
RECORDED = FOLDER / "verdicts.json"
CLAIMS = load_claims(FOLDER / "claims.toml")
IDS = [claim.id for claim in CLAIMS.claims]

pytestmark = pytest.mark.skipif(
    not RECORDED.exists(),
    reason=f"no verdicts are recorded: fa-audit judge reproductions/{FOLDER.name} --record",
)


@pytest.fixture(scope="session")
def changes() -> dict[str, Change]:
    """What differs between the verdicts derived now and those recorded, by claim."""
    verdicts = judge(CLAIMS, gather(load_study(FOLDER), FOLDER))
    recorded = RECORDED.read_text(encoding="utf-8")
    return {change.claim: change for change in compare_verdicts(recorded, verdicts)}


@pytest.mark.parametrize("claim", IDS)
def test_the_verdict_is_the_recorded_one(claim: str, changes: dict[str, Change]) -> None:
    assert claim not in changes, str(changes[claim])


def test_no_verdict_is_recorded_of_a_claim_that_is_gone(changes: dict[str, Change]) -> None:
    assert changes.keys() <= set(IDS)
