"""Whole training epochs beside the plain loop's: data, validation and measurements included.

Both train on the same number of real images on all cores, in alternation, each in fresh processes:
the plain loop as one process that uses every core, fa-audit as it runs a study, one process per
core with one thread each. What is compared is runs × epochs per second.

The study's measurements come at steps that are evenly spaced in the logarithm: two or three in a
second epoch, however short, but only one in most pairs of later epochs. So the timed epoch stands
where the average one of a run of 50 epochs does.
"""

import multiprocessing
import statistics
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.machine import cores, peak_gb
from benchmarks.runs import flop

# Of 50 epochs of 352 steps, the one after which measurements are as frequent as on average.
AVERAGE_EPOCH = 25

HEADER = (
    "rule         arithmetic  plain s  fa-audit s  ratio  GFLOP/s  of ceiling  "
    "peak GB plain, fa-audit  what the time goes to"
)


def plain(folder: Path, rule: str, train: int, validation: int, pipe: Connection) -> None:
    """One epoch to warm up, one that is timed, on every core."""
    import torch

    from benchmarks.plain_loop import PlainLoop

    torch.set_num_threads(cores())
    kept = slice(0, train), slice(50_000 - validation, 50_000)
    loop = PlainLoop(folder / "cifar-10-batches-bin", rule, *kept)
    loop.epoch()
    start = time.perf_counter()
    loop.epoch()
    pipe.send((time.perf_counter() - start, peak_gb()))


def ours(
    folder: Path, rule: str, train: int, validation: int, precision: str, pipe: Connection
) -> None:
    """The same in one of as many processes as there are cores; waits for the others to be warm."""
    from benchmarks.runs import configuration, images
    from fa_audit.study.process import prepare_process
    from fa_audit.training.trainer import Trainer, subnormals_flushed

    prepare_process(1)
    run = configuration(rule, validation, precision=precision)
    trainer = Trainer(run, images(folder, train, validation))
    with subnormals_flushed():
        trainer.train_epoch()
        trainer.epoch = AVERAGE_EPOCH
        pipe.send("warm")
        pipe.recv()
        start = time.perf_counter()
        trainer.train_epoch()
        pipe.send((time.perf_counter() - start, peak_gb()))


def measure_plain(*arguments: Any) -> tuple[float, float]:
    """(seconds per run and epoch, peak GB)."""
    (pipe,) = _start(plain, 1, arguments)
    seconds, peak = pipe.recv()
    return seconds, peak


def measure_ours(*arguments: Any) -> tuple[float, float]:
    """(seconds per run and epoch on all cores, peak GB of one process)."""
    pipes = _start(ours, cores(), arguments)
    for pipe in pipes:
        assert pipe.recv() == "warm"
    for pipe in pipes:
        pipe.send("go")
    found = [pipe.recv() for pipe in pipes]
    return max(seconds for seconds, _ in found) / cores(), max(peak for _, peak in found)


def _start(target: Any, count: int, arguments: tuple[Any, ...]) -> list[Connection]:
    context = multiprocessing.get_context("spawn")
    pipes = []
    for _ in range(count):
        here, there = context.Pipe()
        context.Process(target=target, args=(*arguments, there), daemon=True).start()
        pipes.append(here)
    return pipes


def shares(
    folder: Path, rule: str, train: int, validation: int, precision: str
) -> dict[str, float]:
    """Which share of a training step's time goes where, from PyTorch's profiler."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from benchmarks.runs import configuration, images
    from fa_audit.training.trainer import Trainer

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = configuration(rule, validation, precision=precision)
    trainer = Trainer(run, images(folder, min(train, 2048), validation))
    trainer.train_epoch()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for batch in trainer.plan_epoch():
            cut = trainer.batches.crop(batch.index, batch.offsets, batch.flips)
            trainer._step(cut, trainer.labels[batch.index])
    torch.set_num_threads(threads)
    found: dict[str, float] = {}
    for event in profiler.key_averages():
        kind = _kind(event.key)
        found[kind] = found.get(kind, 0.0) + event.self_cpu_time_total
    total = sum(found.values())
    return {kind: time / total for kind, time in sorted(found.items(), key=lambda x: -x[1])}


# What an operation of PyTorch belongs to, by parts of its name; the first that fits.
_KINDS = {
    "convolutions": ("conv", "mkldnn"),
    "matrix products": ("mm", "addmm", "bmm", "matmul", "linear"),
    "pooling and ReLU": ("pool", "relu", "threshold", "clamp"),
    "optimizer": ("adam",),
    "batches": ("index", "cat", "div_", "sub_", "flip"),
}


def _kind(operation: str) -> str:
    lowered = operation.lower()
    for kind, parts in _KINDS.items():
        if any(part in lowered for part in parts):
            return kind
    return "the rest"


def benchmark(
    folder: Path,
    rules: tuple[str, ...],
    precisions: tuple[str, ...],
    train: int,
    validation: int,
    rounds: int,
    ceilings: Mapping[str, float],
) -> dict[str, Any]:
    """Measure every rule in every arithmetic, print a row for each, and return the numbers."""
    print(HEADER)
    rows: dict[str, Any] = {}
    for rule in rules:
        arguments = folder, rule, train, validation
        found = [
            (measure_plain(*arguments), [measure_ours(*arguments, p) for p in precisions])
            for _ in range(rounds)
        ]
        rows[rule] = {}
        for k, precision in enumerate(precisions):
            ratios = [one[0][0] / one[1][k][0] for one in found]
            slow = statistics.median(one[0][0] for one in found)
            fast = statistics.median(one[1][k][0] for one in found)
            rate = flop(rule) * train / fast / 1e9
            spent = shares(folder, rule, train, validation, precision)
            rows[rule][precision] = {
                "plain_seconds": slow,
                "seconds": fast,
                "ratio": statistics.median(ratios),
                "ratios": ratios,
                "gflops": rate,
                "share_of_ceiling": rate / ceilings[precision],
                "peak_gb": {
                    "plain": max(one[0][1] for one in found),
                    "fa_audit": max(one[1][k][1] for one in found),
                },
                "time_shares": spent,
            }
            peaks = rows[rule][precision]["peak_gb"]
            top = ", ".join(f"{kind} {share:.0%}" for kind, share in list(spent.items())[:3])
            print(
                f"{rule:12s} {precision:10s} {slow:8.2f} {fast:11.2f} "
                f"{statistics.median(ratios):6.2f} {rate:8.0f} {rate / ceilings[precision]:11.0%}"
                f"  {peaks['plain']:12.2f}, {peaks['fa_audit']:.2f}        {top}",
                flush=True,
            )
    return rows
