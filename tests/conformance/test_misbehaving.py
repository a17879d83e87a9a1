"""Whatever an implementation does, the kit says so in a sentence and goes on."""

import io
import json

import pytest
import torch

from conformance.adapters import TorchNN
from conformance.misbehaving import Misbehaving, dangerous
from fa_audit.conformance import Adapter, NotOfferedError, check_rule, runner, worker
from fa_audit.conformance.runner import SeparateProcess, open_runner
from fa_audit.conformance.trials import all_trials, run_trial
from fa_audit.errors import AuditError

TRIALS = {trial.id: trial for trial in all_trials()}


def raise_(error: BaseException):
    def raising(*_):
        raise error

    return raising


def first(y):
    return y[:1]


DEEDS = {
    "raises when built": (
        {"built": raise_(KeyError("weight"))},
        "Building the layer raised KeyError: 'weight'.",
    ),
    "builds nothing": (
        {"built": lambda layer: None},
        "The adapter built None, not a torch.nn.Module.",
    ),
    "builds a function": (
        {"built": lambda layer: len},
        "The adapter built an object of type builtin_function_or_method, not a torch.nn.Module.",
    ),
    "raises forward": (
        {"output": raise_(ValueError("no.\nReally, no."))},
        "The forward pass raised ValueError: no.",
    ),
    "raises without a word": (
        {"output": raise_(ValueError())},
        "The forward pass raised ValueError.",
    ),
    "leaves the interpreter": (
        {"output": raise_(SystemExit(1))},
        "The forward pass raised SystemExit: 1.",
    ),
    "wrong shape": ({"output": first}, "The output has shape (1, 5); expected (3, 5)."),
    "a tuple": (
        {"output": lambda y: (y, y)},
        "The output is an object of type tuple, not a tensor.",
    ),
    "wrong type": (
        {"output": lambda y: y.float()},
        "The output has type torch.float32; expected torch.float64.",
    ),
    "NaN forward": (
        {"output": lambda y: y * float("nan")},
        "The output holds NaN; all inputs were finite.",
    ),
    "infinity forward": (
        {"output": lambda y: y / 0},
        "The output holds infinity; all inputs were finite.",
    ),
    "detached": (
        {"output": lambda y: y.detach()},
        "The backward pass raised RuntimeError: element 0 of tensors does not require grad and "
        "does not have a grad_fn.",
    ),
    "raises backward": (
        {"sent": raise_(ZeroDivisionError("by zero"))},
        "The backward pass raised ZeroDivisionError: by zero.",
    ),
    "sends nothing": (
        {"sent": lambda error: None},
        "The input got no gradient in the backward pass.",
    ),
    "NaN backward": (
        {"sent": lambda error: error * float("nan")},
        "The gradient of the input holds NaN; all inputs were finite.",
    ),
    "raises when asked for B": (
        {"reported": raise_(AttributeError("B"))},
        "Reading the feedback raised AttributeError: B.",
    ),
    "reports no tensor": (
        {"reported": lambda B: B.tolist()},
        "The reported feedback is an object of type list, not a tensor.",
    ),
    "reports a transposed B": (
        {"reported": lambda B: B.T},
        "The reported feedback has shape (7, 5); expected (5, 7).",
    ),
}


@pytest.mark.parametrize(("deed", "sentence"), DEEDS.values(), ids=DEEDS)
def test_a_misdeed_fails_the_check_with_a_sentence(deed, sentence):
    result = run_trial(Misbehaving(**deed), TRIALS["bp/linear/reported_feedback"])
    assert (result.status, result.sentence) == ("failed", sentence)


def test_what_no_one_thought_of_fails_the_check_too():
    adapter = Misbehaving(output=lambda y: y.to_sparse())
    result = run_trial(adapter, TRIALS["bp/linear/forward"])
    assert result.status == "failed"
    assert result.sentence.startswith("The check broke off with NotImplementedError: ")


def test_an_error_of_zeros_is_no_feedback_of_its_own():
    adapter = Misbehaving(sent=torch.zeros_like)
    result = run_trial(adapter, TRIALS["bp/linear/batch_of_one"])
    assert result.sentence == "Unit errors should come back as the rows of B; nothing comes back."


