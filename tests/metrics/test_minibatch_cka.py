import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fa_audit.errors import AuditError
from fa_audit.metrics import CentredGrams, MinibatchCKA, cka, gram, hsic
from oracles import metrics_twins as twins


def centred(layers, batch=slice(None)):
    return CentredGrams([gram(X[batch]) for X in layers])


def over_batches(layers_a, layers_b, size, members=None):
    """Over consecutive batches: of each the members, where there are 4 or more."""
    sums = MinibatchCKA()
    for batch in torch.arange(len(layers_a[0])).split(size):
        chosen = batch if members is None else batch[members[batch]]
        if len(chosen) >= 4:
            sums.update(centred(layers_a, chosen), centred(layers_b, chosen))
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
    constant = centred([torch.full((12, 5), 0.1)])
    sums.update(constant, constant)
    torch.testing.assert_close(sums.matrix(), before)


def test_a_layer_without_signal_in_any_batch_is_refused(normal):
    sums = MinibatchCKA()
    dead = CentredGrams([gram(normal(1, 12, 5)), torch.zeros(12, 12)])
    sums.update(centred([normal(0, 12, 5)]), dead)
    with pytest.raises(AuditError, match="self-HSIC"):
        sums.matrix()


def test_no_batch_is_refused():
    with pytest.raises(AuditError, match="before any batch"):
        MinibatchCKA().matrix()


def test_layers_that_change_between_batches_are_refused(normal):
    X = normal(0, 8, 3)
    sums = MinibatchCKA()
    sums.update(centred([X, X]), centred([X, X]))
    with pytest.raises(AuditError, match="same layers in every batch"):
        sums.update(centred([X]), centred([X]))
    assert (sums.n, sums.batches) == (8, 1)


def test_batches_that_do_not_match_are_refused(normal):
    K, small = gram(normal(0, 8, 3)), gram(normal(0, 6, 3))
    sums = MinibatchCKA()
    with pytest.raises(AuditError, match="8 and 6 samples"):
        sums.update(CentredGrams([K]), CentredGrams([small]))
    assert (sums.n, sums.batches) == (0, 0)
    with pytest.raises(AuditError, match="all of the same samples"):
        CentredGrams([K, small])
    with pytest.raises(AuditError, match="one square Gram matrix per layer"):
        CentredGrams([])
    with pytest.raises(AuditError, match="NaN"):
        CentredGrams([K * math.nan])


# Subsets: of each batch the samples that belong to one


@given(st.integers(0, 2**31))
def test_a_subset_matches_the_twin(normal, seed):
    layers_a = [normal(seed, 30, 6) + 1]
    layers_b = [layers_a[0][:, :3] + normal(seed + 1, 30, 3), normal(seed + 2, 30, 20)]
    members = normal(seed + 3, 30) < 0.5
    members[:7] = True  # one batch at least has enough of them
    expected = twins.minibatch_cka(
        [F.numpy() for F in layers_a], [F.numpy() for F in layers_b], 10, members.numpy()
    )
    found = over_batches(layers_a, layers_b, 10, members)
    np.testing.assert_allclose(found.matrix().numpy(), expected, atol=1e-10)
    counts = [int(members[start : start + 10].sum()) for start in (0, 10, 20)]
    assert found.n == sum(count for count in counts if count >= 4)


def test_rows_and_columns_of_a_gram_matrix_are_those_of_the_subset_alone(normal):
    """HSIC₁ does not see where features are centred, so one Gram matrix serves all subsets."""
    X, Y = normal(0, 20, 7) + 3, normal(1, 20, 5) - 2
    members = torch.tensor([3, 4, 8, 11, 12, 19])
    K, L = (gram(F)[members][:, members] for F in (X, Y))
    together = CentredGrams(torch.stack([K, L]))
    alone = centred([X, Y], members)
    torch.testing.assert_close(together.hsic(together), alone.hsic(alone), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(together.self_hsic(), together.hsic(together).diagonal())


@pytest.mark.parametrize("same", [False, True], ids=["numerator", "denominator"])
def test_sums_over_batches_are_unbiased_whatever_the_numbers_of_a_subset_in_them(normal, same):
    """Over all batches there can be, Σ w HSIC₁ / Σ w is HSIC₁ of the whole subset, w = n_b.

    Five of nine samples make a batch; of the subset's seven, three to five are in it.
    """
    X = normal(0, 9, 3)
    Y = X if same else normal(1, 9, 2) + X[:, :2]
    members = torch.tensor([True] * 7 + [False] * 2)
    weighted, weights = 0.0, {}
    for batch in map(list, itertools.combinations(range(9), 5)):
        chosen = torch.tensor(batch)[members[batch]]
        n = len(chosen)
        weights[n] = weights.get(n, 0) + n
        if n >= 4:
            weighted += n * hsic(gram(X[chosen]), gram(Y[chosen])).item()
    assert set(weights) == {3, 4, 5}
    whole = hsic(gram(X[members]), gram(Y[members])).item()
    assert weighted / (weights[4] + weights[5]) == pytest.approx(whole, rel=1e-12)


def test_the_mean_over_all_orders_of_the_columns_images_is_zero(normal):
    """Shuffling within a batch is a null without bias: fixed points make up for the rest."""
    K, L = gram(normal(0, 5, 3)), gram(normal(1, 5, 2) + normal(0, 5, 2))
    orders = list(map(list, itertools.permutations(range(5))))
    values = [hsic(K, L[order][:, order]).item() for order in orders]
    assert max(values) > 0.1
    assert sum(values) / len(values) == pytest.approx(0, abs=1e-12)


def test_estimators_are_not_mixed(normal):
    X, Y = normal(0, 12, 5), normal(1, 12, 5)
    biased, debiased = (
        CentredGrams([gram(Z)], name) for Z, name in ((X, "biased"), (Y, "debiased"))
    )
    for compare in (biased.hsic, biased.cosines):
        with pytest.raises(AuditError, match="the biased and for the debiased HSIC cannot be"):
            compare(debiased)
    with pytest.raises(AuditError, match="summed from debiased HSIC"):
        MinibatchCKA().update(biased, biased)
