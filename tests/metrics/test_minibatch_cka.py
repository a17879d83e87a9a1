import math

import numpy as np
import pytest
import torch

from fa_audit.errors import AuditError
from fa_audit.metrics import MinibatchCKA, cka, gram
from oracles import metrics_twins as twins


def over_batches(layers_a, layers_b, size):
    sums = MinibatchCKA()
    for start in range(0, len(layers_a[0]), size):
        batch = slice(start, start + size)
        sums.update([gram(X[batch]) for X in layers_a], [gram(Y[batch]) for Y in layers_b])
    return sums


@pytest.fixture(scope="module")
def related(normal):
    """Two noisy views of one latent signal, more features than a batch has samples."""
    n, p, rank = 2048, 256, 8
    latent = normal(0, n, rank)
    views = []
    for seed in (1, 3):
        signal = latent @ normal(seed, rank, p) / math.sqrt(rank)
        views.append(signal + 2 * normal(seed + 1, n, p))
    return views


def test_every_layer_pair_matches_the_twin(normal):
    X = normal(0, 24, 6)
    layers_a = [X + 1, X @ normal(1, 6, 9)]
    layers_b = [X[:, :2], X @ normal(2, 6, 30), normal(3, 24, 4)]
    sums = over_batches(layers_a, layers_b, 8)
    expected = twins.minibatch_cka(
        [F.numpy() for F in layers_a], [F.numpy() for F in layers_b], size=8
    )
    assert sums.matrix().dtype == torch.float64
    np.testing.assert_allclose(sums.matrix().numpy(), expected, atol=1e-10)
    assert (sums.n, sums.batches) == (24, 3)


def test_one_batch_of_all_samples_is_the_full_form(related):
    X, Y = (view[:200] for view in related)
    assert over_batches([X], [Y], 200).matrix().item() == pytest.approx(cka(X, Y), abs=1e-12)


def test_a_network_with_itself_has_ones_on_the_diagonal(normal):
    layers = [normal(0, 60, 5), normal(1, 60, 7)]
    matrix = over_batches(layers, layers, 20).matrix()
    torch.testing.assert_close(matrix.diagonal(), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(matrix, matrix.T)


def test_minibatches_approach_the_full_form_as_they_grow(related):
    full = cka(*related)
    error = {
        size: abs(over_batches(related[:1], related[1:], size).matrix().item() - full)
        for size in (16, 128, 1024)
    }
    assert error[16] > error[128] > error[1024]
    assert error[16] < 0.03
    assert error[1024] < 0.002


def test_the_mean_of_biased_batch_values_is_badly_off(related):
    X, Y = related
    batches = list(zip(X.split(64), Y.split(64), strict=True))
    full = cka(X, Y)
    mean_of_biased = sum(cka(x, y, "biased") for x, y in batches) / len(batches)
    mean_of_debiased = sum(cka(x, y) for x, y in batches) / len(batches)
    ratio_of_sums = over_batches([X], [Y], 64).matrix().item()
    assert mean_of_biased > full + 0.2
    assert mean_of_debiased == pytest.approx(full, abs=0.02)
    assert ratio_of_sums == pytest.approx(full, abs=0.02)
    assert abs(mean_of_debiased - ratio_of_sums) > 1e-6  # close, but another estimator


def test_a_batch_without_signal_adds_nothing(normal):
    X, Y = normal(0, 12, 5), normal(1, 12, 5)
    sums = over_batches([X], [Y], 12)
    before = sums.matrix()
    constant = gram(torch.full((12, 5), 0.1))
    sums.update([constant], [constant])
    torch.testing.assert_close(sums.matrix(), before)


def test_a_layer_without_signal_in_any_batch_is_refused(normal):
    sums = MinibatchCKA()
    sums.update([gram(normal(0, 12, 5))], [gram(normal(1, 12, 5)), torch.zeros(12, 12)])
    with pytest.raises(AuditError, match="self-HSIC"):
        sums.matrix()


def test_no_batch_is_refused():
    with pytest.raises(AuditError, match="before any batch"):
        MinibatchCKA().matrix()


def test_layers_that_change_between_batches_are_refused(normal):
    K = gram(normal(0, 8, 3))
    sums = MinibatchCKA()
    sums.update([K, K], [K, K])
    with pytest.raises(AuditError, match="same layers in every batch"):
        sums.update([K], [K, K])


def test_batches_that_do_not_match_are_refused(normal):
    K, small = gram(normal(0, 8, 3)), gram(normal(0, 6, 3))
    with pytest.raises(AuditError, match="8 and 6 samples"):
        MinibatchCKA().update([K], [small])
    with pytest.raises(AuditError, match="all of the same samples"):
        MinibatchCKA().update([K, small], [K])
    with pytest.raises(AuditError, match="one square Gram matrix per layer"):
        MinibatchCKA().update([], [K])
    with pytest.raises(AuditError, match="NaN"):
        MinibatchCKA().update([K * math.nan], [K])


def test_a_refused_batch_leaves_the_sums_alone(normal):
    K = gram(normal(0, 8, 3))
    sums = MinibatchCKA()
    sums.update([K], [K])
    with pytest.raises(AuditError):
        sums.update([K], [K * math.nan])
    assert (sums.n, sums.batches) == (8, 1)
    assert sums.matrix().item() == pytest.approx(1, abs=1e-12)
