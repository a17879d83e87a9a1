import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fa_audit.errors import AuditError
from fa_audit.metrics import cka, procrustes_similarity
from oracles import metrics_twins as twins


@given(st.integers(0, 2**31), st.integers(5, 20), st.integers(1, 40), st.integers(1, 40))
def test_procrustes_is_the_normalised_bures_similarity(normal, seed, n, p, q):
    X, Y = normal(seed, n, p) + 1, normal(seed + 1, n, q) - 2
    similarity = procrustes_similarity(X, Y)
    assert similarity == pytest.approx(twins.bures_similarity(X, Y), abs=1e-10)


def test_features_rotated_scaled_and_shifted_have_similarity_one(normal):
    X = normal(0, 20, 6)
    rotation = torch.linalg.qr(normal(1, 6, 6)).Q
    assert procrustes_similarity(X, -3 * X @ rotation + 5) == pytest.approx(1, abs=1e-12)


def test_features_of_orthogonal_samples_have_similarity_zero():
    X = torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
    Y = torch.tensor([[0.0], [0.0], [1.0], [-1.0]])
    assert procrustes_similarity(X, Y) == pytest.approx(0, abs=1e-15)


def test_it_weighs_principal_components_less_steeply_than_cka(normal):
    """A large shared component hides unrelated small ones from CKA more than from Procrustes."""
    shared = 10 * normal(0, 500, 1)
    X = torch.cat([shared, normal(1, 500, 20)], dim=1)
    Y = torch.cat([shared, normal(2, 500, 20)], dim=1)
    assert cka(X, Y) > 0.98
    assert procrustes_similarity(X, Y) < 0.92


def test_it_grows_for_unrelated_features_that_outnumber_the_samples(normal):
    few = procrustes_similarity(normal(0, 500, 4), normal(1, 500, 4))
    many = procrustes_similarity(normal(0, 50, 2000), normal(1, 50, 2000))
    assert few < 0.15
    assert many > 0.95


def test_the_scale_of_the_features_does_not_overflow(normal):
    X, Y = normal(0, 10, 3), normal(1, 10, 3)
    expected = procrustes_similarity(X, Y)
    assert procrustes_similarity(X * 1e200, Y * 1e-200) == pytest.approx(expected, abs=1e-12)


def test_what_has_no_similarity_is_refused(normal):
    X = normal(0, 10, 3)
    with pytest.raises(AuditError, match="10 and 9 samples"):
        procrustes_similarity(X, X[:9])
    with pytest.raises(AuditError, match="all alike"):
        procrustes_similarity(X, torch.full((10, 3), 0.1))
    for bad in (math.nan, math.inf):
        with pytest.raises(AuditError, match="NaN"):
            procrustes_similarity(torch.full((10, 3), bad), X)
    with pytest.raises(AuditError, match="not empty"):
        procrustes_similarity(X[:, 0], X)
