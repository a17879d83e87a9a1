"""What steps take beside each other: seconds in alternation, and the most memory held at once."""

import gc
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def alternating_seconds(
    first: Callable[[], object],
    second: Callable[[], object],
    device: torch.device,
    *,
    rounds: int = 20,
    steps: int = 5,
    warm_up: int = 5,
) -> tuple[list[float], list[float]]:
    """Time two kinds of steps in turns, so that whatever slows the machine down slows both.

    Args:
        first: Takes one step.
        second: Takes one of the other kind.
        device: Where both compute; it is waited for.
        rounds: How often each has its turn; which of them begins alternates too.
        steps: Steps per turn.
        warm_up: Steps of each beforehand, not timed.

    Returns:
        Seconds per step of each, round by round.
    """
    both = first, second
    for step in both:
        _turn(step, warm_up, device)
    seconds: tuple[list[float], list[float]] = [], []
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            seconds[which].append(_turn(both[which], steps, device) / steps)
    return seconds


def _turn(step: Callable[[], object], steps: int, device: torch.device) -> float:
    _wait_for(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    _wait_for(device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(
    prepare: Callable[[], Callable[[], object]], device: torch.device, steps: int = 2
) -> int:
    """The most bytes that tensors hold at once during steps, with what was prepared for them.

    On CUDA PyTorch's allocator says so. On the CPU every tensor that an operation of PyTorch makes
    is followed to its end, so that the number is the same each time; a process's resident memory
    holds libraries and compiled kernels too, several times what a small network's tensors take.
    What an operation takes for itself while it runs is not seen there.

    Args:
        prepare: Makes all that steps need, and returns what takes one step. What it needs only for
            the time of making does not count; neither do tensors from before.
        device: Whose memory.
        steps: How many steps; an optimizer may make its state in the first.

    Returns:
        Bytes, ≥ 0.
    """
    gc.collect()
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        step = prepare()
        torch.cuda.reset_peak_memory_stats(device)
        for _ in range(steps):
            step()
        return int(torch.cuda.max_memory_allocated(device)) - before
    held = _Held()
    with held:
        step = prepare()
        held.peak = held.now
        for _ in range(steps):
            step()
    return held.peak


class _Held(TorchDispatchMode):
    """Follows the storage of every tensor that an operation makes until it is freed.

    Attributes:
        now: Bytes held now.
        peak: The most that were held at once.
    """

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self._live: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Any = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = {
            id(tensor.untyped_storage())
            for tensor in tree_leaves((args, kwargs))
            if isinstance(tensor, Tensor)
        }
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and id(tensor.untyped_storage()) not in given:
                self._hold(tensor.untyped_storage())
        return result

    def _hold(self, storage: torch.UntypedStorage) -> None:
        # PyTorch gives a storage one object for as long as it lives.
        key, size = id(storage), storage.nbytes()
        if key in self._live:
            return

        def release(reference: "weakref.ref[torch.UntypedStorage]") -> None:
            del self._live[key]
            self.now -= size

        self._live[key] = weakref.ref(storage, release)
        self.now += size
        self.peak = max(self.peak, self.now)
