"""Seconds in alternation, on a clock that tests turn; and memory, counted by hand."""

import pytest
import torch

from fa_audit.measure import steps
from fa_audit.measure.steps import alternating_seconds, peak_memory

CPU = torch.device("cpu")
FLOATS = 1000
BYTES = 4 * FLOATS


class Clock:
    """A clock that two kinds of steps turn on, and how the machine slows down meanwhile."""

    def __init__(self, slowness: float = 1.0) -> None:
        self.now, self.slowness, self.taken = 0.0, slowness, ""

    def perf_counter(self) -> float:
        return self.now

    def step(self, name: str, seconds: float) -> None:
        self.now += seconds * self.slowness ** len(self.taken)
        self.taken += name


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(steps.time, "perf_counter", made.perf_counter)
    return made


def test_each_has_its_turn_and_who_begins_alternates(clock: Clock) -> None:
    found = alternating_seconds(
        lambda: clock.step("a", 3.0),
        lambda: clock.step("b", 1.0),
        CPU,
        rounds=3,
        steps=2,
        warm_up=1,
    )
    assert clock.taken == "ab" + "aabb" + "bbaa" + "aabb"
    assert found == ([3.0] * 3, [1.0] * 3)


def test_a_machine_that_slows_down_hardly_moves_the_ratio(clock: Clock) -> None:
    clock.slowness = 1.01  # a hundred steps on, everything takes 2.7 times as long
    own, reference = alternating_seconds(
        lambda: clock.step("a", 2.0), lambda: clock.step("b", 1.0), CPU, rounds=10, steps=5
    )
    assert own[-1] > 2 * own[0]
    ratios = sorted(a / b for a, b in zip(own, reference, strict=True))
    assert ratios[0] == pytest.approx(2, rel=0.06)
    assert ratios[-1] == pytest.approx(2, rel=0.06)


def test_a_step_beside_itself_takes_as_long() -> None:
    matrix = torch.ones(150, 150)
    own, reference = alternating_seconds(lambda: matrix @ matrix, lambda: matrix @ matrix, CPU)
    ratios = sorted(a / b for a, b in zip(own, reference, strict=True))
    assert 0.7 < ratios[len(ratios) // 2] < 1.4


def test_memory_is_what_is_held_at_once() -> None:
    def prepare():  # type: ignore[no-untyped-def]
        torch.zeros(10 * FLOATS)  # only for the time of making
        kept = torch.zeros(FLOATS)

        def step() -> None:
            first = kept * 2
            second = first + 1
            del first
            third = second.view(10, -1) * 2  # a view takes nothing
            third += 1  # nor does what is done in place
            kept.add_(third.flatten())

        return step

    assert peak_memory(prepare, CPU) == 3 * BYTES
    assert peak_memory(prepare, CPU) == 3 * BYTES


def test_what_was_there_before_is_not_counted_and_what_a_step_leaves_is() -> None:
    before = torch.ones(50 * FLOATS)

    def prepare():  # type: ignore[no-untyped-def]
        left: list[torch.Tensor] = []
        return lambda: left.append(before[:FLOATS].mul_(1).clone())

    assert peak_memory(prepare, CPU, steps=1) == BYTES
    assert peak_memory(prepare, CPU, steps=5) == 5 * BYTES


def test_activations_kept_for_the_backward_pass_are_counted() -> None:
    def prepare():  # type: ignore[no-untyped-def]
        x = torch.ones(FLOATS, requires_grad=True)

        def step() -> None:
            x.grad = None
            torch.autograd.backward(x.sin().cos(), torch.ones(()).expand(FLOATS))

        return step

    # x; its sine and cosine, kept; a gradient on its way through each, and what stands in between.
    assert 5 * BYTES <= peak_memory(prepare, CPU) <= 7 * BYTES
