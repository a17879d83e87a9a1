"""The output, and the gradients of weight and bias: alike under every rule."""

import torch

from fa_audit.conformance.bench import Bench
from fa_audit.conformance.checks.catalogue import (
    ALIGNMENT,
    AUTOGRAD,
    BACKPROPAGATION,
    LAYERS,
    check,
)
from fa_audit.conformance.guards import array


@check("The output is y = Wx + b.", LAYERS)
def forward(b: Bench) -> None:
    """Compare y."""
    case = b.case()
    b.same("the output", b.run(b.build(case), case).y, case.y, "Wx + b")


@check("In evaluation and without recording gradients the output is the same.", LAYERS)
def evaluation(b: Bench) -> None:
    """Compare y in eval mode under no_grad."""
    case = b.case()
    layer = b.build(case).eval()
    with torch.no_grad():
        y = b.forward(layer, case, b.tensor(case, case.x))
    b.same("the output", array(y), case.y, "Wx + b")


@check("The weight gradient is delivered error times input, Σ δxᵀ: no feedback in it.", ALIGNMENT)
def weight_gradient(b: Bench) -> None:
    """Compare ∂W."""
    case = b.case()
    found = b.run(b.build(case), case).weight_gradient
    b.same("the weight gradient", found, case.weight_gradient, "Σ δxᵀ")


@check("The bias gradient is the sum of the delivered errors, Σ δ.", BACKPROPAGATION)
def bias_gradient(b: Bench) -> None:
    """Compare ∂b."""
    case = b.case()
    found = b.run(b.build(case), case).bias_gradient
    b.same("the bias gradient", found, case.bias_gradient, "Σ δ")


@check("A layer without a bias: y = Wx, and the same gradients.", LAYERS)
def without_bias(b: Bench) -> None:
    """Compare everything in a layer without bias."""
    case = b.case(bias=False)
    layer = b.build(case)
    b.same_pass(b.run(layer, case), layer, case)


@check("Gradients of two backward passes add up.", AUTOGRAD)
def accumulation(b: Bench) -> None:
    """Run backward twice without clearing."""
    case = b.case()
    layer = b.build(case)
    for _ in range(2):
        x = b.tensor(case, case.x).requires_grad_()
        b.backward(b.forward(layer, case, x), b.tensor(case, case.error))
    weight, bias = b.gradients(layer, case)
    b.same("the weight gradient of two passes", weight, 2 * case.weight_gradient, "twice one")
    b.same("the bias gradient of two passes", bias, 2 * case.bias_gradient, "twice one")
