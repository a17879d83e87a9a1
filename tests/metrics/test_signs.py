import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fa_audit.errors import AuditError
from fa_audit.metrics import predicted_angle, sign_concordance
from oracles import metrics_twins as twins


@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(1, 8))
def test_concordance_matches_its_twin(normal, seed, rows, columns):
    W, B = (
        normal(seed, rows, columns).round(),
        normal(seed + 1, rows, columns).round(),
    )  # many zeros
    result = sign_concordance(W, B)
    assert result.value == twins.sign_concordance(W, B)
    assert result.n == rows * columns
    assert result.reason is None


def test_zero_agrees_with_zero_and_with_nothing_else():
    W = torch.tensor([0.0, 0.0, 0.0, 1.0, -1.0, 2.0])
    B = torch.tensor([0.0, 1.0, -1.0, 0.0, 0.0, 3.0])
    assert sign_concordance(W, B).value == pytest.approx(2 / 6)


def test_feedback_built_from_the_weights_signs_is_fully_concordant(normal):
    W, B0 = normal(0, 20, 30).round(), normal(1, 20, 30)
    assert (W == 0).any()
    assert sign_concordance(W, B0.abs() * W.sign()).value == 1
    assert sign_concordance(W, W).value == 1
    assert sign_concordance(B0, -B0).value == 0


@pytest.mark.parametrize(
    ("layer", "shape", "published"),
    [
        ("conv2", (64, 64, 5, 5), 0.0016),
        ("fc1", (384, 576), 0.0011),
        ("fc2", (192, 384), 0.0018),
        ("fc3", (10, 192), 0.0114),
    ],
)
def test_chance_level_of_the_studys_layers(normal, layer, shape, published):
    result = sign_concordance(normal(0, *shape), normal(1, *shape))
    assert round(result.chance_sd, 4) == published
    assert result.value == pytest.approx(0.5, abs=4 * result.chance_sd), layer


def test_concordance_by_chance_scatters_by_half_over_root_n(normal):
    results = [sign_concordance(normal(2 * s, 400), normal(2 * s + 1, 400)) for s in range(500)]
    values = torch.tensor([r.value for r in results])
    assert results[0].chance_sd == 0.025
    assert values.std().item() == pytest.approx(0.025, rel=0.1)
    assert values.mean().item() == pytest.approx(0.5, abs=4 * 0.025 / math.sqrt(500))


@pytest.mark.parametrize("theta", [10, 45, 80, 90, 135])
def test_gaussian_weights_at_an_angle_agree_in_1_minus_theta_over_pi(normal, theta):
    t = math.radians(theta)
    W = normal(0, 100_000)
    B = math.cos(t) * W + math.sin(t) * normal(1, 100_000)
    result = sign_concordance(W, 3 * B)
    expected = 1 - math.radians(predicted_angle(W, B)) / math.pi
    assert result.value == pytest.approx(expected, abs=4 * result.chance_sd)


def test_concordance_is_undefined_where_shapes_differ():
    result = sign_concordance(torch.ones(64, 64, 5, 5), torch.ones(2304, 6400))
    assert result.value is None
    assert result.chance_sd is None
    assert result.n == 0
    assert result.reason == "shapes differ: weight [64, 64, 5, 5], feedback [2304, 6400]"


@pytest.mark.parametrize("bad", [torch.tensor([1.0, math.nan]), torch.zeros(0)])
def test_weights_without_signs_are_refused(bad):
    with pytest.raises(AuditError, match="empty or hold NaN"):
        sign_concordance(bad, torch.ones_like(bad))
    with pytest.raises(AuditError, match="empty or hold NaN"):
        sign_concordance(torch.ones_like(bad), bad)
