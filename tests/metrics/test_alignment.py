import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fa_audit.errors import AuditError
from fa_audit.metrics import angles, mean_angle, predicted_angle, sign_angle
from oracles import metrics_twins as twins

seeds = st.integers(0, 2**31)


@given(seeds, st.integers(1, 6), st.integers(2, 30))
def test_angles_match_their_twin(normal, seed, n, d):
    u, v = normal(seed, n, d), normal(seed + 1, n, d)
    expected = [twins.angle(a, b) for a, b in zip(u, v, strict=True)]
    assert angles(u, v).tolist() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("theta", [0.0, 1e-12, 1e-6, 1.0, 90.0, 179.0, 180 - 1e-6, 180.0])
@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_angles_are_accurate_near_0_and_180(theta, scale):
    t = math.radians(theta)
    u = torch.tensor([[1.0, 0.0]], dtype=torch.float64) * scale
    v = torch.tensor([[math.cos(t), math.sin(t)]], dtype=torch.float64) * scale
    assert angles(u, v).item() == pytest.approx(theta, rel=1e-12, abs=1e-300)


def test_angles_are_taken_in_float64_of_flattened_samples(normal):
    u, v = normal(0, 4, 3, 2, 2), normal(1, 4, 3, 2, 2)
    assert angles(u.half(), v.half()).dtype == torch.float64
    assert torch.equal(angles(u, v), angles(u.flatten(1), v.flatten(1)))


def test_a_zero_vector_has_no_angle():
    u = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    v = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    assert angles(u, v).isnan().tolist() == [True, True, True, False]


@pytest.mark.parametrize("d", [100, 2500])
def test_random_vectors_stand_at_90_degrees_with_a_spread_of_57_over_root_d(normal, d):
    theta = angles(normal(0, 4000, d), normal(1, 4000, d))
    spread = 57.3 / math.sqrt(d)
    assert theta.mean().item() == pytest.approx(90, abs=4 * spread / math.sqrt(4000))
    assert theta.std().item() == pytest.approx(spread, rel=0.05)


# Summaries


