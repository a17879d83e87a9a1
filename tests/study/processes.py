"""Processes that work on a study, for the tests of what happens when they meet or die.

    python processes.py together STUDY OUT PROCESSES      several at once on one output folder
    python processes.py killed STUDY OUT SEED TIMES       one, killed with SIGKILL and started again
    python processes.py command STUDY OUT                 run_study with one worker

The first two import everything once and then fork, so that a process costs nothing to start. They
print what they saw as one line of JSON.
"""

import json
import os
import random
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fa_audit.data import load_dataset
from fa_audit.study.cells import RunCell, study_cells
from fa_audit.study.output import OutputFolder
from fa_audit.study.parallel import Execution, run_study
from fa_audit.study.run import Progress, epochs_of, work
from fa_audit.study.spec import Study, load_study

AMOUNT = struct.Struct("d")
LONGEST_DELAY = 0.02  # seconds from the progress that a kill waits for to the kill


def forked(job: Callable[[], None]) -> int:
    """Do a job in a child process; its number."""
    child = os.fork()
    if child == 0:
        try:
            job()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return child


class Worker:
    """A child that works on a study and reports each advance, in epochs, through a pipe."""

    def __init__(self, study: Study, out: Path, gate: int | None = None) -> None:
        dataset = load_dataset(study.data.name, None, **study.data.sizes)
        self.reader, writer = os.pipe()

        def report(epochs: float) -> None:
            os.write(writer, AMOUNT.pack(epochs))

        def job() -> None:
            torch.set_num_threads(1)
            if gate is not None:
                os.read(gate, 1)
            work(study, OutputFolder(out), dataset, torch.device("cpu"), Progress(report))

        self.pid = forked(job)
        os.close(writer)

    def advance(self) -> float | None:
        """The next amount of work done; None when the child has ended."""
        amount = os.read(self.reader, AMOUNT.size)
        return AMOUNT.unpack(amount)[0] if amount else None

    def end(self) -> int:
        """Wait for the end of the child: its exit code, or the signal that killed it, negative."""
        os.close(self.reader)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def together(study: Study, out: Path, processes: int) -> dict[str, Any]:
    """Start all behind one gate, then open it: each one's work in epochs, and its exit code."""
    gate, opener = os.pipe()
    workers = [Worker(study, out, gate) for _ in range(processes)]
    os.write(opener, b"." * processes)
    amounts = [sum(iter(worker.advance, None)) for worker in workers]
    return {"epochs": amounts, "ended": [worker.end() for worker in workers]}


def killed(study: Study, out: Path, seed: int, times: int) -> dict[str, Any]:
    """Kill at random moments of the whole study's training, then let it end.

    A moment is a number of epochs done since the first start, and a delay after it in seconds.
    """
    runs = [cell for cell in study_cells(study) if isinstance(cell, RunCell)]
    draw = random.Random(seed)
    moments = sorted(draw.uniform(0, sum(map(epochs_of, runs))) for _ in range(times))
    seen: dict[str, Any] = {"moments": moments, "resumed": 0, "ended": []}
    for moment in moments:
        done = sum(epochs_of(cell) for cell in runs if OutputFolder(out).find(cell))
        worker, first = Worker(study, out), True
        while done < moment and (amount := worker.advance()) is not None:
            seen["resumed"] += first and amount >= 1  # whole epochs come from a checkpoint alone
            done, first = done + amount, False
        time.sleep(draw.uniform(0, LONGEST_DELAY))
        os.kill(worker.pid, signal.SIGKILL)
        seen["ended"].append(worker.end())
    worker = Worker(study, out)
    all(iter(worker.advance, None))
    seen["last"] = worker.end()
    return seen


def command(study: Study, out: Path) -> dict[str, Any]:
    """What the command line does."""
    run_study(study, Execution(output=out, device="cpu", workers=1))
    return {}


if __name__ == "__main__":
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports much when first called
    job, study, out, *numbers = sys.argv[1:]
    jobs: dict[str, Callable[..., dict[str, Any]]] = {
        "together": together,
        "killed": killed,
        "command": command,
    }
    print(json.dumps(jobs[job](load_study(Path(study)), Path(out), *map(int, numbers))))
