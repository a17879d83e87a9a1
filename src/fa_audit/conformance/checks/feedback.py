"""The error sent down, and the feedback B behind it: what a rule is about."""

import numpy as np

from fa_audit.conformance.arithmetic import Array, matrix_norm
from fa_audit.conformance.bench import Bench
from fa_audit.conformance.checks.catalogue import (
    ALIGNMENT,
    ARITHMETIC,
    CONCORDANCE,
    CONVOLUTIONS,
    RULE,
    check,
)
from fa_audit.conformance.guards import array
from fa_audit.conformance.variants import Variant

DRAWS = 32
"""How often B is drawn where what it is drawn from is looked at."""


def _computable(variant: Variant) -> bool:
    """W and B0 tell B; otherwise its random part is known to the layer alone."""
    return not variant.rule.redraws_feedback


@check(
    "The error sent down is Bᵀδ with B by the rule's equation of W and B0.",
    RULE,
    when=_computable,
)
def equation(b: Bench) -> None:
    """Compare what is sent with the equation's Bᵀδ; say which rule it is otherwise."""
    case = b.case()
    found = b.run(b.build(case), case).sent
    b.same("the error sent down", found, b.sent(case), b.by_rule, b.suspects(case))


@check("The error sent down is Bᵀδ with the B that the layer reports.", ALIGNMENT)
def reported_feedback(b: Bench) -> None:
    """Compare what is sent with Bᵀδ for the reported B."""
    case = b.case()
    layer = b.build(case)
    found = b.run(layer, case).sent
    expected = case.wiring.sent(case.error, b.reported_matrix(layer, case))
    b.same("the error sent down", found, expected, "Bᵀδ with the B reported", b.suspects(case))


@check("B is transposed on the way down, and no kernel is turned round.", ARITHMETIC)
def transpose(b: Bench) -> None:
    """Square layers, where a missing transpose gives the right shape; directions, not sizes."""
    case = b.case(inputs=4, outputs=4, kernel=(3, 3), padding=(1, 1))
    layer = b.build(case)
    found = b.run(layer, case).sent
    known = _computable(b.variant)
    matrix = b.feedback_matrix(case) if known else b.reported_matrix(layer, case)
    wrong = {"Bδ": matrix.T}
    if b.kind == "conv2d" and not b.dense:
        kernel = case.wiring.weights_in(matrix)
        for label, turned in {
            "Bᵀδ with the channels of B exchanged": kernel.swapaxes(0, 1),
            "Bᵀδ with the kernels of B turned round": kernel[:, :, ::-1, ::-1],
            "Bᵀδ with rows and columns of B exchanged": kernel.swapaxes(2, 3),
        }.items():
            wrong[label] = case.wiring.matrix(turned)
    b.same(
        "the direction of the error sent down by a square layer",
        _direction(found),
        _direction(case.wiring.sent(case.error, matrix)),
        f"that of {b.by_rule}" if known else "that of Bᵀδ with the B reported",
        [(label, _direction(case.wiring.sent(case.error, m))) for label, m in wrong.items()],
    )


def _direction(error: Array) -> Array:
    return error / (np.linalg.norm(error) or 1.0)


@check(
    "Sham feedback: where the equation gives B = W, all is backpropagation.",
    ALIGNMENT,
    when=_computable,
)
def sham_feedback(b: Bench) -> None:
    """Weights of one magnitude and B0 = W, or |W| where the sign comes from W already."""
    W = 0.5 * np.sign(b.case().weight)
    unrolled = b.case().wiring.matrix
    shams = [unrolled(B0) if b.dense else B0 for B0 in (W, np.abs(W))]
    expected = unrolled(W)
    case = min(
        (b.case(weight=W, initial=B0) for B0 in shams),
        key=lambda case: float(np.abs(b.feedback_matrix(case) - expected).max()),
    )
    found = b.run(b.build(case), case)
    b.same("the error sent down", found.sent, case.wiring.sent(case.error, expected), "Wᵀδ")
    b.same("the weight gradient", found.weight_gradient, case.weight_gradient, "Σ δxᵀ")


