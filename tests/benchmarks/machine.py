"""What the machine can do at most, and what a process has used of it."""

import os
import platform
import resource
import time

import torch


def cores() -> int:
    """Cores that may be used."""
    return os.cpu_count() or 1


def ceiling(precision: str, device: str = "cpu") -> float:
    """GFLOP/s of a large matrix product in the arithmetic of `precision`, on all cores."""
    from fa_audit.training.precision import products_in

    torch.set_num_threads(cores())
    side = 2048 if device == "cpu" else 8192
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.ones(side, side, device=device, dtype=dtype)
    best = float("inf")
    with products_in(precision):
        for _ in range(8):
            start = time.perf_counter()
            a @ a
            wait(device)
            best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e9


def wait(device: str) -> None:
    """Until the device has done all it was given."""
    if device != "cpu":
        torch.cuda.synchronize()


def peak_gb(device: str = "cpu") -> float:
    """Peak memory so far in GB: resident memory of this process, or allocated on the device."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def description(device: str) -> str:
    """The processor and the versions that the numbers belong to."""
    name = torch.cuda.get_device_name() if device != "cpu" else f"{cores()} CPU cores"
    return f"{name}, torch {torch.__version__}, Python {platform.python_version()}"
