import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fa_audit.errors import AuditError
from fa_audit.metrics import (
    effective_rank,
    effective_ranks,
    gram_singular_values,
    spectrum_rank,
    spectrum_ranks,
)
from fa_audit.metrics.rank import DEFINITIONS
from oracles import metrics_twins as twins

seeds = st.integers(0, 2**31)
every_definition = pytest.mark.parametrize("definition", DEFINITIONS)


def decaying(normal, seed, rows, columns, decay):
    """A random matrix whose columns shrink geometrically."""
    return normal(seed, rows, columns) * decay ** torch.arange(columns, dtype=torch.float64)


def test_there_are_five_definitions():
    assert len(DEFINITIONS) == 5


@every_definition
@given(seeds, st.integers(1, 8), st.integers(1, 8), st.floats(0.3, 1))
def test_rank_matches_its_twin(normal, definition, seed, rows, columns, decay):
    M = decaying(normal, seed, rows, columns, decay)
    expected = twins.effective_rank(M, definition)
    assert effective_rank(M, definition) == pytest.approx(expected, rel=1e-10)


@given(seeds, st.integers(1, 12), st.integers(1, 12), st.floats(0.2, 1))
def test_the_definitions_form_a_chain(normal, seed, rows, columns, decay):
    ranks = effective_ranks(decaying(normal, seed, rows, columns, decay))
    assert list(ranks) == [
        "stable",
        "gram_participation",
        "entropy_squared",
        "participation",
        "entropy",
    ]
    chain = [1.0, *ranks.values(), float(min(rows, columns))]
    for smaller, larger in pairwise(chain):
        assert smaller <= larger * (1 + 1e-12)


def test_the_chain_is_strict_where_singular_values_differ():
    sigma = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)
    values = [definition(sigma).item() for definition in DEFINITIONS.values()]
    assert values == sorted(set(values))
    assert values[0] == pytest.approx(14 / 9)
    assert values[1] == pytest.approx(14**2 / 98)
    assert values[3] == pytest.approx(36 / 14)


@every_definition
def test_a_rank_one_matrix_has_rank_1(normal, definition):
    M = torch.outer(normal(0, 7), normal(1, 9))
    assert effective_rank(M, definition) == pytest.approx(1, abs=1e-10)


@every_definition
@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_n_orthonormal_rows_have_rank_n(normal, definition, scale):
    rows = torch.linalg.qr(normal(0, 9, 5)).Q.T
    assert effective_rank(scale * rows, definition) == pytest.approx(5, rel=1e-12)


@every_definition
def test_rank_of_singular_values_is_rank_of_the_matrix(normal, definition):
    M = normal(0, 6, 10)
    sigma = torch.linalg.svdvals(M).flip(0)
    assert spectrum_rank(7 * sigma, definition) == pytest.approx(
        effective_rank(M, definition), rel=1e-12
    )


@given(seeds, st.integers(1, 12), st.integers(1, 12), st.floats(0.2, 1))
def test_the_way_through_the_gram_matrix_gives_the_same_singular_values(
    normal, seed, rows, columns, decay
):
    M = decaying(normal, seed, rows, columns, decay)
    expected = np.linalg.svd(M.numpy(), compute_uv=False)
    found = gram_singular_values(M).numpy()
    resolved = found > 1e-5 * expected[0]
    np.testing.assert_allclose(found[resolved], expected[resolved], rtol=1e-5)
    np.testing.assert_allclose(found, expected, atol=2e-5 * expected[0])


@every_definition
@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_the_way_through_the_gram_matrix_adds_no_direction(normal, definition, scale):
    M = scale * torch.outer(normal(0, 70), normal(1, 900))
    assert spectrum_rank(gram_singular_values(M), definition) == pytest.approx(1, abs=1e-12)
    assert spectrum_ranks(gram_singular_values(M)) == pytest.approx(effective_ranks(M))


def test_a_zero_matrix_has_singular_values_of_zero_and_no_rank():
    sigma = gram_singular_values(torch.zeros(3, 5))
    assert sigma.tolist() == [0, 0, 0]
    with pytest.raises(AuditError, match="effective rank needs a list"):
        spectrum_ranks(sigma)


@every_definition
def test_zero_singular_values_add_nothing(definition):
    sigma = torch.tensor([3.0, 2.0, 1.0])
    padded = torch.cat([sigma, torch.zeros(4)])
    assert spectrum_rank(padded, definition) == pytest.approx(spectrum_rank(sigma, definition))


@every_definition
def test_filters_are_flattened_to_one_row_per_output(normal, definition):
    W = normal(0, 8, 3, 5, 5)
    assert effective_rank(W, definition) == effective_rank(W.reshape(8, 75), definition)


def test_softmax_errors_of_c_classes_have_at_most_rank_c_minus_1(normal):
    logits = normal(0, 64, 10)
    error = torch.softmax(logits, 1) - torch.eye(10, dtype=torch.float64).repeat(7, 1)[:64]
    assert max(effective_ranks(error).values()) < 9
    assert max(effective_ranks(error @ normal(1, 10, 192)).values()) < 9


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(3, 4),
        torch.zeros(0, 4),
        torch.ones(3),
        torch.tensor([[1.0, math.nan]]),
        torch.tensor([[1.0, math.inf]]),
    ],
)
def test_matrices_without_a_rank_are_refused(bad):
    with pytest.raises(AuditError, match="effective rank needs"):
        effective_rank(bad, "entropy")
    with pytest.raises(AuditError, match="effective rank needs"):
        effective_ranks(bad)
    with pytest.raises(AuditError, match="effective rank needs"):
        spectrum_ranks(gram_singular_values(bad))


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [1.0, -1.0], [math.nan, 1.0], [math.inf], [[1.0]]])
def test_lists_that_are_no_singular_values_are_refused(bad):
    with pytest.raises(AuditError, match="effective rank needs a list of singular values"):
        spectrum_rank(torch.tensor(bad), "stable")


def test_an_unknown_definition_is_refused():
    with pytest.raises(AuditError, match="'numerical' is unknown: use stable, gram_participation"):
        effective_rank(torch.ones(2, 2), "numerical")