@check(
    "Later passes with the same numbers give the same: B is not drawn again.",
    RULE,
    when=_computable,
)
def repeatable(b: Bench) -> None:
    """Run the same pass three times."""
    case = b.case()
    layer = b.build(case)
    first, *later = (b.run(layer, case) for _ in range(3))
    for found in later:
        b.same("the output of a later pass", found.y, first.y, "that of the first")
        b.same("the error sent down by a later pass", found.sent, first.sent, "that of the first")
        b.same(
            "the weight gradient of a later pass",
            found.weight_gradient,
            first.weight_gradient,
            "that of the first",
        )


@check(
    "The random part of B is drawn anew for every forward pass in training.",
    RULE,
    when=lambda variant: variant.rule.redraws_feedback,
)
def redrawn(b: Bench) -> None:
    """Run the same pass twice."""
    case = b.case()
    layer = b.build(case)
    first, second = (b.run(layer, case).sent for _ in range(2))
    b.holds(
        not np.isclose(first, second).any(),
        "a second pass with the same numbers sends another error",
        "a second pass should send another error throughout; at least in parts it is the same",
    )


@check(
    "The magnitudes drawn differ from entry to entry and do not follow those of W.",
    RULE,
    when=lambda variant: (
        variant.rule.redraws_feedback and variant.rule.weight_transport in ("none", "sign")
    ),
)
def drawn_magnitudes(b: Bench) -> None:
    """Draw B several times: how |B| scatters within a draw, and whether its mean goes with |W|."""
    case = b.case(inputs=12, outputs=10)
    layer = b.build(case)
    drawn = np.abs([b.used_feedback(layer, case).ravel() for _ in range(DRAWS)])
    scatter = float((drawn.std(axis=1) / drawn.mean(axis=1)).mean())
    b.holds(
        scatter > 0.1,
        f"within a draw |B| scatters by {scatter:.2g} of its mean",
        f"|B| should differ from entry to entry; within a draw it scatters by {scatter:.2g} of its "
        "mean",
    )
    # Of so many entries, an independent mean has a correlation of about .1 at random.
    found = float(np.corrcoef(drawn.mean(axis=0), np.abs(case.weight).ravel())[0, 1])
    b.holds(
        abs(found) < 0.5,
        f"over {DRAWS} draws |B| correlates with |W| by {found:.2g}",
        f"|B| should know nothing of |W|; over {DRAWS} draws they correlate by {found:.2g}",
    )


# Which properties of W may enter, by the declared weight transport


@check(
    "B does not depend on W: with other weights and the same B0 the same error is sent.",
    RULE,
    when=lambda variant: variant.rule.weight_transport == "none",
)
def no_weight_transport(b: Bench) -> None:
    """Two layers that differ in W alone."""
    case = b.case()
    other = b.case(weight=b.numbers("other weights", *case.weight.shape))
    sent, sent_by_other = (b.run(b.build(c), c).sent for c in (case, other))
    b.same("the error sent down with other weights", sent_by_other, sent, "the same as before")


@check(
    "Of W, B knows the signs alone: with other magnitudes the same error is sent.",
    RULE,
    when=lambda variant: variant.rule.weight_transport == "sign" and _computable(variant),
)
def signs_alone(b: Bench) -> None:
    """Two layers whose weights differ in magnitude alone."""
    case = b.case()
    scale = 0.1 + np.abs(b.numbers("scale", *case.weight.shape))
    other = b.case(weight=case.weight * scale)
    sent, sent_by_other = (b.run(b.build(c), c).sent for c in (case, other))
    b.same("the error sent down with other magnitudes", sent_by_other, sent, "the same as before")


