"""`fa-audit check`: the table for people and as JSON, the exit code, the mistakes."""

import json
import sys

import pytest

from conformance.adapters import TorchNN, torch_nn
from fa_audit.conformance import NotOfferedError, check_command, command, loading
from fa_audit.conformance.runner import ThisProcess
from fa_audit.conformance.trials import all_trials, trials_of
from fa_audit.errors import AuditError


class OneFault(TorchNN):
    """PyTorch's layers, but that nothing with one output can be built."""

    name = "one fault"

    def build(self, spec):
        if len(spec.weight) == 1:
            raise ValueError("one is none")
        return super().build(spec)


one_fault = OneFault()
offers_what_is_not = type("Unknown", (TorchNN,), {"rules": {"usf_snn": "?"}})()
says_nothing = type("Silent", (TorchNN,), {"rules": None})()
offers_nothing = type("Empty", (TorchNN,), {"rules": {}})()
no_adapter = 3


class Declining(TorchNN):
    name = "declining"

    def build(self, spec):
        raise NotOfferedError(f"no {spec.kind} yet")


class Unmakeable(TorchNN):
    def __init__(self):
        raise ValueError("not today")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """A process of its own takes seconds to start; the README's commands use one."""

    def open_runner(target, time_limit):
        return ThisProcess(loading.load_target(target))

    monkeypatch.setattr(command, "open_runner", open_runner)


def cells(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


OFFERED = len(trials_of("bp"))
NOT_OFFERED = len(all_trials()) - OFFERED
ONE_FAULT = f"{__name__}:one_fault"


def run(capsys, *arguments, **settings) -> tuple[int, str]:
    code = check_command(*arguments, **settings)
    return code, capsys.readouterr().out


def test_the_exit_code_is_zero_if_all_passes(capsys):
    code, table = run(capsys, "conformance.adapters:TorchNN")
    assert code == 0
    assert f"{OFFERED} passed, {NOT_OFFERED} skipped" in table
    assert "FAIL" not in table


def test_the_table_for_people(capsys):
    code, table = run(capsys, ONE_FAULT, rule="bp")
    assert code == 1
    lines = table.splitlines()
    assert lines[0] == "Conformance of one fault"
    assert lines[2].split() == ["bp"]
    assert ["linear/forward", "pass"] in cells(table)
    assert ["linear/one_output", "FAIL"] in cells(table)
    assert f"{OFFERED - 2} passed, 2 failed" in lines
    at = lines.index("  bp/conv2d/one_output")
    assert lines[at + 1 : at + 3] == [
        "    Building the layer raised ValueError: one is none.",
        "    Check: A layer with one output unit or channel. Source: PyTorch's documentation of "
        "torch.nn.Linear and torch.nn.Conv2d.",
    ]


def test_columns_are_variants_and_a_dot_is_where_a_check_is_not_called_for(capsys):
    _, table = run(capsys, "conformance.adapters:replaced_weight")
    lines = cells(table)
    assert lines[2][:5] == ["bp", "fa_random", "fa_toeplitz", "usf_init", "usf_init"]
    assert lines[3] == ["signed", "spectral"]
    (dense_order,) = (line for line in lines if line[:1] == ["conv2d/dense_order"])
    assert dense_order[1:5] == ["·", "pass", "·", "·"]


def test_rules_of_which_nothing_was_tried_have_no_column_and_no_row(capsys):
    _, table = run(capsys, ONE_FAULT)
    lines = table.splitlines()
    assert lines[2].split() == ["bp"]
    assert not any(line.startswith("linear/norm") for line in lines)


def test_skipped_checks_are_listed_once_per_reason(capsys):
    _, table = run(capsys, "fa_audit.conformance.own:adapter", rule="fa_random")
    assert table.endswith(
        "Skipped\n  fa_random/conv2d/same_padding, fa_random/conv2d/circular_padding: "
        "dense feedback takes zero padding, the same on both sides\n"
    )
    _, table = run(capsys, ONE_FAULT)
    assert (
        "  fa_toeplitz/linear/*, fa_toeplitz/conv2d/*: "
        "one fault does not offer rule 'fa_toeplitz'\n"
    ) in table


def test_the_table_as_json(capsys):
    code, text = run(capsys, ONE_FAULT, json=True)
    document = json.loads(text)
    assert code == 1
    assert document["adapter"] == "one fault"
    assert document["summary"] == {
        "passed": OFFERED - 2,
        "failed": 2,
        "skipped": NOT_OFFERED,
        "failed as expected": 0,
        "did not fail as expected": 0,
    }
    assert document["unmatched_expected_failures"] == []
    (result,) = (r for r in document["results"] if r["id"] == "bp/linear/one_output")
    assert result == {
        "id": "bp/linear/one_output",
        "rule": "bp",
        "options": {},
        "layer": "linear",
        "check": "one_output",
        "status": "failed",
        "sentence": "Building the layer raised ValueError: one is none.",
        "reason": "",
        "statement": "A layer with one output unit or channel.",
        "source": "PyTorch's documentation of torch.nn.Linear and torch.nn.Conv2d",
    }


@pytest.fixture
def expected(tmp_path):
    def write(*entries: str):
        file = tmp_path / "expected.toml"
        file.write_text("\n".join(['["one fault"]', *entries]), encoding="utf-8")
        return file

    return write


def test_expected_failures_are_no_failures(capsys, expected):
    file = expected('"bp/*/one_output" = "one is none"')
    code, table = run(capsys, ONE_FAULT, expected=file)
    assert code == 0
    assert f"{OFFERED - 2} passed, {NOT_OFFERED} skipped, 2 failed as expected" in table
    assert ["linear/one_output", "xfail"] in cells(table)
    assert "    Reason: one is none" in table.splitlines()
    assert run(capsys, ONE_FAULT, rule="bp", expected=file)[0] == 0


def test_a_check_that_passes_against_expectation_is_a_failure(capsys, expected):
    file = expected('"bp/*/one_output" = "one is none"', '"bp/linear/forward" = "no"')
    code, table = run(capsys, ONE_FAULT, expected=file)
    assert code == 1
    assert ["linear/forward", "XPASS"] in cells(table)
    assert "Expected to fail, but passed: The output is Wx + b." in table


def test_an_expected_failure_without_a_check_is_a_failure(capsys, expected):
    file = expected('"bp/*/one_output" = "one is none"', '"bp/linear/froward" = "no"')
    code, table = run(capsys, ONE_FAULT, expected=file)
    assert code == 1
    assert table.endswith("Expected failures that match no check\n  bp/linear/froward\n")
    _, text = run(capsys, ONE_FAULT, json=True, expected=file)
    assert json.loads(text)["unmatched_expected_failures"] == ["bp/linear/froward"]


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("conformance", "'conformance' names no adapter; write MODULE:ADAPTER"),
        (":adapter", "names no adapter"),
        ("conformance.adapters:", "names no adapter"),
        ("nowhere:adapter", "module 'nowhere' cannot be imported: ModuleNotFoundError: No module"),
        ("conformance.adapters:nothing", "module 'conformance.adapters' has no 'nothing'"),
        (f"{__name__}:no_adapter", "no_adapter is of type int, not an instance or a subclass of"),
        (f"{__name__}:check_command", "check_command is of type function, not"),
        (f"{__name__}:offers_what_is_not", "offers rules that do not exist: 'usf_snn'; the rules"),
        (f"{__name__}:says_nothing", "needs an attribute rules: {name in RULES: name used there}"),
        (f"{__name__}:offers_nothing", "offers no rule; name one or more of .* in its rules"),
        (f"{__name__}:Unmakeable", "Unmakeable cannot be made into an adapter: not today"),
        ("fa_audit.conformance:Adapter", "Adapter cannot be made into an adapter: .* abstract"),
    ],
)
def test_a_target_that_is_no_adapter_is_a_mistake_to_mend(target, sentence):
    with pytest.raises(AuditError, match=sentence):
        check_command(target)


