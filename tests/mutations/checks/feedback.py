"""Checks of the feedback B: the equation of every rule, and how its random part is drawn."""

import math

import torch
from torch import nn

from fa_audit.metrics import predicted_angle
from fa_audit.rules import FeedbackLinear, convert, feedback_layers
from mutations.registry import check
from mutations.small import every_rule, twin_feedback
from rules.variants import assert_same, normal


@check
def feedback_equation() -> None:
    """B is what the rule's equation makes of W and of the random part drawn at the start."""
    for rule, options in every_rule():
        if not rule.direct:
            layer = FeedbackLinear(5, 4, rule=rule.name, dtype=torch.float64, **options)
            assert_same(layer.feedback(), twin_feedback(layer, layer.random_part()))


@check
def feedback_follows_weights() -> None:
    """When W has changed, B is the equation's for the new W and the old random part."""
    for rule, options in every_rule():
        if not rule.direct:
            layer = FeedbackLinear(5, 4, rule=rule.name, dtype=torch.float64, **options)
            random_part = layer.random_part()
            random_part = None if random_part is None else random_part.clone()
            with torch.no_grad():
                layer.weight.copy_(normal(3, 4, 5))
            assert_same(layer.feedback(), twin_feedback(layer, random_part))


@check
def zero_weights() -> None:
    """sign(0) = 0: a rule that takes the signs of W feeds nothing back through a zero weight."""
    for rule, options in every_rule():
        if rule.weight_transport.startswith("sign"):
            layer = FeedbackLinear(3, 3, rule=rule.name, dtype=torch.float64, **options)
            with torch.no_grad():
                layer.weight.copy_(torch.tensor([[1.0, 0, -2], [0, 0, 3], [-1, 1, 0]]))
            assert torch.equal(layer.feedback() == 0, layer.weight == 0)


@check
def norms_of_a_diagonal() -> None:
    """For W = diag(3, 1), uSF SN's factor is √5 by the Frobenius norm and 3 by the spectral one."""
    for norm, factor in (("frobenius", math.sqrt(5)), ("spectral", 3.0)):
        layer = FeedbackLinear(2, 2, rule="usf_sn", norm=norm, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.diag(torch.tensor([3.0, 1.0])))
        assert_same(layer.feedback(), factor * torch.eye(2, dtype=torch.float64))


@check
def angles_at_initialisation() -> None:
    """With PyTorch's initial weights B is at 30.0° to W under uSF SN, 46.3° uSF Init, 90° FA."""
    for rule, degrees in (("usf_sn", 30.0), ("usf_init", 46.3), ("fa_toeplitz", 90.0)):
        layer = FeedbackLinear(150, 150, rule=rule)
        assert abs(predicted_angle(layer.weight, layer.feedback()) - degrees) < 1.5


@check
def feedback_scale() -> None:
    """B0 has mean 0 and the standard deviation asked for; by default that of the weights."""
    for scale in (0.01, 2.0, None):
        layer = FeedbackLinear(150, 150, rule="fa_toeplitz", feedback_scale=scale)
        expected = layer.weight.std().item() if scale is None else scale
        B = layer.feedback()
        assert abs(B.std().item() / expected - 1) < 0.03
        assert abs(B.mean().item() / expected) < 0.03


@check
def feedback_streams() -> None:
    """B0 depends on the seed and on the layer: no two layers share it, and two calls agree."""
    first, again, other_seed = ({}, {}, {})
    for drawn, seed in ((first, 0), (again, 0), (other_seed, 1)):
        network = nn.Sequential(*(nn.Linear(6, 6) for _ in range(3)))
        convert(network, "fa_toeplitz", seed=seed, feedback_scale=1.0)
        drawn |= {name: layer.feedback() for name, layer in feedback_layers(network).items()}
    assert torch.equal(first["1"], again["1"])
    assert not torch.equal(first["1"], other_seed["1"])
    assert not torch.equal(first["1"], first["2"])


@check
def magnitudes_drawn_anew() -> None:
    """brSF has other magnitudes in each training pass, and the signs of W in all."""
    layer = FeedbackLinear(5, 4, rule="brsf")
    x = torch.ones(2, 5, requires_grad=True)
    drawn = []
    for _ in range(3):
        layer(x)
        drawn.append(layer.feedback())
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[1], drawn[2])
    assert all(torch.equal(B.sign(), layer.weight.sign()) for B in drawn)