@check(
    "B has the norm of W: Frobenius or spectral, as the option says.",
    CONVOLUTIONS,
    when=lambda variant: variant.rule.weight_transport == "sign and norm",
)
def norm(b: Bench) -> None:
    """Weights with one large row, for which the two norms part."""
    rows = np.array([3.0] + [0.5] * (len(b.case().weight) - 1))
    W = b.case().weight * rows.reshape(-1, *[1] * (b.case().weight.ndim - 1))
    case = b.case(weight=W)
    B = b.used_feedback(b.build(case), case)
    named = dict(b.variant.options)["norm"]
    found, expected = matrix_norm(B, named), matrix_norm(W, named)
    agreeing = [
        other
        for other in b.variant.rule.options["norm"]
        if np.isclose(matrix_norm(B, other), matrix_norm(W, other))
    ]
    b.holds(
        abs(found - expected) <= case.tolerance * expected,
        f"the {named} norm of B is that of W, {expected:.3g}",
        f"the {named} norm of B should be that of W, {expected:.3g}; found {found:.3g}"
        + "".join(f": it is the {other} norm that agrees" for other in agreeing),
    )


# What sign-concordant rules declare


def _sign_concordant(variant: Variant) -> bool:
    return variant.rule.sign_concordant and variant.is_default


@check("sign(B) = sign(W) of the current weights.", CONCORDANCE, when=_sign_concordant)
def signs(b: Bench) -> None:
    """Compare signs entry by entry, and again after a step that turns many of them."""
    case = b.case()
    layer = b.build(case)
    _compare_signs(b, b.used_feedback(layer, case), case.weight, case.weight, "at first")
    b.step(layer, case, learning_rate=1.0)
    W = array(b.weight(layer, case))
    _compare_signs(b, b.used_feedback(layer, case), W, case.weight, "after an optimizer step")


def _compare_signs(b: Bench, B: Array, W: Array, initial: Array, moment: str) -> None:
    wrong = int((np.sign(B) != np.sign(W)).sum())
    stale = ": B has the signs of the initial weights"
    b.holds(
        wrong == 0,
        f"{moment} the signs of B and W agree in all {W.size} entries",
        f"{moment} sign(B) should be sign(W); it differs in {wrong} of {W.size} entries"
        + (stale if (np.sign(B) == np.sign(initial)).all() else ""),
    )


@check("sign(0) = 0: nothing is fed back through a weight that is 0.", RULE, when=_sign_concordant)
def zero_weights(b: Bench) -> None:
    """Every third weight is 0, then all of them."""
    W = b.case().weight.copy()
    W.reshape(-1)[::3] = 0
    case = b.case(weight=W)
    B = b.used_feedback(b.build(case), case)
    largest = float(np.abs(B[W == 0]).max())
    b.holds(
        largest <= case.tolerance,
        f"B is 0 at all {(W == 0).sum()} weights that are 0",
        f"B should be 0 where W is 0; found values up to {largest:.3g} there",
    )
    nothing = b.case(weight=np.zeros_like(W))
    sent = b.run(b.build(nothing), nothing).sent
    b.same("the error sent down by weights that are all 0", sent, np.zeros_like(sent), "0")


@check(
    "|B| = |B0| where W is not 0: of B0 only the magnitude enters, never its sign.",
    CONVOLUTIONS,
    when=lambda variant: _sign_concordant(variant) and variant.rule.stores_feedback,
)
def magnitudes(b: Bench) -> None:
    """Compare B with |B0| ⊙ sign(W), written out."""
    case = b.case()
    assert case.initial is not None  # the rule stores one
    sign, B0 = np.where(case.weight > 0, 1.0, -1.0), case.initial
    suspects = [("B0 ⊙ sign(W), without the bars", B0 * sign), ("|B0|", np.abs(B0)), ("B0", B0)]
    B = b.used_feedback(b.build(case), case)
    b.same("B", B, np.abs(B0) * sign, "|B0| ⊙ sign(W)", suspects)