def test_a_module_that_raises_when_imported_is_a_mistake_to_mend(tmp_path, monkeypatch):
    (tmp_path / "raising_module.py").write_text("raise SystemExit('no')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AuditError, match="'raising_module' cannot be imported: SystemExit: no"):
        check_command("raising_module:adapter")


def test_a_rule_that_does_not_exist_is_a_mistake_to_mend():
    with pytest.raises(AuditError, match="there is no rule 'bpp'"):
        check_command(ONE_FAULT, rule="bpp")


def test_a_rule_that_is_not_offered_is_a_mistake_and_not_a_success():
    with pytest.raises(AuditError, match=r"does not offer rule 'fa_toeplitz'; it offers: bp$"):
        check_command(ONE_FAULT, rule="fa_toeplitz")


@pytest.mark.parametrize("rule", [None, "bp"])
def test_when_every_check_is_skipped_nothing_is_said_to_conform(capsys, rule):
    with pytest.raises(AuditError) as caught:
        check_command(f"{__name__}:Declining", rule=rule)
    assert str(caught.value) == (
        "not one check of declining was run: all were skipped, bp/linear/forward because 'no "
        "linear yet'; offer a layer that can be checked"
    )
    assert capsys.readouterr().out == ""


# Carrying an adapter to another process


def test_an_adapter_is_found_again_by_name_or_by_file(tmp_path, monkeypatch):
    assert type(loading.unpack(loading.pack(torch_nn))) is TorchNN
    packed = loading.pack(torch_nn) | {"module": "known_by_its_file"}
    with pytest.raises(ImportError):
        loading.unpack(packed | {"file": str(tmp_path / "gone.py")})
    file = tmp_path / "elsewhere.py"
    file.write_text("found = True", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "known_by_its_file", None)
    assert type(loading.unpack(packed | {"file": str(file)})) is TorchNN
    assert sys.modules["known_by_its_file"].found
