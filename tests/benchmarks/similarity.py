"""CKA of five networks, all pairs, three image subsets: one pass beside pair by pair."""

import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import peak_gb
from benchmarks.runs import STUDY, configuration, images
from fa_audit.data import Batches
from fa_audit.measure import Pair, compare, compare_many, evaluate
from fa_audit.study.process import prepare_process
from fa_audit.training.trainer import Trainer


def benchmark(folder: Path, n: int, train: int, rounds: int) -> dict[str, Any]:
    """Train five networks for an epoch, compare them both ways, print and return the numbers.

    Args:
        folder: CIFAR-10.
        n: Test images to compare on.
        train: Training images of that epoch.
        rounds: How often each way is timed, in alternation.
    """
    prepare_process(1)
    dataset = images(folder, train, 500)
    networks = {}
    for rule in STUDY:
        trainer = Trainer(configuration(rule, 500), dataset)
        trainer.train_epoch()
        networks[rule] = trainer.network
    index = torch.arange(n)
    batches = Batches(dataset.test, dataset.mean, dataset.std, 24).centre(index)
    labels = dataset.test.labels[:n]
    right = {
        rule: evaluate(network, lambda i: batches[i], index, labels).predictions == labels
        for rule, network in networks.items()
    }
    pairs = [
        Pair(rows, columns, subset)
        for columns, rows in itertools.combinations(STUDY, 2)
        for subset in (None, right[rows] & right[columns], ~right[rows] & right[columns])
    ]
    ratios, one_pass, by_pair = [], [], []
    for _ in range(rounds):
        start = time.perf_counter()
        together = compare_many(networks, pairs, batches)
        one_pass.append(time.perf_counter() - start)
        start = time.perf_counter()
        single = [
            compare(networks[pair.rows], networks[pair.columns], batches, subset=pair.subset)
            for pair in pairs
        ]
        by_pair.append(time.perf_counter() - start)
        ratios.append(by_pair[-1] / one_pass[-1])
    gap = max(
        float((a.matrix - b.matrix).abs().max())  # type: ignore[union-attr]
        for a, b in zip(together, single, strict=True)
    )
    result = {
        "images": n,
        "pairs": len(pairs),
        "one_pass_seconds": statistics.median(one_pass),
        "pair_by_pair_seconds": statistics.median(by_pair),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "largest_difference": gap,
        "peak_gb": peak_gb(),
    }
    print(
        f"CKA of 5 networks, 10 pairs × 3 subsets of {n} images, one thread: one pass "
        f"{result['one_pass_seconds']:.1f} s, pair by pair {result['pair_by_pair_seconds']:.1f} s, "
        f"ratio {result['ratio']:.1f}, largest difference {gap:.0e}",
        flush=True,
    )
    return result
