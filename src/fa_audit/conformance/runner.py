"""Hold an implementation to the checks: in a process of its own, where nothing it does can harm."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self, cast

from fa_audit.conformance.adapter import Adapter
from fa_audit.conformance.loading import as_adapter, pack
from fa_audit.conformance.trials import Result, Status, Trial, all_trials, run_trial, trials_of
from fa_audit.errors import AuditError

TIME_LIMIT = 20.0  # seconds for one check
START_LIMIT = 180.0  # seconds to start a process and import what the adapter needs
LONGEST_LINE = 1000  # characters of what a process says that are kept
PATIENCE = 3  # processes that one rule may lose in a row before its other checks are given up


def check_rule(
    adapter: Adapter, rule: str, *, time_limit: float | None = TIME_LIMIT
) -> list[Result]:
    """Hold an implementation of one rule to every check that the rule's properties call for.

    Args:
        adapter: Builds the implementation's layers and reads their feedback.
        rule: Name of a row of RULES.
        time_limit: Seconds after which a check has failed, above 0. The checks run in a process of
            their own, so that a layer that hangs or crashes fails a check and does no more; None
            runs them in this one, where a debugger can follow.

    Returns:
        A result per variant (combination of the rule's options), kind of layer and check; all
        skipped where the adapter does not offer the rule.

    Raises:
        AuditError: No such rule; no adapter, or one that no other process can load.
    """
    trials = trials_of(rule)
    with open_runner(adapter, time_limit) as runner:
        return runner.run_all(trials)


def check_all(adapter: Adapter, *, time_limit: float | None = TIME_LIMIT) -> list[Result]:
    """`check_rule` for every rule of the table."""
    with open_runner(adapter, time_limit) as runner:
        return runner.run_all(all_trials())


def open_runner(adapter: Adapter | str, time_limit: float | None = TIME_LIMIT) -> "Runner":
    """A runner for an adapter or, in a process of its own, for MODULE:ADAPTER.

    Raises:
        AuditError: It is no adapter, or cannot be loaded; a time limit that is not above 0.
    """
    if time_limit is not None and not time_limit > 0:
        raise AuditError(f"the time limit is {time_limit} seconds; it must be above 0")
    if isinstance(adapter, str):
        return SeparateProcess({"target": adapter}, time_limit or TIME_LIMIT)
    adapter = as_adapter(adapter, "the adapter")
    if time_limit is None:
        return ThisProcess(adapter)
    return SeparateProcess(pack(adapter), time_limit)


class Runner:
    """Runs trials of one adapter.

    Attributes:
        name: The adapter's.
        rules: The rules that it offers.
    """

    name: str
    rules: tuple[str, ...]

    def run(self, trial: Trial) -> Result:
        """One trial; skipped where the adapter does not offer its rule."""
        rule = trial.variant.rule.name
        if rule not in self.rules:
            return Result(trial, Status.SKIPPED, f"{self.name} does not offer rule {rule!r}")
        return self._run(trial)

    def run_all(self, trials: Iterable[Trial]) -> list[Result]:
        """One after the other."""
        return [self.run(trial) for trial in trials]

    def _run(self, trial: Trial) -> Result:
        raise NotImplementedError

    def close(self) -> None:
        """End what the runner has started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class ThisProcess(Runner):
    """Runs trials where it stands: a layer that hangs or crashes takes everything with it."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter, self.name, self.rules = adapter, adapter.name, tuple(adapter.rules)

    def _run(self, trial: Trial) -> Result:
        return run_trial(self.adapter, trial)


class SeparateProcess(Runner):
    """Runs trials in one process, which is begun anew when a trial hangs or kills it."""

    def __init__(self, adapter: dict[str, str], time_limit: float) -> None:
        self.adapter, self.time_limit = adapter, time_limit
        self.lost: Counter[str] = Counter()  # rule → processes lost in a row
        self.process: _Process | None = None
        self._start()

    def _start(self) -> "_Process":
        process = self.process = _Process()
        try:
            reply = process.ask(self.adapter, START_LIMIT)
        except _LostError as lost:
            said = f"; it said: {process.last_words}" if process.last_words else ""
            raise AuditError(f"importing the adapter {lost}{said}") from lost
        if "error" in reply:
            self.close()
            raise AuditError(reply["error"])
        self.name, self.rules = reply["name"], tuple(reply["rules"])
        return process

    def _run(self, trial: Trial) -> Result:
        rule = trial.variant.rule.name
        if self.lost[rule] == PATIENCE:
            sentence = f"Not tried: the {PATIENCE} checks of this rule before it hung or crashed."
            return Result(trial, Status.FAILED, sentence)
        process = self.process or self._start()
        try:
            reply = process.ask(trial.id, self.time_limit)
        except _LostError as lost:
            self.lost[rule] += 1
            self.process = None
            return Result(trial, Status.FAILED, f"The check {lost}.")
        self.lost[rule] = 0
        return Result(trial, Status(reply["status"]), reply["sentence"])

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process = None


class _LostError(Exception):
    """A process is no more; the message says how it was lost."""


class _Process:
    """A worker process: one JSON line there, one back.

    Attributes:
        last_words: The last line that it wrote to its standard error.
    """

    def __init__(self) -> None:
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "fa_audit.conformance.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            # It finds what its parent finds, and sums on one thread, in one order.
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        self.answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.last_words = ""
        self.overhearing = threading.Thread(target=self._overhear, daemon=True)
        self.overhearing.start()

    def _listen(self) -> None:
        """Queue the answers, "" at their end: a queue, unlike a pipe, has a time limit anywhere."""
        with cast(IO[str], self.popen.stdout) as answers:
            for line in answers:
                self.answers.put(line)
        self.answers.put("")

    def _overhear(self) -> None:
        """Keep the last line, and read on, for a full pipe would stop the process."""
        with cast(IO[str], self.popen.stderr) as words:
            while line := words.readline(LONGEST_LINE):
                self.last_words = line.strip() or self.last_words

    def ask(self, question: object, time_limit: float) -> dict[str, Any]:
        """The answer.

        Raises:
            _LostError: There was none, in time or at all; the process has been ended.
        """
        try:
            questions = cast(IO[str], self.popen.stdin)
            questions.write(json.dumps(question) + "\n")
            questions.flush()
            line = self.answers.get(timeout=time_limit)
        except queue.Empty:
            self.kill()
            raise _LostError(f"did not finish within {time_limit:g} seconds") from None
        except OSError:  # it ended between two questions
            line = ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self.kill(grace=5)
        self.overhearing.join(timeout=1)
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise _LostError(f"ended its process with {how}")

    def kill(self, grace: float = 0) -> int:
        """End the process, if it has not ended within `grace` seconds; returns its exit code."""
        with suppress(OSError):
            cast(IO[str], self.popen.stdin).close()
        try:
            return self.popen.wait(grace)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()
