"""fa-audit beside the plain loop: seconds per epoch, ratio, and how near the machine's ceiling.

    python -m benchmarks.bench --data DIR [--rounds 3] [--images 5120] [--json FILE]

Both train on the same number of real images on all cores, in alternation, each in fresh
processes: the plain loop as one process that uses every core, fa-audit as it runs a study, one
process per core with one thread each. What is compared is runs × epochs per second, medians over
the rounds, data loading and validation included. Absolute times belong to this machine and this
hour; only the ratio is meant to be quoted.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

RULES = ("bp", "fa_random", "fa_toeplitz", "usf_init", "usf_sn")

# Multiply-adds of one training step per image, times two: forward, error and weight gradient of
# every layer but conv1, which sends no error down. Dense feedback takes 14.7 M for conv2's 3.69 M.
FORWARD = {"conv1": 1.92e6, "conv2": 3.6864e6, "fc": 0.2968e6}
FLOP = {
    rule: 2
    * (
        2 * FORWARD["conv1"]
        + 2 * FORWARD["conv2"]
        + (2304 * 6400 if rule == "fa_random" else FORWARD["conv2"])
        + 3 * FORWARD["fc"]
    )
    for rule in RULES
}


def plain(folder: Path, rule: str, train: int, validation: int, pipe: Connection) -> None:
    """One epoch to warm up, one that is timed, on every core."""
    import torch

    from benchmarks.plain_loop import PlainLoop

    torch.set_num_threads(os.cpu_count() or 1)
    loop = PlainLoop(folder / "cifar-10-batches-bin", rule, train, validation)
    loop.epoch()
    start = time.perf_counter()
    loop.epoch()
    pipe.send((time.perf_counter() - start, _peak()))


def ours(folder: Path, rule: str, train: int, validation: int, pipe: Connection) -> None:
    """The same in one of as many processes as there are cores; waits for the others to be warm."""
    from dataclasses import replace

    from fa_audit.data import Images, load_dataset
    from fa_audit.study.process import prepare_process
    from fa_audit.training.configuration import DataSettings, RunConfiguration, TrainingSettings
    from fa_audit.training.trainer import Trainer, subnormals_flushed

    prepare_process(1)
    dataset = load_dataset("cifar10", folder)
    n = train + validation
    dataset = replace(dataset, train=Images(dataset.train.pixels[:n], dataset.train.labels[:n]))
    scale = {"fa_random": 0.01, "fa_toeplitz": 0.01, "usf_init": 0.1}.get(rule)
    trainer = Trainer(
        RunConfiguration(
            rule=rule,
            seed=0,
            data=DataSettings("cifar10", validation=validation),
            training=TrainingSettings(
                epochs=3,
                learning_rate=1e-3,
                weight_decay=1e-4 if rule == "bp" else 0.0,
                feedback_scale=scale,
            ),
        ),
        dataset,
    )
    with subnormals_flushed():
        trainer.train_epoch()
        pipe.send("warm")
        pipe.recv()
        start = time.perf_counter()
        trainer.train_epoch()
        pipe.send((time.perf_counter() - start, _peak()))


def _peak() -> float:
    """Peak resident memory of this process in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure_plain(*arguments: Any) -> tuple[float, float]:
    """(seconds per run and epoch, peak GB)."""
    (pipe,) = _start(plain, 1, arguments)
    seconds, peak = pipe.recv()
    return seconds, peak


def measure_ours(*arguments: Any) -> tuple[float, float]:
    """(seconds per run and epoch on all cores, peak GB of one process)."""
    cores = os.cpu_count() or 1
    pipes = _start(ours, cores, arguments)
    for pipe in pipes:
        assert pipe.recv() == "warm"
    for pipe in pipes:
        pipe.send("go")
    found = [pipe.recv() for pipe in pipes]
    return max(seconds for seconds, _ in found) / cores, max(peak for _, peak in found)


def _start(target: Any, count: int, arguments: tuple[Any, ...]) -> list[Connection]:
    context = multiprocessing.get_context("spawn")
    pipes = []
    for _ in range(count):
        here, there = context.Pipe()
        context.Process(target=target, args=(*arguments, there), daemon=True).start()
        pipes.append(here)
    return pipes


def ceiling() -> float:
    """GFLOP/s of a large float32 product on all cores: what arithmetic alone could reach."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    a, b = torch.ones(2048, 2048), torch.ones(2048, 2048)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best / 1e9


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=5120)
    parser.add_argument("--validation", type=int, default=512)
    parser.add_argument("--rules", nargs="+", default=RULES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    top = ceiling()
    print(
        f"{options.images} training and {options.validation} validation images; "
        f"float32 ceiling {top:.0f} GFLOP/s; seconds per run and epoch, medians of "
        f"{options.rounds} alternating rounds"
    )
    print("rule          plain     fa-audit  ratio   GFLOP/s  of ceiling  peak GB plain, fa-audit")
    rows = {}
    for rule in options.rules:
        arguments = (options.data, rule, options.images, options.validation)
        rounds = [
            (measure_plain(*arguments), measure_ours(*arguments)) for _ in range(options.rounds)
        ]
        slow = statistics.median(one[0][0] for one in rounds)
        fast = statistics.median(one[1][0] for one in rounds)
        ratio = statistics.median(one[0][0] / one[1][0] for one in rounds)
        rate = FLOP[rule] * options.images / fast / 1e9
        peaks = [max(one[side][1] for one in rounds) for side in (0, 1)]
        rows[rule] = {
            "plain_seconds": slow,
            "seconds": fast,
            "ratio": ratio,
            "ratios": [one[0][0] / one[1][0] for one in rounds],
            "gflops": rate,
            "share_of_ceiling": rate / top,
            "peak_gb": {"plain": peaks[0], "fa_audit": peaks[1]},
        }
        print(
            f"{rule:12s} {slow:7.2f} s {fast:9.2f} s  {ratio:5.2f} {rate:9.0f} {rate / top:11.0%}"
            f"  {peaks[0]:.2f}, {peaks[1]:.2f}",
            flush=True,
        )
    if options.json:
        record = {"ceiling_gflops": top, "images": options.images, "rules": rows}
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
