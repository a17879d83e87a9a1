"""The checks as cases of a pytest test."""

import atexit
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from fa_audit.conformance.adapter import Adapter
from fa_audit.conformance.expected import ExpectedFailures, read_expected_failures
from fa_audit.conformance.loading import as_adapter
from fa_audit.conformance.runner import TIME_LIMIT, Runner, open_runner
from fa_audit.conformance.trials import Status, Trial, trials_of


def parametrize_with_rule_checks(
    adapter: Adapter,
    expected_failures: Mapping[str, str] | None = None,
    *,
    time_limit: float | None = TIME_LIMIT,
) -> pytest.MarkDecorator:
    """Make a test of every check that the adapter's rules call for.

    The test takes an argument `check` and calls it:

        @parametrize_with_rule_checks(adapter)
        def test_conformance(check):
            check()

    Args:
        adapter: Builds the implementation's layers and reads their feedback.
        expected_failures: Ids of checks that are known to fail, "*" standing for anything → why.
            Strict: one that does not fail fails the test, and so does an entry without a check.
        time_limit: Seconds for one check; see `check_rule`.

    Returns:
        A pytest mark; the tests' ids are the checks', such as `usf_sn/conv2d/stride`.

    Raises:
        AuditError: No adapter; an expected failure without a reason.
    """
    adapter = as_adapter(adapter, "the adapter")
    suite = Suite(adapter, time_limit)
    cases = _cases(suite, tuple(adapter.rules), expected_failures or {})
    return pytest.mark.parametrize("check", [pytest.param(c, id=name) for name, c in cases.items()])


def cases_of_target(
    target: str, expected_failures: Path | None, time_limit: float
) -> "dict[str, CheckCase | StaleCase]":
    """The cases, by id, of MODULE:ADAPTER and a file of expected failures.

    Raises:
        AuditError: The adapter cannot be loaded; the file cannot be read or used.
    """
    suite = Suite(target, time_limit)
    runner = suite.runner
    reasons = (
        {} if expected_failures is None else read_expected_failures(expected_failures, runner.name)
    )
    return _cases(suite, runner.rules, reasons)


def _cases(
    suite: "Suite", rules: Iterable[str], reasons: Mapping[str, str]
) -> "dict[str, CheckCase | StaleCase]":
    expected = ExpectedFailures(reasons)
    trials = [trial for rule in rules for trial in trials_of(rule)]
    cases: dict[str, CheckCase | StaleCase] = {
        trial.id: CheckCase(suite, trial, expected) for trial in trials
    }
    return {**cases, "expected_failures": StaleCase(expected, trials)}


class Suite:
    """The runner of an adapter, begun when a test needs it and ended with the interpreter."""

    def __init__(self, adapter: Adapter | str, time_limit: float | None) -> None:
        self.adapter, self.time_limit = adapter, time_limit

    @cached_property
    def runner(self) -> Runner:
        """One for all tests."""
        runner = open_runner(self.adapter, self.time_limit)
        atexit.register(runner.close)
        return runner


@dataclass(frozen=True)
class CheckCase:
    """One check; passes, skips or fails the test that calls it."""

    suite: Suite
    trial: Trial
    expected: ExpectedFailures

    def __call__(self) -> None:
        """Run the check in the name of the calling test."""
        __tracebackhide__ = True
        result = self.expected.judge(self.suite.runner.run(self.trial))
        match result.status:
            case Status.SKIPPED:
                pytest.skip(result.sentence)
            case Status.FAILED_AS_EXPECTED:
                pytest.xfail(result.reason)
            case Status.FAILED | Status.NOT_AS_EXPECTED:
                check = self.trial.check
                lines = (result.sentence, f"Check: {check.statement}", f"Source: {check.source}.")
                pytest.fail("\n".join(lines), pytrace=False)


@dataclass(frozen=True)
class StaleCase:
    """Fails the test that calls it where an expected failure names no check."""

    expected: ExpectedFailures
    trials: list[Trial]

    def __call__(self) -> None:
        """Compare the entries with the checks."""
        __tracebackhide__ = True
        stale = self.expected.stale(self.trials)
        if stale:
            pytest.fail(f"expected failures that match no check: {', '.join(stale)}", pytrace=False)
