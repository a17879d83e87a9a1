import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from fa_audit.errors import AuditError
from fa_audit.metrics import channel_importance, top_images
from oracles import metrics_twins as twins

every_variant = pytest.mark.parametrize("absolute", ["before", "none"])
seeds = st.integers(0, 2**31)


@every_variant
@given(seeds, st.integers(1, 6), st.integers(1, 5), st.integers(1, 4))
def test_importance_matches_its_twin(normal, absolute, seed, n, channels, side):
    a, g = normal(seed, n, channels, side, side), normal(seed + 1, n, channels, side, side)
    expected = twins.channel_importance(a, g, absolute)
    result = channel_importance(a, g, absolute)
    assert result.dtype == torch.float64
    assert result.tolist() == pytest.approx(expected.tolist(), abs=1e-10)


@every_variant
def test_importance_matches_finite_differences_of_a_network(normal, absolute):
    """Raising a whole channel by ε changes the logit by ε·h·w times its mean gradient."""
    filters, head = normal(0, 4, 3, 3, 3), normal(1, 4, 5)
    images = normal(2, 6, 3, 7, 7)

    def logits(activation):
        return F.max_pool2d(torch.tanh(activation), 2).mean((2, 3)) @ head

    activation = F.conv2d(images, filters).requires_grad_()
    out = logits(activation)
    predicted = out.argmax(1)
    (gradient,) = torch.autograd.grad(out.gather(1, predicted[:, None]).sum(), activation)
    result = channel_importance(activation, gradient, absolute)

    base, step = activation.detach(), 1e-5
    n, channels, h, w = base.shape
    products = torch.zeros(n, channels, dtype=torch.float64)
    for c in range(channels):
        shift = torch.zeros_like(base)
        shift[:, c] = step
        rise = (logits(base + shift) - logits(base - shift)).gather(1, predicted[:, None])[:, 0]
        products[:, c] = rise / (2 * step * h * w) * base[:, c].mean((1, 2))
    expected = (products.abs() if absolute == "before" else products).mean(0)
    assert result.tolist() == pytest.approx(expected.tolist(), rel=1e-6, abs=1e-10)


def test_the_code_and_the_equation_differ_where_images_disagree():
    activation = torch.tensor([1.0, 1.0]).reshape(2, 1, 1, 1)
    gradient = torch.tensor([3.0, -3.0]).reshape(2, 1, 1, 1)
    assert channel_importance(activation, gradient, "before").tolist() == [3.0]
    assert channel_importance(activation, gradient, "none").tolist() == [0.0]


def test_it_is_a_product_of_spatial_means_not_a_mean_of_products():
    activation = torch.tensor([1.0, -1.0]).reshape(1, 1, 1, 2)
    assert channel_importance(activation, activation, "before").tolist() == [0.0]


@every_variant
def test_spatial_means_taken_beforehand_give_the_same(normal, absolute):
    a, g = normal(0, 5, 3, 4, 4), normal(1, 5, 3, 4, 4)
    direct = channel_importance(a, g, absolute)
    torch.testing.assert_close(
        channel_importance(a.mean((2, 3)), g.mean((2, 3)), absolute), direct, rtol=1e-12, atol=1e-15
    )


@given(seeds, st.integers(1, 200), st.integers(1, 4), st.data())
def test_top_images_match_their_twin(normal, seed, n, channels, data):
    activation = normal(seed, n, channels, 2, 2).round()  # with ties
    k = data.draw(st.integers(1, n))
    wanted = data.draw(st.lists(st.integers(0, channels - 1), min_size=1, max_size=3))
    result = top_images(activation, torch.tensor(wanted), k)
    assert result.tolist() == [twins.top_images(activation.numpy(), c, k) for c in wanted]


def test_the_most_important_channels_lead_to_their_images():
    activation = torch.zeros(4, 3, 2, 2)
    activation[2, 1] = 5.0
    activation[0, 1] = 4.0
    importance = channel_importance(activation, torch.ones_like(activation), "before")
    assert top_images(activation, importance.topk(1).indices, 2).tolist() == [[2, 0]]


@every_variant
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_maps_that_are_not_finite_are_refused(absolute, bad):
    good, broken = torch.ones(2, 3, 2, 2), torch.full((2, 3, 2, 2), bad)
    for pair in ((good, broken), (broken, good)):
        with pytest.raises(AuditError, match="finite"):
            channel_importance(*pair, absolute)
    with pytest.raises(AuditError, match="finite"):
        top_images(broken, torch.tensor([0]), 1)


def test_arguments_that_do_not_fit_are_refused():
    a = torch.ones(2, 3, 2, 2)
    with pytest.raises(AuditError, match="one shape"):
        channel_importance(a, a[:1], "none")
    with pytest.raises(AuditError, match="'after' is unknown: use 'before' or 'none'"):
        channel_importance(a, a, "after")
    with pytest.raises(AuditError, match="not empty"):
        channel_importance(a[:0], a[:0], "none")
    with pytest.raises(AuditError, match="not empty"):
        top_images(a[:, 0, 0, 0], torch.tensor([0]), 1)
    for k in (0, 3):
        with pytest.raises(AuditError, match=f"{k} of 2 images"):
            top_images(a, torch.tensor([0]), k)
    for channel in (-1, 3):
        with pytest.raises(AuditError, match="indices in 0 to 2"):
            top_images(a, torch.tensor([channel]), 1)


def test_a_gradient_taken_from_a_module_needs_no_preparation(normal):
    with torch.random.fork_rng(devices=[]):
        layer = nn.Conv2d(3, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(normal(0, 2, 3, 3, 3))
    activation = layer(normal(1, 4, 3, 5, 5))
    assert not channel_importance(activation, activation, "none").requires_grad
