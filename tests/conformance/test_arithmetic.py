"""The kit's wires against the loops of the oracle: two independent ways to write a layer."""

import numpy as np
import pytest

from fa_audit.conformance.arithmetic import conv2d_wiring, linear_wiring, matrix_norm
from oracles import rule_twins as twins

rng = np.random.default_rng

GEOMETRIES = {
    "plain": {},
    "stride": {"stride": (2, 3)},
    "padding": {"padding": (2, 1)},
    "dilation": {"dilation": (2, 3)},
    "groups": {"groups": 2},
    "together": {"stride": (3, 2), "padding": (1, 2), "dilation": (2, 1), "groups": 2},
    "same": {"padding": "same"},
    "same, dilated": {"padding": "same", "dilation": (1, 3)},
    "circular": {"padding": (2, 1), "padding_mode": "circular"},
}


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_a_convolution_of_wires_is_that_of_the_oracle(geometry):
    settings = {
        "stride": (1, 1),
        "padding": (0, 0),
        "dilation": (1, 1),
        "groups": 1,
        "padding_mode": "zeros",
        **geometry,
    }
    wiring = conv2d_wiring((4, 6), (8, 7), (3, 2), **settings)
    twin = twins.geometry((3, 2), **settings)
    x = rng(0).normal(size=(2, 4, 8, 7))
    W, B = rng(1).normal(size=(2, *wiring.weight_shape))
    b = rng(2).normal(size=6)
    error = rng(3).normal(size=(2, *wiring.output_shape))
    assert_close(wiring.output(x, W, b), twins.conv2d(x, W, b, twin))
    assert_close(wiring.matrix(B), twins.dense_matrix(B, (4, 8, 7), twin))
    assert_close(wiring.sent(error, wiring.matrix(B)), twins.conv2d_send(error, B, x.shape, twin))
    weight, bias = twins.conv2d_gradients(x, error, W, twin)
    assert_close(wiring.weight_gradient(x, error), weight)
    assert_close(wiring.bias_gradient(error), bias)
    assert_close(wiring.weights_in(wiring.matrix(B)), B)


def test_a_linear_layer_of_wires_is_that_of_the_oracle():
    wiring = linear_wiring(7, 5)
    x, error, b = rng(0).normal(size=(3, 7)), rng(1).normal(size=(3, 5)), rng(2).normal(size=5)
    W, B = rng(3).normal(size=(2, 5, 7))
    assert_close(wiring.output(x, W, b), twins.linear(x, W, b))
    assert_close(wiring.sent(error, wiring.matrix(B)), twins.linear_send(error, B))
    weight, bias = twins.linear_gradients(x, error)
    assert_close(wiring.weight_gradient(x, error), weight)
    assert_close(wiring.bias_gradient(error), bias)


@pytest.mark.parametrize(("norm", "expected"), [("frobenius", 10**0.5), ("spectral", 3)])
def test_norms_of_a_diagonal_matrix(norm, expected):
    assert_close(matrix_norm(np.diag([3.0, 1.0]), norm), expected)


@pytest.mark.parametrize("norm", ["frobenius", "spectral"])
def test_norms_of_kernels_are_those_of_the_oracle(norm):
    W = rng(0).normal(size=(6, 4, 3, 2))
    assert_close(matrix_norm(W, norm), getattr(twins, norm)(W))
