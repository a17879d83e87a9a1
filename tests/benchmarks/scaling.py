"""What a training step costs per image: by batch size, width, arithmetic and replicas."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.machine import wait
from benchmarks.runs import configuration, images, network
from fa_audit.data import Dataset
from fa_audit.training.optimizers import build_optimizer
from fa_audit.training.precision import products_in
from fa_audit.training.replicas import Replicas
from fa_audit.training.trainer import Trainer

BATCH_SIZES = (32, 64, 128, 256, 512)
WIDTHS = (64, 128, 256)
REPLICAS = (1, 2, 5, 10)


def milliseconds(step: Callable[[], object], device: str, repeats: int) -> float:
    """Median time of a step, after two to warm up."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        step()
        wait(device)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[2:])


def _single(rule: str, n: int, width: int, device: str) -> Callable[[], None]:
    """A step on a fixed batch of n images, for a network of any width."""
    model = network(rule, width).to(device)
    settings = configuration(rule, 500).training
    optimizer = build_optimizer(model, settings)
    batch = torch.randn(n, 3, 24, 24).to(device, memory_format=torch.channels_last)
    labels = torch.arange(n, device=device) % 10

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with products_in("float32"):
            torch.autograd.backward(F.cross_entropy(model(batch), labels))
        optimizer.step()

    return step


def _together(
    rule: str, count: int, precision: str, dataset: Dataset, device: str
) -> Callable[[], object]:
    """A step of `count` replicas on batches of 128 images each."""
    trainers = [
        Trainer(configuration(rule, 500, seed, precision), dataset, device) for seed in range(count)
    ]
    replicas = Replicas(trainers)
    batch = torch.randn(count, 128, 3, 24, 24).to(device)
    labels = (torch.arange(count * 128, device=device) % 10).view(count, 128)
    return lambda: replicas.step(batch, labels)


def benchmark(
    folder: Path, rules: tuple[str, ...], precisions: tuple[str, ...], repeats: int, device: str
) -> dict[str, Any]:
    """Measure, print and return milliseconds; on the CPU with one thread, as a study runs."""
    torch.set_num_threads(1)
    dataset = images(folder, 1000, 500)
    result: dict[str, Any] = {"batch_size": {}, "width": {}, "replicas": {}}
    for rule in rules:
        result["batch_size"][rule] = {
            n: milliseconds(_single(rule, n, 64, device), device, repeats) / n for n in BATCH_SIZES
        }
        result["width"][rule] = {
            width: milliseconds(_single(rule, 128, width, device), device, repeats) / 128
            for width in WIDTHS
        }
        for precision in precisions:
            result["replicas"].setdefault(precision, {})[rule] = {
                count: milliseconds(
                    _together(rule, count, precision, dataset, device), device, repeats
                )
                / (128 * count)
                for count in REPLICAS
            }
    print("milliseconds of a training step per image (and replica), batches of 128 unless said")
    for rule in rules:
        for title, by in (
            ("batch size", result["batch_size"][rule]),
            ("width", result["width"][rule]),
            *((f"replicas, {p}", result["replicas"][p][rule]) for p in precisions),
        ):
            values = "  ".join(f"{at}: {value:.3f}" for at, value in by.items())
            print(f"{rule:12s} {title:18s} {values}", flush=True)
    return result


def extrapolation(replicas: dict[str, Any], seeds: int, epochs: int) -> dict[str, float]:
    """Seconds that the whole study would take at the cost of a step with most replicas."""
    steps = 352 * epochs * seeds
    return {
        precision: sum(by[max(by)] * 128 * steps / 1000 for by in by_rule.values())
        for precision, by_rule in replicas.items()
    }
