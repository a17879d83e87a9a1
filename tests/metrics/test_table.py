"""Tests generated from METRICS: what a row declares holds, what it does not declare fails."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fa_audit.metrics import METRICS, TRANSFORMATIONS, AngleSummary, Concordance

Arguments = tuple[Tensor, ...]


class Draw:
    """Random maps for one example, all from one seed."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def positive(self, *shape: int) -> Tensor:
        return self.normal(*shape).exp()

    def order(self, n: int) -> Tensor:
        return torch.randperm(n, generator=self.generator)

    def orthogonal(self, p: int) -> Tensor:
        return torch.linalg.qr(self.normal(p, p)).Q

    def invertible(self, p: int) -> Tensor:
        return self.orthogonal(p) @ torch.diag(self.positive(p)) @ self.orthogonal(p)


def joint_orthogonal(args: Arguments, draw: Draw) -> Arguments:
    Q = draw.orthogonal(args[0].shape[1])
    return tuple(X @ Q for X in args)


def joint_permutation(args: Arguments, draw: Draw) -> Arguments:
    order = draw.order(len(args[0]))
    return tuple(X[order] for X in args)


APPLY = {
    "orthogonal": lambda args, d: tuple(X @ d.orthogonal(X.shape[1]) for X in args),
    "joint orthogonal": joint_orthogonal,
    "invertible linear": lambda args, d: tuple(X @ d.invertible(X.shape[1]) for X in args),
    "isotropic scale": lambda args, d: tuple(X * d.positive(1) for X in args),
    "sample scale": lambda args, d: tuple(X * d.positive(len(X), 1) for X in args),
    "column scale": lambda args, d: tuple(X * d.positive(X.shape[1]) for X in args),
    "negation": lambda args, d: (-args[0], *args[1:]),
    "translation": lambda args, d: tuple(X + 5 * d.normal(X.shape[1]) for X in args),
    "permutation": lambda args, d: tuple(X[d.order(len(X))] for X in args),
    "joint permutation": joint_permutation,
    "exchange": lambda args, d: args[::-1],
}


def value(result: object) -> Tensor:
    """The number, or the numbers, in what a metric returns."""
    if isinstance(result, AngleSummary):
        result = result.angle
    elif isinstance(result, Concordance):
        result = result.value
    return torch.as_tensor(result, dtype=torch.float64)


def example(metric, seed: int, n: int = 40, p: int = 5) -> Arguments:
    """Arguments with a common signal, an offset and columns of different size."""
    draw = Draw(seed)
    shared = draw.normal(n, p)
    size = 0.8 ** torch.arange(p, dtype=torch.float64)
    return tuple((shared + draw.normal(n, p)) * size + 0.3 for _ in metric.arguments)


def change(metric, name: str, seed: int, **shape: int) -> float:
    """Largest change of the metric's value under one transformation of one example."""
    args = example(metric, seed, **shape)
    transformed = APPLY[name](args, Draw(seed + 1))
    before, after = value(metric.function(*args)), value(metric.function(*transformed))
    return float((before - after).abs().max())


def check_invariances(metric, seed: int = 7) -> None:
    """Every declared invariance holds on one example, every other one fails on it."""
    for name in applicable(metric):
        moved = change(metric, name, seed)
        if name in metric.invariances:
            assert moved < 1e-8, f"{metric.title}: declared {name!r} changes it by {moved:.3g}"
        else:
            assert moved > 1e-3, f"{metric.title}: undeclared {name!r} changes it by {moved:.3g}"


def applicable(metric) -> list[str]:
    return [name for name in APPLY if name != "exchange" or len(metric.arguments) == 2]


DECLARED = [(key, name) for key, metric in METRICS.items() for name in sorted(metric.invariances)]
every_metric = pytest.mark.parametrize("key", METRICS)


def test_every_transformation_has_a_description_and_an_implementation():
    assert set(APPLY) == set(TRANSFORMATIONS)


@every_metric
def test_rows_declare_only_known_transformations(key):
    metric = METRICS[key]
    assert metric.invariances <= set(applicable(metric))
    assert metric.range[0] < metric.range[1]
    assert all((metric.title, metric.estimator, metric.source, metric.arguments))


@pytest.mark.parametrize(("key", "name"), DECLARED)
@given(st.integers(0, 2**31), st.integers(8, 20), st.integers(2, 9))
def test_a_declared_invariance_holds(key, name, seed, n, p):
    assert change(METRICS[key], name, seed, n=n, p=p) < 1e-8


@every_metric
def test_what_is_not_declared_is_violated(key):
    check_invariances(METRICS[key])


@every_metric
def test_a_false_declaration_would_be_caught(key):
    """The check itself is tested: it rejects one name too many and one too few."""
    metric = METRICS[key]
    for name in applicable(metric):
        wrong = replace(metric, invariances=metric.invariances ^ {name})
        with pytest.raises(AssertionError, match="declared"):
            check_invariances(wrong)


@every_metric
@given(st.integers(0, 2**31), st.integers(5, 20), st.integers(1, 30), st.booleans())
def test_values_stay_in_the_declared_range(key, seed, n, p, same):
    metric = METRICS[key]
    args = example(metric, seed, n, p)
    if same:  # the ends of the range
        args = tuple(args[0] if seed % 2 else args[0] * (-1) ** i for i in range(len(args)))
    result = value(metric.function(*args))
    low, high = metric.range
    assert ((result >= low - 1e-12) & (result <= high + 1e-12)).all()


@every_metric
def test_parameters_can_be_measured_and_leave_no_graph(key):
    metric = METRICS[key]
    args = example(metric, 0)
    result = metric.function(*(nn.Parameter(X.clone()) for X in args))
    assert not value(result).requires_grad
    torch.testing.assert_close(value(result), value(metric.function(*args)), rtol=0, atol=0)


@every_metric
def test_float32_arguments_give_the_float64_value(key):
    metric = METRICS[key]
    args = tuple(X.float() for X in example(metric, 1))
    expected = value(metric.function(*(X.double() for X in args)))
    torch.testing.assert_close(value(metric.function(*args)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_metric
def test_the_device_does_not_matter(key):
    metric = METRICS[key]
    args = example(metric, 2)
    on_device = value(metric.function(*(X.cuda() for X in args))).cpu()
    torch.testing.assert_close(on_device, value(metric.function(*args)), rtol=1e-9, atol=1e-9)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_training_loops_tf32_does_not_reach_cka(monkeypatch):
    metric = METRICS["cka"]
    args = tuple(X.float() for X in example(metric, 3, n=256, p=2000))
    expected = metric.function(*(X.double() for X in args))
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    assert metric.function(*(X.cuda() for X in args)) == pytest.approx(expected, abs=1e-9)
