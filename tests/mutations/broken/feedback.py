"""Feedback that is wrong in one way each: its equation, its random part, who changes it."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fa_audit.rules import RULES, FeedbackLayer, Rule
from fa_audit.rules.feedback import sign_with_random_magnitude, sign_with_shared_norm
from fa_audit.streams import stream
from mutations.registry import broken, replace_function


def change_row(patch: pytest.MonkeyPatch, rule: str, **changes: Any) -> None:
    """Another row of RULES under the same name."""
    patch.setitem(RULES, rule, replace(RULES[rule], **changes))


def use_initial_weight(patch: pytest.MonkeyPatch, *rules: str) -> None:
    """Let B be made of the weight that the layer had when the rule was put into it."""
    right = FeedbackLayer.set_rule

    def set_rule(layer: FeedbackLayer, rule: str | Rule, **settings: Any) -> None:
        right(layer, rule, **settings)
        row, W0 = layer.rule, layer.weight.detach().clone()
        if row.name in rules:

            def stale(weight: Tensor, random: Tensor | None, **options: str) -> Tensor:
                return row.feedback(W0, random, **options)

            layer.rule = replace(row, feedback=stale)

    patch.setattr(FeedbackLayer, "set_rule", set_rule)


# What B is made of


@broken
def weight_used_as_feedback(patch: pytest.MonkeyPatch) -> None:
    """FA (Toeplitz) sends its error through W: backpropagation by another name."""
    change_row(patch, "fa_toeplitz", feedback=RULES["bp"].feedback)


@broken
def backpropagation_with_stale_weights(patch: pytest.MonkeyPatch) -> None:
    """BP sends its error through the weights that the layer had when it was made."""
    use_initial_weight(patch, "bp")


@broken
def sign_of_the_initial_weights(patch: pytest.MonkeyPatch) -> None:
    """uSF Init, uSF SN and brSF take the signs that the weights had at the start."""
    use_initial_weight(patch, "usf_init", "usf_sn", "brsf")


@broken
def bars_forgotten(patch: pytest.MonkeyPatch) -> None:
    """uSF Init is B0 ⊙ sign(W) in place of |B0| ⊙ sign(W)."""

    def wrong(weight: Tensor, initial: Tensor, magnitude: str) -> Tensor:
        return sign_with_random_magnitude(weight, initial, "signed")

    change_row(patch, "usf_init", feedback=wrong)


def use_norm(patch: pytest.MonkeyPatch, norm: str) -> None:
    def wrong(weight: Tensor, initial: None, **_: str) -> Tensor:
        return sign_with_shared_norm(weight, initial, norm)

    change_row(patch, "usf_sn", feedback=wrong)


@broken
def spectral_for_frobenius(patch: pytest.MonkeyPatch) -> None:
    """uSF SN takes the spectral norm whichever is asked for."""
    use_norm(patch, "spectral")


@broken
def frobenius_for_spectral(patch: pytest.MonkeyPatch) -> None:
    """uSF SN takes the Frobenius norm whichever is asked for."""
    use_norm(patch, "frobenius")


@broken
def norm_of_the_signs_forgotten(patch: pytest.MonkeyPatch) -> None:
    """uSF SN is ‖W‖ · sign(W), not divided by ‖sign(W)‖."""

    def wrong(weight: Tensor, initial: None, norm: str) -> Tensor:
        order = 2 if norm == "spectral" else "fro"
        return torch.linalg.matrix_norm(weight.flatten(1), order) * weight.sign()

    change_row(patch, "usf_sn", feedback=wrong)


@broken
def sign_of_zero_is_one(patch: pytest.MonkeyPatch) -> None:
    """A weight that is zero counts as positive."""
    for rule in ("usf_init", "usf_sn", "brsf"):
        right = RULES[rule].feedback

        def wrong(weight: Tensor, *random: Tensor, right: Any = right, **options: str) -> Tensor:
            tiny = torch.finfo(weight.dtype).tiny
            return right(weight.masked_fill(weight == 0, tiny), *random, **options)

        change_row(patch, rule, feedback=wrong)


# How B is drawn, and who changes it


@broken
def scale_taken_for_a_variance(patch: pytest.MonkeyPatch) -> None:
    """B0 has the variance that was asked for as its standard deviation."""
    right = FeedbackLayer.set_rule

    def set_rule(
        layer: FeedbackLayer,
        rule: str | Rule,
        *,
        feedback_scale: float | None = None,
        **settings: Any,
    ) -> None:
        scale = None if feedback_scale is None else feedback_scale**0.5
        right(layer, rule, feedback_scale=scale, **settings)

    patch.setattr(FeedbackLayer, "set_rule", set_rule)


@broken
def uniform_feedback(patch: pytest.MonkeyPatch) -> None:
    """B0 is uniform with the standard deviation asked for, in place of Gaussian."""
    right = FeedbackLayer.set_rule

    def set_rule(layer: FeedbackLayer, rule: str | Rule, **settings: Any) -> None:
        right(layer, rule, **settings)
        if layer.initial_feedback is not None:
            quantile = torch.special.ndtr(layer.initial_feedback / layer.feedback_scale)
            layer.initial_feedback = (quantile - 0.5) * math.sqrt(12) * layer.feedback_scale

    patch.setattr(FeedbackLayer, "set_rule", set_rule)


@broken
def one_stream_for_each_purpose(patch: pytest.MonkeyPatch) -> None:
    """All layers draw their feedback from the beginning of one stream, all epochs their order."""

    def wrong(seed: int, purpose: str, *names: str | int) -> torch.Generator:
        return stream(seed, purpose)

    replace_function(patch, stream, wrong)


@broken
def feedback_redrawn_at_each_step(patch: pytest.MonkeyPatch) -> None:
    """FA (Toeplitz) draws another B each time that one is needed."""
    random = torch.Generator().manual_seed(0)

    def wrong(weight: Tensor, initial: Tensor) -> Tensor:
        return torch.empty_like(initial).normal_(generator=random)

    change_row(patch, "fa_toeplitz", feedback=wrong)


@broken
def magnitudes_drawn_once(patch: pytest.MonkeyPatch) -> None:
    """brSF keeps the magnitudes that it drew at the start: uSF Init by another name."""
    change_row(patch, "brsf", redraws_feedback=False, stores_feedback=True)


@broken
def feedback_trained_by_the_optimizer(patch: pytest.MonkeyPatch) -> None:
    """FA (Toeplitz) keeps B0 among the parameters, where it gets the gradient of the weight."""
    kolen_pollack = RULES["kolen_pollack"]
    change_row(patch, "fa_toeplitz", trains_feedback=True, feedback=kolen_pollack.feedback)


@broken
def feedback_left_untrained(patch: pytest.MonkeyPatch) -> None:
    """Kolen–Pollack never changes B: feedback alignment by another name."""
    fixed = RULES["fa_toeplitz"].feedback
    change_row(patch, "kolen_pollack", trains_feedback=False, feedback=fixed)
