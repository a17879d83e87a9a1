import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fa_audit.errors import AuditError
from fa_audit.metrics import (
    CentredGrams,
    MinibatchCKA,
    cka,
    cka_features,
    gram,
    hsic,
    procrustes_similarity,
)
from fa_audit.metrics.cka import BLOCK
from oracles import metrics_twins as twins

seeds = st.integers(0, 2**31)


# Twins


@given(seeds, st.integers(4, 12), st.integers(1, 9), st.floats(-9, 9))
def test_gram_matches_its_twin(normal, seed, n, p, offset):
    X = normal(seed, n, p) + offset
    torch.testing.assert_close(gram(X), torch.from_numpy(twins.gram(X)), rtol=1e-10, atol=1e-10)


@given(seeds, st.integers(4, 7), st.integers(1, 9), st.integers(1, 9))
def test_hsic_is_the_mean_over_quadruples_and_songs_formula(normal, seed, n, p, q):
    K, L = gram(normal(seed, n, p)), gram(normal(seed + 1, n, q))
    value = hsic(K, L)
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(twins.hsic_quadruples(K.numpy(), L.numpy()), abs=1e-10)
    assert value.item() == pytest.approx(twins.hsic_debiased(K.numpy(), L.numpy()), abs=1e-10)


@given(seeds, st.integers(4, 20))
def test_biased_hsic_is_tr_khlh(normal, seed, n):
    K, L = gram(normal(seed, n, 5) + 2), gram(normal(seed + 1, n, 3) + 2)
    assert hsic(K, L, "biased").item() == pytest.approx(
        twins.hsic_biased(K.numpy(), L.numpy()), rel=1e-10
    )


@given(seeds, st.integers(6, 40), st.integers(1, 60), st.integers(1, 60))
def test_cka_matches_its_twin(normal, seed, n, p, q):
    X = normal(seed, n, p) + 1
    Y = normal(seed + 1, n, q) + X[:, :1]
    assert cka(X, Y) == pytest.approx(twins.cka(X, Y), abs=1e-10)
    assert cka(X, Y, "biased") == pytest.approx(twins.cka(X, Y, twins.hsic_biased), abs=1e-10)


@given(seeds, st.integers(6, 60), st.integers(1, 80), st.integers(1, 80))
def test_feature_form_equals_gram_form(normal, seed, n, p, q):
    X = normal(seed, n, p) + 1
    Y = normal(seed + 1, n, q) + X[:, :1]
    assert cka_features(X, Y) == pytest.approx(cka(X, Y), abs=1e-12)


# Theorems


@given(seeds, st.integers(6, 40), st.integers(1, 60))
def test_cka_of_features_with_themselves_is_one(normal, seed, n, p):
    X = normal(seed, n, p)
    assert cka(X, X) == pytest.approx(1, abs=1e-12)
    assert cka(X, X, "biased") == pytest.approx(1, abs=1e-12)


def test_an_invertible_linear_map_changes_cka(normal):
    X = normal(0, 64, 8)
    stretched = X * torch.tensor([10.0, 1, 1, 1, 1, 1, 1, 1])
    assert cka(X, stretched) < 0.6


def test_all_but_the_first_dimension_are_flattened(normal):
    X, Y = normal(0, 10, 3, 2, 2), normal(1, 10, 5)
    assert cka(X, Y) == cka(X.flatten(1), Y)


@given(seeds, st.integers(4, 12), st.integers(1, 9))
def test_self_hsic_is_never_negative(normal, seed, n, p):
    K = gram(normal(seed, n, p))
    assert hsic(K, K) >= 0


def test_gram_matrices_larger_than_a_block_are_whole_and_symmetric(normal):
    X = normal(0, 2 * BLOCK + 7, 5)
    K = gram(X)
    torch.testing.assert_close(K, torch.from_numpy(twins.gram(X)), rtol=1e-10, atol=1e-10)


def test_channels_that_lie_last_in_memory_change_nothing(normal):
    X = normal(0, 12, 5, 3, 4)
    last = X.contiguous(memory_format=torch.channels_last)
    assert last.stride() != X.stride()
    torch.testing.assert_close(gram(last), gram(X), rtol=1e-12, atol=1e-12)


