"""What an optimizer may change, and what has to follow."""

import numpy as np

from fa_audit.conformance.bench import Bench
from fa_audit.conformance.checks.catalogue import (
    ALIGNMENT,
    KOLEN_POLLACK,
    LAYERS,
    MODULES,
    RULE,
    check,
)
from fa_audit.conformance.guards import FailedError, array, stage
from fa_audit.conformance.variants import Variant


@check(
    "What is trained is weight and bias, and no feedback.",
    ALIGNMENT,
    when=lambda variant: not variant.rule.trains_feedback,
)
def trained_parameters(b: Bench) -> None:
    """List the parameters that require a gradient, after a pass."""
    case = b.case()
    layer = b.build(case)
    b.run(layer, case)
    trained = (b.weight(layer, case), b.bias(layer, case))
    others = [
        name
        for name, parameter in layer.named_parameters()
        if parameter.requires_grad and not any(parameter is tensor for tensor in trained)
    ]
    b.holds(
        not others,
        "of the layer's parameters only weight and bias require a gradient",
        f"only weight and bias should require a gradient; so do the parameters {others}",
    )


@check("An optimizer step, W ← W − η ∂W, moves the very weights that the layer uses.", LAYERS)
def trained_weights(b: Bench) -> None:
    """One step, then the output with the new weights."""
    case = b.case()
    layer = b.build(case)
    b.step(layer, case, learning_rate=0.1)
    W = case.weight - 0.1 * case.weight_gradient
    bias = case.bias - 0.1 * case.bias_gradient
    unmoved = [("the weight before the step", case.weight)]
    b.same("the weight after a step", array(b.weight(layer, case)), W, "W − η ∂W", unmoved)
    b.same("the bias after a step", array(b.bias(layer, case)), bias, "b − η ∂b")
    y = b.run(layer, case).y
    b.same("the output after a step", y, case.wiring.output(case.x, W, bias), "W'x + b'")


@check(
    "B0 stays as it was given through optimizer steps with weight decay.",
    ALIGNMENT,
    when=lambda variant: variant.rule.stores_feedback and not variant.rule.trains_feedback,
)
def fixed_initial_feedback(b: Bench) -> None:
    """Three steps, then the equation of the current W and the B0 given."""
    case = b.case()
    layer = b.build(case)
    for _ in range(3):
        b.step(layer, case, learning_rate=0.05, weight_decay=0.1)
    W = array(b.weight(layer, case))
    found = b.run(layer, case).sent
    meaning = f"{b.by_rule}, W current and B0 as given"
    suspects = b.suspects(case, W)
    b.same("the error sent down after 3 steps", found, b.sent(case, W), meaning, suspects)


@check(
    "B is trained as W is: with every step W − B shrinks by the weight decay alone.",
    KOLEN_POLLACK,
    when=lambda variant: variant.rule.trains_feedback,
)
def trained_feedback(b: Bench) -> None:
    """Three steps: W − B = (1 − ηλ)³ (W₀ − B₀)."""
    case = b.case()
    layer = b.build(case)
    for _ in range(3):
        b.step(layer, case, learning_rate=0.5, weight_decay=0.4)
    W, B = array(b.weight(layer, case)), b.used_feedback(layer, case)
    assert case.initial is not None  # the rule stores one
    b.same(
        "W − B after 3 steps",
        W - B,
        (1 - 0.5 * 0.4) ** 3 * (case.weight - case.initial),
        "(1 − ηλ)³ of what it was",
        [("what B left at B0 gives", W - case.initial), ("what it was", case.weight - B)],
    )


def _computed_from_weights(variant: Variant) -> bool:
    rule = variant.rule
    return rule.changes_in_training and not (rule.trains_feedback or rule.redraws_feedback)


@check(
    "B follows the current weights, not those that the layer began with.",
    RULE,
    when=_computed_from_weights,
)
def follows_weights(b: Bench) -> None:
    """A step that turns many signs, then the equation of the current W."""
    case = b.case()
    layer = b.build(case)
    b.step(layer, case, learning_rate=1.0)
    W = array(b.weight(layer, case))
    if np.array_equal(W, case.weight):
        raise FailedError("an optimizer step should move the weights; it left them as they were")
    stale = ("sent through the feedback of the initial weights", b.sent(case))
    found = b.run(layer, case).sent
    suspects = [stale, *b.suspects(case, W)]
    meaning = f"{b.by_rule}, W current"
    b.same("the error sent down after a step", found, b.sent(case, W), meaning, suspects)


@check(
    "B0 travels with the state_dict: a layer that loads it sends the same error.",
    MODULES,
    when=lambda variant: variant.rule.stores_feedback,
)
def state_dict(b: Bench) -> None:
    """Load one layer's state into a like layer with other numbers."""
    case, other = b.case(), b.case(name="other")
    source, target = b.build(case), b.build(other)
    with stage("loading the state_dict of a like layer"):
        target.load_state_dict(source.state_dict())
    found, expected = (b.run(layer, case).sent for layer in (target, source))
    b.same("the error sent down after loading", found, expected, "that of the layer saved")