def test_a_layer_whose_weights_do_not_move_is_told_so():
    class Unmoved(TorchNN):
        def optimizer(self, layer, learning_rate, weight_decay=0.0):
            return super().optimizer(layer, 0.0)

    result = run_trial(Unmoved(), TRIALS["bp/linear/follows_weights"])
    assert result.sentence == (
        "An optimizer step should move the weights; it left them as they were."
    )


@pytest.mark.parametrize("where", ["built", "output", "sent", "reported"])
@pytest.mark.parametrize(("message", "sentence"), [("no B", "no B"), ("", "not offered")])
def test_what_is_not_offered_is_skipped_with_the_reason_wherever_it_is_said(
    where, message, sentence
):
    adapter = Misbehaving(**{where: raise_(NotOfferedError(*filter(None, [message])))})
    result = run_trial(adapter, TRIALS["bp/linear/reported_feedback"])
    assert (result.status, result.sentence) == ("skipped", sentence)


def test_a_misdeed_fails_every_check_and_ends_none_of_the_others():
    results = check_rule(Misbehaving(output=raise_(ValueError("no"))), "bp", time_limit=None)
    assert len(results) > 50
    assert {result.sentence for result in results} == {
        "The forward pass raised ValueError: no.",
        "The forward pass of the network raised ValueError: no.",
    }


def test_a_process_of_its_own_survives_hanging_crashing_and_printing_layers():
    with SeparateProcess({"target": "conformance.misbehaving:dangerous"}, time_limit=60) as process:

        def run(trial: str):
            result = process.run(TRIALS[trial])
            return result.status, result.sentence

        assert (process.name, process.rules) == ("torch.nn", ("bp",))
        here = run_trial(dangerous, TRIALS["bp/conv2d/forward"])
        assert run("bp/conv2d/forward") == ("passed", here.sentence)
        assert run("bp/conv2d/padding")[0] == "passed", "it prints, and reads standard input"
        assert run("bp/conv2d/dilation") == (
            "failed",
            "The check ended its process with signal SIGSEGV.",
        )
        assert run("bp/conv2d/forward")[0] == "passed"
        process.time_limit = 0.5
        assert run("bp/conv2d/stride") == ("failed", "The check did not finish within 0.5 seconds.")
        assert process.process is None
        assert run("usf_sn/conv2d/forward") == (
            "skipped",
            "torch.nn does not offer rule 'usf_sn'",
        )


def test_the_first_check_does_not_pay_for_what_pytorch_imports_late():
    with SeparateProcess({"target": "conformance.misbehaving:importing"}, time_limit=60) as process:
        for _ in range(2):
            result = process.run(TRIALS["bp/linear/forward"])
            assert result.status == "passed", result.sentence


def test_losses_of_a_rule_in_a_row_are_counted(monkeypatch):
    """Without processes: each start gives one that is lost at its first trial, or answers."""

    class Scripted:
        def __init__(self):
            self.started = False

        def ask(self, question, time_limit):
            if not self.started:
                self.started = True
                return {"name": "scripted", "rules": ["bp", "fa_toeplitz"]}
            if "stride" in question:
                raise runner._LostError("did not finish")
            return {"status": "passed", "sentence": "All is well."}

    monkeypatch.setattr(runner, "_Process", Scripted)
    process = SeparateProcess({}, 1)
    stride, forward = TRIALS["bp/conv2d/stride"], TRIALS["bp/conv2d/forward"]
    for trial in (stride, stride, forward, stride, stride, stride):
        process.run(trial)
    assert process.run(forward).sentence.startswith("Not tried")
    assert process.run(TRIALS["fa_toeplitz/conv2d/forward"]).status == "passed"


def test_the_worker_answers_every_question_with_one_line():
    questions = [{"target": "conformance.adapters:torch_nn"}, "bp/linear/forward"]
    answers = io.StringIO()
    worker._serve(io.StringIO("\n".join(map(json.dumps, questions))), answers)
    assert [json.loads(line) for line in answers.getvalue().splitlines()] == [
        {"name": "torch.nn", "rules": ["bp"]},
        {"status": "passed", "sentence": "The output is Wx + b."},
    ]