def test_hsic_of_two_matrices_may_be_negative(normal):
    values = [cka(normal(s, 20, 4), normal(s + 100, 20, 4)) for s in range(20)]
    assert min(values) < 0 < max(values)


def test_hsic_ignores_the_diagonal(normal):
    K, L = gram(normal(0, 8, 3)), gram(normal(1, 8, 3))
    assert hsic(K + torch.diag(normal(2, 8)), L).item() == pytest.approx(
        hsic(K, L).item(), abs=1e-12
    )


def test_centring_does_not_change_hsic(normal):
    X, L = normal(0, 12, 3) + 2, gram(normal(1, 12, 3))
    assert hsic(X @ X.T, L).item() == pytest.approx(hsic(gram(X), L).item(), abs=1e-10)


def test_a_matrix_that_hardly_varies_is_noise_unless_it_is_centred_before(normal):
    """The limit that hsic's docstring states, and the way around it."""
    n, X = 64, normal(0, 64, 3)
    L = gram(X + 0.3 * normal(1, 64, 3))
    H = torch.eye(n, dtype=torch.float64) - 1 / n
    for estimator, twin in (("debiased", twins.hsic_debiased), ("biased", twins.hsic_biased)):
        for width in (10, 1e4):
            K = (-torch.cdist(X, X).square() / (2 * width**2)).exp()
            expected = twin((H @ K @ H).numpy(), L.numpy())
            assert hsic(H @ K @ H, L, estimator).item() == pytest.approx(expected, rel=1e-6)
            assert (hsic(K, L, estimator) == 0) == (width == 1e4)


# The bias that decides the default


@pytest.mark.parametrize(
    ("n", "p", "q", "published"),
    [(64, 8, 8, 0.111), (64, 256, 256, 0.80), (128, 2000, 2000, 0.94)],
)
def test_biased_cka_of_independent_gaussians_is_large_and_debiased_is_zero(
    normal, n, p, q, published
):
    pairs = [(normal(s, n, p), normal(s + 50, n, q)) for s in range(8)]
    biased = torch.tensor([cka(X, Y, "biased") for X, Y in pairs]).mean().item()
    debiased = torch.tensor([cka(X, Y) for X, Y in pairs]).mean().item()
    assert math.sqrt(p * q / ((n + p) * (n + q))) == pytest.approx(published, abs=0.005)
    assert biased == pytest.approx(published, abs=0.01)
    assert abs(debiased) < 0.02


def test_rows_shuffled_leave_no_similarity(normal):
    X = normal(0, 256, 20) @ normal(1, 20, 500) + normal(2, 256, 500)
    order = torch.randperm(256, generator=torch.Generator().manual_seed(3))
    assert abs(cka(X, X[order])) < 0.05
    assert cka(X, X[order], "biased") > 0.07


