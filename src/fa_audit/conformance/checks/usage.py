"""The places in which layers are used: networks, batches of all shapes, frozen parts, types."""

import numpy as np
import torch
from torch import Tensor, nn

from fa_audit.conformance.bench import Bench
from fa_audit.conformance.checks.catalogue import (
    AUTOGRAD,
    BACKPROPAGATION,
    DIRECT,
    LAYERS,
    MODULES,
    check,
)
from fa_audit.conformance.guards import checked, gradient, stage


@check("In a network the error goes on: layer, ReLU, layer.", BACKPROPAGATION)
def two_layers(b: Bench) -> None:
    """The lower layer's gradients, with the mask of the ReLU applied once."""
    lower, upper = b.two_cases(outputs=3)
    network, (first, second) = b.build_network(lower, upper)
    between: list[Tensor] = []

    def watch(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        arguments[0].retain_grad()
        between.append(arguments[0])

    second.register_forward_pre_hook(watch)
    with stage("the forward pass of the network"):
        y = network(b.tensor(lower, lower.x))
    shape = (len(upper.error), *upper.wiring.output_shape)
    y = checked(y, "the output of the network", shape, upper.spec.dtype)
    b.backward(y, b.tensor(upper, upper.error))
    weight, bias = b.gradients(first, lower)
    upper_weight, _ = b.gradients(second, upper)
    sent = gradient(between[0], "the input of the upper layer", upper.spec.dtype)
    b.same("the error sent between", sent, b.own_sent(second, upper, sent), "Bᵀδ with its own B")
    delivered = np.where(lower.y > 0, sent, 0.0)
    expected = lower.wiring.weight_gradient(lower.x, delivered)
    b.same("the lower weight gradient", weight, expected, "Σ δxᵀ for the error sent through ReLU")
    b.same("the lower bias gradient", bias, lower.wiring.bias_gradient(delivered), "Σ δ")
    expected = upper.wiring.weight_gradient(np.maximum(lower.y, 0.0), upper.error)
    b.same("the upper weight gradient", upper_weight, expected, "Σ δxᵀ")


@check(
    "Every layer of a network sends Bᵀe, with e the error at the network's output, not its own.",
    DIRECT,
    when=lambda variant: variant.rule.direct,
)
def direct_error(b: Bench) -> None:
    """The error at the network's input, where the lower layer's own error would fit B as well."""
    lower, upper = b.two_cases(kernel=(1, 1))
    network, _ = b.build_network(lower, upper)
    x = b.tensor(lower, lower.x).requires_grad_()
    with stage("the forward pass of the network"):
        y = network(x)
    b.backward(y, b.tensor(upper, upper.error))
    assert lower.initial is not None  # the rule stores one
    expected = lower.wiring.sent(upper.error, lower.initial)
    sent = gradient(x, "the input", lower.spec.dtype)
    b.same("the error sent down by the lower of two layers", sent, expected, "Bᵀe")


@check(
    "The first layer of a network, whose input needs no gradient, learns all the same.", AUTOGRAD
)
def first_layer(b: Bench) -> None:
    """Run with an input that requires no gradient."""
    case = b.case()
    layer = b.build(case)
    b.backward(b.forward(layer, case, b.tensor(case, case.x)), b.tensor(case, case.error))
    weight, bias = b.gradients(layer, case)
    b.same("the weight gradient", weight, case.weight_gradient, "Σ δxᵀ")
    b.same("the bias gradient", bias, case.bias_gradient, "Σ δ")


@check("A frozen layer sends the error down all the same, and gets no gradient.", AUTOGRAD)
def frozen(b: Bench) -> None:
    """Run with a weight and a bias that require no gradient."""
    case = b.case()
    layer = b.build(case)
    parameters = (b.weight(layer, case), b.bias(layer, case))
    for parameter in parameters:
        parameter.requires_grad_(False)
    x = b.tensor(case, case.x).requires_grad_()
    b.backward(b.forward(layer, case, x), b.tensor(case, case.error))
    b.holds(
        b.weight(layer, case).grad is None,
        "the weight has no gradient",
        "a frozen weight should get no gradient; it has one",
    )
    sent = gradient(x, "the input", case.spec.dtype)
    for parameter in parameters:
        parameter.requires_grad_(True)
    b.same("the error sent down", sent, b.own_sent(layer, case, sent), "that of the layer unfrozen")


@check("A batch of one.", LAYERS)
def batch_of_one(b: Bench) -> None:
    """Compare everything for n = 1."""
    case = b.case(batch=1)
    layer = b.build(case)
    b.same_pass(b.run(layer, case), layer, case)


@check("An input without a batch.", LAYERS)
def unbatched(b: Bench) -> None:
    """Compare everything for one input of its own shape."""
    case = b.case(batch=1)
    layer = b.build(case)
    b.same_pass(b.run(layer, case, shape=()), layer, case)


@check("Inputs with more dimensions than one before the features.", LAYERS, kinds=("linear",))
def leading_dimensions(b: Bench) -> None:
    """Compare everything for inputs [2, 3, in]."""
    case = b.case(batch=6)
    layer = b.build(case)
    b.same_pass(b.run(layer, case, shape=(2, 3)), layer, case)


@check("A layer with one output unit or channel.", LAYERS)
def one_output(b: Bench) -> None:
    """Compare everything for a layer with a single output."""
    case = b.case(outputs=1)
    layer = b.build(case)
    b.same_pass(b.run(layer, case), layer, case)


@check("Tensors in another memory layout: input and error stored transposed.", AUTOGRAD)
def strided_tensors(b: Bench) -> None:
    """Views of tensors whose dimensions are stored in reverse order."""
    case = b.case()
    layer = b.build(case)
    x, error = (b.tensor(case, values.T) for values in (case.x, case.error))
    reverse = tuple(reversed(range(x.ndim)))
    y = b.forward(layer, case, x.requires_grad_().permute(reverse))
    b.backward(y, error.permute(reverse))
    weight, _ = b.gradients(layer, case)
    b.same("the weight gradient", weight, case.weight_gradient, "Σ δxᵀ")
    sent = gradient(x, "the input", case.spec.dtype).transpose(reverse)
    b.same("the error sent down", sent, b.own_sent(layer, case, sent), "Bᵀδ with its own B")


@check("Neither the input nor the delivered error is changed.", AUTOGRAD)
def arguments_unchanged(b: Bench) -> None:
    """Compare both with what they were, after a pass."""
    case = b.case()
    x, error = b.tensor(case, case.x).requires_grad_(), b.tensor(case, case.error)
    b.backward(b.forward(b.build(case), case, x), error)
    for what, now, before in (("input", x, case.x), ("delivered error", error, case.error)):
        b.holds(
            torch.equal(now, b.tensor(case, before)),
            f"the {what} is as it was",
            f"the {what} should be as it was before the pass; it has been changed",
        )


@check("float32 in, float32 out; float64 in, float64 out: gradients too.", MODULES)
def types(b: Bench) -> None:
    """Compare everything in both types, each to its own precision."""
    for dtype in (torch.float32, torch.float64):
        case = b.case(dtype=dtype)
        layer = b.build(case)
        b.same_pass(b.run(layer, case), layer, case)
    b.findings = ["outputs and gradients have the type of the layer, float32 or float64"]