def test_zero_errors_are_excluded_or_count_as_ninety_by_name():
    u = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 0.0], [2.0, 0.0]])
    v = torch.tensor([[1.0, 1.0], [3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    excluded = mean_angle(u, v)
    assert excluded.angle == pytest.approx(22.5)
    assert mean_angle(u, v, "ninety").angle == pytest.approx((45 + 0 + 90 + 90) / 4)
    assert (excluded.n, excluded.zeros) == (4, 2)
    assert excluded.norm_u == pytest.approx((1 + 5 + 0 + 2) / 4)
    assert excluded.norm_v == pytest.approx((math.sqrt(2) + 5 + 1 + 0) / 4)


def test_ninety_is_what_a_cosine_clamped_by_an_epsilon_gives(normal):
    u, v = normal(0, 6, 5), normal(1, 6, 5)
    u[2] = 0
    cosine = torch.cosine_similarity(u, v, dim=1, eps=1e-8)
    expected = torch.rad2deg(torch.arccos(cosine)).mean().item()
    assert mean_angle(u, v, "ninety").angle == pytest.approx(expected, abs=1e-10)


def test_errors_that_all_vanish_have_no_angle_but_a_count():
    u, v = torch.zeros(5, 3), torch.ones(5, 3)
    summary = mean_angle(u, v)
    assert summary.angle is None
    assert (summary.n, summary.zeros, summary.norm_u) == (5, 5, 0.0)
    assert mean_angle(u, v, "ninety").angle == 90


@pytest.mark.parametrize(
    ("u", "v"),
    [(torch.ones(3, 2), torch.ones(3, 4)), (torch.ones(3), torch.ones(3)), (torch.ones(3, 0),) * 2],
)
def test_vectors_that_do_not_pair_are_refused(u, v):
    with pytest.raises(AuditError, match="one shape"):
        angles(u, v)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_errors_that_are_not_finite_are_refused(bad):
    with pytest.raises(AuditError, match="NaN or infinite"):
        mean_angle(torch.ones(2, 3), torch.tensor([[1.0, 1, 1], [1, bad, 1]]))


def test_an_unknown_treatment_of_zero_errors_is_refused():
    with pytest.raises(AuditError, match="'skip' is unknown: use 'exclude' or 'ninety'"):
        mean_angle(torch.ones(2, 3), torch.ones(2, 3), "skip")


# Angles that follow from the weights alone


def uniform(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_sign_feedback_starts_at_30_degrees_for_uniform_and_37_for_gaussian_weights(normal, scale):
    n = 1_000_000
    B0 = normal(0, n)
    assert sign_angle(scale * uniform(1, n)) == pytest.approx(30.0, abs=0.1)
    assert sign_angle(scale * uniform(1, n), B0) == pytest.approx(46.3, abs=0.1)
    assert sign_angle(scale * normal(2, n)) == pytest.approx(37.1, abs=0.1)
    assert sign_angle(scale * normal(2, n), B0) == pytest.approx(50.4, abs=0.1)


@given(seeds, st.integers(1, 8), st.integers(1, 8))
def test_sign_angle_matches_the_moments_of_the_weights(normal, seed, rows, columns):
    W, B0 = normal(seed, rows, columns), normal(seed + 1, rows, columns)
    assert sign_angle(W) == pytest.approx(twins.sign_angle(W), abs=1e-5)  # arccos near 0
    assert sign_angle(W, B0) == pytest.approx(twins.sign_angle(W, B0), abs=1e-5)
    assert math.cos(math.radians(sign_angle(W))) == pytest.approx(
        math.cos(math.radians(twins.sign_angle(W))), abs=1e-10
    )


def test_zero_weights_carry_no_magnitude():
    W = torch.tensor([3.0, 4.0, 0.0, 0.0])
    B0 = torch.tensor([1.0, -1.0, 7.0, 7.0])
    assert sign_angle(W, B0) == pytest.approx(sign_angle(W[:2]), abs=1e-12)
    assert sign_angle(W) == pytest.approx(sign_angle(W[:2]), abs=1e-12)


def test_predicted_angle_is_0_for_the_weight_180_for_its_negative_90_for_random_feedback(normal):
    W = normal(0, 300, 300)
    assert predicted_angle(W, 2 * W) == 0
    assert predicted_angle(W, -W) == 180
    assert predicted_angle(W, normal(1, 300, 300)) == pytest.approx(90, abs=4 * 57.3 / 300)


@pytest.mark.parametrize(("width_out", "width_in"), [(192, 384), (384, 576)])
def test_independent_errors_show_the_predicted_angle(normal, width_out, width_in):
    """Measured angles of Wᵀδ and Bᵀδ; weights uniform within 1/√fan-in, PyTorch's default."""
    W = uniform(0, width_out, width_in) / math.sqrt(width_in)
    B0 = 0.05 * normal(1, width_out, width_in)
    delta = normal(2, 500, width_out)
    for B, published in ((B0, 90.0), (W.sign(), 30.0), (B0.abs() * W.sign(), 46.3)):
        measured = mean_angle(delta @ W, delta @ B).angle
        assert measured == pytest.approx(predicted_angle(W, B), abs=0.3)
        assert measured == pytest.approx(published, abs=0.4)


def test_weights_that_predict_no_angle_are_refused(normal):
    W = normal(0, 3, 4)
    with pytest.raises(AuditError, match="differ in shape"):
        predicted_angle(W, W.T)
    with pytest.raises(AuditError, match="differ in shape"):
        sign_angle(W, W[:2])
    with pytest.raises(AuditError, match="zero throughout"):
        predicted_angle(W, torch.zeros(3, 4))
    with pytest.raises(AuditError, match="zero throughout"):
        sign_angle(torch.zeros(3, 4))
    with pytest.raises(AuditError, match="NaN"):
        sign_angle(W * math.nan)
    with pytest.raises(AuditError, match="not empty"):
        sign_angle(torch.zeros(0, 4))
