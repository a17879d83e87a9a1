"""The checks as pytest cases: `parametrize_with_rule_checks` and the plugin's options."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from conformance.adapters import torch_nn
from fa_audit.conformance import loading, parametrize, parametrize_with_rule_checks
from fa_audit.conformance.runner import ThisProcess
from fa_audit.errors import AuditError

PLUGIN = "fa_audit.conformance.plugin"
# Installed packages bring the plugin by their entry point; a source tree is told.
INSTALLED = any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))
WITH_PLUGIN = () if INSTALLED else ("-p", PLUGIN)

MODULE = """
from fa_audit.conformance import NotOfferedError, parametrize_with_rule_checks
from conformance.adapters import TorchNN

class Mine(TorchNN):
    name = "mine"

    def build(self, spec):
        if spec.kind == "conv2d":
            raise NotOfferedError("there are no convolutions")
        if len(spec.weight) == 1:
            raise ValueError("one is none")
        return super().build(spec)

adapter = Mine()
"""
TEST = """
from mine import adapter
from fa_audit.conformance import parametrize_with_rule_checks

@parametrize_with_rule_checks(adapter, {expected}, time_limit=None)
def test_conformance(check):
    check()
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest in a folder with an adapter called mine."""

    def open_runner(adapter, time_limit):
        return ThisProcess(loading.load_target(adapter) if isinstance(adapter, str) else adapter)

    monkeypatch.setattr(parametrize, "open_runner", open_runner)
    pytester.makepyfile(mine=MODULE)
    pytester.syspathinsert()

    def with_expected(*arguments: str, expected: dict[str, str] | None = None):
        if expected is not None:
            pytester.makepyfile(test_mine=TEST.replace("{expected}", repr(expected)))
        return pytester.runpytest_inprocess(*WITH_PLUGIN, "-rA", *arguments)

    return with_expected


def test_every_check_is_a_case_with_a_readable_id(run):
    result = run(expected={})
    result.assert_outcomes(passed=26, failed=1, skipped=33)
    result.stdout.fnmatch_lines(
        [
            "Building the layer raised ValueError: one is none.",
            "Check: A layer with one output unit or channel.",
            "Source: PyTorch's documentation of torch.nn.Linear and torch.nn.Conv2d.",
            "PASSED test_mine.py::test_conformance[[]bp/linear/forward[]]",
            "SKIPPED [[]33[]] *: there are no convolutions",
            "FAILED test_mine.py::test_conformance[[]bp/linear/one_output[]]*",
        ]
    )
    result.stdout.no_fnmatch_line("*parametrize.py:*: *Error*")


def test_a_failure_that_is_expected_is_an_xfail_with_its_reason(run):
    result = run(expected={"bp/linear/one_*": "one is none"})
    result.assert_outcomes(passed=26, xfailed=1, skipped=33)
    result.stdout.fnmatch_lines(["XFAIL *bp/linear/one_output* - one is none"])


def test_a_pass_that_is_not_expected_fails(run):
    result = run(expected={"bp/linear/one_*": "one is none", "bp/linear/forward": "no"})
    result.assert_outcomes(passed=25, failed=1, xfailed=1, skipped=33)
    result.stdout.fnmatch_lines(["Expected to fail, but passed: The output is Wx + b."])


def test_an_expected_failure_without_a_check_fails(run):
    result = run(expected={"bp/linear/one_*": "one is none", "bp/linear/froward": "no"})
    result.assert_outcomes(passed=25, failed=1, xfailed=1, skipped=33)
    result.stdout.fnmatch_lines(["expected failures that match no check: bp/linear/froward"])


def test_checks_can_be_chosen_by_their_ids(run):
    run("-k", "linear/forward or linear/types", expected={}).assert_outcomes(
        passed=2, deselected=58
    )


def test_the_option_makes_a_test_of_every_check_without_a_test_file(run, pytester):
    result = run("--fa-audit", "mine:adapter")
    result.assert_outcomes(passed=26, failed=1, skipped=33)
    result.stdout.fnmatch_lines(
        [
            "Building the layer raised ValueError: one is none.",
            "PASSED mine:adapter::bp/linear/forward",
            "FAILED mine:adapter::bp/linear/one_output*",
        ]
    )
    chosen = run("--fa-audit", "mine:adapter", "-k", "linear/forward")
    chosen.assert_outcomes(passed=1, deselected=59)
    file = pytester.makefile(".toml", '["mine"]\n"bp/linear/one_output" = "one is none"')
    result = run("--fa-audit", "mine:adapter", "--fa-audit-expected", str(file))
    result.assert_outcomes(passed=26, xfailed=1, skipped=33)


def test_the_option_refuses_what_is_no_adapter(run):
    result = run("--fa-audit", "mine:nothing")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --fa-audit: module 'mine' has no 'nothing'"])


def test_without_the_option_nothing_is_added(run):
    assert run().ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_the_plugin_loads_pytorch_only_when_it_is_used():
    code = f"import sys, {PLUGIN}, fa_audit.conformance; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_no_adapter_or_no_reason_is_refused_at_once():
    with pytest.raises(AuditError, match="the adapter is of type int"):
        parametrize_with_rule_checks(3)
    with pytest.raises(AuditError, match="needs a reason"):
        parametrize_with_rule_checks(torch_nn, {"*": ""})


def test_the_room_has_the_names_it_tells():
    import fa_audit.conformance as room

    assert all(getattr(room, name) is not None for name in room.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        room.nothing  # noqa: B018