def test_float32_at_the_size_of_conv1_agrees_with_float64(normal):
    n, p = 256, 25_600
    X = normal(0, n, p, dtype=torch.float32)
    Y = normal(1, n, p, dtype=torch.float32)
    assert cka(X, Y, "biased") == pytest.approx(0.99, abs=0.002)
    assert abs(cka(X, Y)) < 0.002
    latent = normal(2, n, 5, dtype=torch.float32)
    X += 0.07 * latent @ normal(3, 5, p, dtype=torch.float32) + 10  # far from the origin
    Y += 0.07 * latent @ normal(4, 5, p, dtype=torch.float32) - 10
    single, double = cka(X, Y), cka(X.double(), Y.double())
    assert 0.5 < double < 0.95
    assert single == pytest.approx(double, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_floating_dtype_is_measured_as_its_float64_copy(normal, dtype):
    X, Y = normal(0, 32, 40).to(dtype), normal(1, 32, 40).to(dtype)
    assert gram(X).dtype == torch.float64
    assert cka(X, Y) == pytest.approx(cka(X.double(), Y.double()), abs=1e-6)


def test_the_gram_matrix_is_the_same_within_autocast(normal):
    X, Y = normal(0, 32, 40, dtype=torch.float32), normal(1, 32, 20, dtype=torch.float32)
    expected, value = gram(X), cka(X, Y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(gram(X), expected)
        assert cka(X, Y) == value


def test_no_similarity_leaves_the_range_that_is_promised(normal):
    for seed in range(40):
        X = normal(seed, 20, 7)
        for Y in (X, 3 * X, X + 1):
            for measure in (cka, cka_features, procrustes_similarity):
                assert -1 <= measure(X, Y) <= 1
            assert 0 <= cka(X, Y, "biased") <= 1
            batches = MinibatchCKA()
            batches.update(CentredGrams([gram(X)]), CentredGrams([gram(Y)]))
            assert batches.matrix().abs().max() <= 1


def test_gram_leaves_its_argument_alone(normal):
    X = normal(0, 6, 3)
    before = X.clone()
    gram(X)
    assert torch.equal(X, before)


# Errors


@pytest.mark.parametrize("measure", [cka, cka_features])
def test_fewer_than_four_samples_are_refused(normal, measure):
    with pytest.raises(AuditError, match="at least 4 samples, got 3"):
        measure(normal(0, 3, 5), normal(1, 3, 5))


@pytest.mark.parametrize("measure", [cka, cka_features])
def test_different_numbers_of_samples_are_refused(normal, measure):
    with pytest.raises(AuditError, match="10 and 11 samples"):
        measure(normal(0, 10, 5), normal(1, 11, 5))


@pytest.mark.parametrize("measure", [cka, cka_features])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [7, 256])
def test_features_that_do_not_vary_are_refused(normal, measure, dtype, n):
    constant = torch.full((n, 300), 0.1, dtype=dtype)
    with pytest.raises(AuditError, match="self-HSIC"):
        measure(constant, normal(0, n, 5).to(dtype))


@pytest.mark.parametrize("measure", [cka, cka_features])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_in_which_one_sample_differs_are_refused(normal, measure, dtype):
    """Their Gram matrix is a sum aᵢ + aⱼ off the diagonal, which HSIC₁ takes for constant."""
    X = torch.full((50, 300), 0.3, dtype=dtype)
    X[17] = normal(0, 300).to(dtype)
    with pytest.raises(AuditError, match="self-HSIC"):
        measure(X, normal(1, 50, 5).to(dtype))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("measure", [cka, cka_features])
def test_features_that_are_not_finite_are_refused(normal, measure, bad):
    X, Y = normal(0, 10, 5), normal(1, 10, 5)
    X[3, 2] = bad
    for pair in ((X, Y), (Y, X)):
        with pytest.raises(AuditError, match="NaN"):
            measure(*pair)


def test_features_too_large_to_square_are_refused(normal):
    with pytest.raises(AuditError, match="overflow"):
        cka(normal(0, 10, 5, dtype=torch.float32) * 1e30, normal(1, 10, 5))


@pytest.mark.parametrize("shape", [(10,), (10, 0), (0, 10)])
def test_features_without_values_are_refused(shape):
    with pytest.raises(AuditError, match="not empty"):
        gram(torch.zeros(shape))


def test_matrices_that_are_no_gram_matrices_are_refused(normal):
    K = gram(normal(0, 6, 3))
    for bad in (K[:5], K[0], K[None], K[0, 0]):
        with pytest.raises(AuditError, match="square Gram matrix"):
            hsic(bad, K)
    with pytest.raises(AuditError, match="6 and 5 samples"):
        hsic(K, K[:5, :5])
    with pytest.raises(AuditError, match="NaN"):
        hsic(K * math.nan, K)


def test_an_unknown_estimator_is_refused(normal):
    X = normal(0, 6, 3)
    with pytest.raises(AuditError, match="'unbiased' is unknown: use 'debiased' or 'biased'"):
        cka(X, X, "unbiased")
    with pytest.raises(AuditError, match="is unknown"):
        hsic(gram(X), gram(X), "unbiased")