@pytest.mark.parametrize(
    ("adapter", "sentence"),
    [
        ({"target": "nowhere:adapter"}, "module 'nowhere' cannot be imported: "),
        (
            {"module": "nowhere", "file": "", "pickle": ""},
            "the adapter cannot be loaded: ModuleNotFoundError: ",
        ),
    ],
)
def test_the_worker_says_why_it_cannot_load_an_adapter(adapter, sentence):
    answers = io.StringIO()
    worker._serve(io.StringIO(json.dumps(adapter)), answers)
    assert json.loads(answers.getvalue())["error"].startswith(sentence)


def test_an_adapter_that_the_process_cannot_load_is_a_mistake_to_mend(monkeypatch):
    class Refusing:
        ended = False

        def ask(self, question, time_limit):
            return {"error": "it is no adapter"}

        def kill(self):
            Refusing.ended = True

    monkeypatch.setattr(runner, "_Process", Refusing)
    with pytest.raises(AuditError, match="it is no adapter"):
        open_runner("no:adapter")
    assert Refusing.ended


# Adapters that cannot be used at all


def test_a_module_that_ends_the_process_when_imported_is_a_mistake_to_mend(monkeypatch):
    class Ending:
        last_words = ""

        def ask(self, question, time_limit):
            raise runner._LostError("ended its process with exit code 5")

    monkeypatch.setattr(runner, "_Process", Ending)
    with pytest.raises(AuditError, match=r"importing the adapter .* with exit code 5$"):
        open_runner("ending:adapter")


def test_what_a_module_says_last_before_it_ends_the_process_is_told(tmp_path, monkeypatch):
    says = "import os\nos.write(2, b'First.\\nNo libgomp, \\xff.\\n\\n')\nos._exit(5)"
    (tmp_path / "ending_module.py").write_text(says, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AuditError, match=r"with exit code 5; it said: No libgomp, \ufffd\.$"):
        open_runner("ending_module:adapter")


def test_a_module_that_never_finishes_importing_is_a_mistake_to_mend(monkeypatch):
    monkeypatch.setattr(runner, "START_LIMIT", 0.01)
    with pytest.raises(AuditError, match=r"importing the adapter did not finish within 0\.01"):
        open_runner("never:adapter")


def test_an_adapter_that_no_other_process_can_find_is_refused(monkeypatch):
    class Local(TorchNN):
        pass

    with pytest.raises(AuditError, match=r"'torch\.nn' cannot be sent to a process of its own"):
        check_rule(Local(), "bp")
    monkeypatch.setattr(TorchNN, "__module__", "__main__")
    monkeypatch.setattr("__main__.TorchNN", TorchNN, raising=False)
    with pytest.raises(AuditError, match="defined in the script or notebook that is running"):
        check_rule(TorchNN(), "bp")


@pytest.mark.parametrize("time_limit", [0, -1.0, float("nan")])
def test_a_time_limit_is_above_zero(time_limit):
    with pytest.raises(AuditError, match=r"the time limit is .* it must be above 0"):
        check_rule(TorchNN(), "bp", time_limit=time_limit)


def test_a_rule_that_does_not_exist_is_refused():
    with pytest.raises(AuditError, match="there is no rule 'usf_snn'"):
        check_rule(TorchNN(), "usf_snn")


def test_an_adapter_has_to_say_how_to_build_and_read():
    with pytest.raises(TypeError, match="abstract"):
        type("Incomplete", (Adapter,), {"rules": {}})()


def test_processes_end_with_their_runner():
    process = runner._Process()
    with runner.SeparateProcess.__new__(SeparateProcess) as separate:
        separate.process = process
    assert process.popen.returncode is not None


def test_a_process_that_ended_between_two_questions_is_lost():
    process = runner._Process()
    process.popen.kill()
    process.popen.wait()
    with pytest.raises(runner._LostError, match="ended its process with signal SIGKILL"):
        process.ask("anything", 1)
