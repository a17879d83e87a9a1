"""Every broken layer is caught by the checks named beside it, and every check catches one."""

import pytest

from conformance import broken_usage  # noqa: F401  (fills BROKEN)
from conformance.broken import BROKEN
from fa_audit.conformance import Status
from fa_audit.conformance.checks import CHECKS
from fa_audit.conformance.trials import all_trials, run_trial


@pytest.fixture(scope="module")
def caught():
    """A table to print (pytest -s): broken layer → the checks that fail."""
    table: dict[str, str] = {}
    yield table
    width = max(map(len, table), default=0)
    print("\n" + "\n".join(f"{name:{width}}  {checks}" for name, checks in table.items()))


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_broken_layer_is_caught(broken, caught):
    trials = [
        trial
        for trial in all_trials()
        if trial.variant.name == broken.rule and trial.kind in broken.kinds
    ]
    results = [run_trial(broken.adapter, trial) for trial in trials]
    failed = [
        f"{result.trial.kind}/{result.trial.check.name}"
        for result in results
        if result.status == Status.FAILED
    ]
    caught[f"{broken.name} ({broken.rule})"] = ", ".join(failed)
    expected = {f"{kind}/{check}" for kind in broken.kinds for check in broken.caught_by}
    assert expected <= set(failed)
    assert len(failed) < len(results), "it is wrong in every way, so it says nothing about a check"


def test_every_check_is_the_one_that_should_catch_some_broken_layer():
    assert set(CHECKS) == {check for broken in BROKEN for check in broken.caught_by}
