"""The process in which foreign code runs: `python -m fa_audit.conformance.worker`.

Reads one JSON value per line from standard input and answers each with one on what was standard
output when it began. The first says which adapter to load, every other is the id of a trial.
"""

import json
import os
from typing import IO, Any

import torch

from fa_audit.conformance.loading import load_target, unpack
from fa_audit.conformance.own import adapter as own_layers
from fa_audit.conformance.trials import all_trials, run_trial
from fa_audit.errors import AuditError


def main() -> None:
    """Answer until standard input ends."""
    # The adapter's own printing and reading must not get between the questions and the answers.
    # What goes to standard error is for the parent: why this process ended, should it end.
    questions = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "r+b") as nowhere:  # noqa: PTH123
        for stream in (0, 1):
            os.dup2(nowhere.fileno(), stream)
    torch.set_num_threads(1)
    _serve(questions, answers)


def _serve(questions: IO[str], answers: IO[str]) -> None:
    def answer(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    packed = json.loads(next(questions))
    try:
        adapter = load_target(packed["target"]) if "target" in packed else unpack(packed)
    except AuditError as error:
        return answer(error=str(error))
    except Exception as error:
        return answer(error=f"the adapter cannot be loaded: {type(error).__name__}: {error}")
    trials = {trial.id: trial for trial in all_trials()}
    # PyTorch imports much on a first step; the first check's time is not for that.
    run_trial(own_layers, next(iter(trials.values())))
    answer(name=adapter.name, rules=list(adapter.rules))
    for line in questions:
        result = run_trial(adapter, trials[json.loads(line)])
        answer(status=result.status, sentence=result.sentence)
    return None


if __name__ == "__main__":
    main()
