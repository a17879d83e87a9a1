"""Metrics that are wrong in one way each."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fa_audit.metrics import (
    AngleSummary,
    CentredGrams,
    Concordance,
    MinibatchCKA,
    angles,
    channel_importance,
    mean_angle,
    predicted_angle,
    sign_concordance,
    top_images,
)
from fa_audit.metrics.cka import _centred, _centred_columns, _divisor, _hollow
from fa_audit.metrics.rank import DEFINITIONS, entropy, participation
from mutations.registry import broken, replace_function

# CKA


@broken
def biased_hsic(patch: pytest.MonkeyPatch) -> None:
    """HSIC is biased, even where it is called debiased."""
    replace_function(patch, _centred, lambda K, estimator: _centred(K, "biased"))
    replace_function(patch, _divisor, lambda n, estimator: _divisor(n, "biased"))


@broken
def diagonal_not_removed(patch: pytest.MonkeyPatch) -> None:
    """The debiased estimate keeps the diagonals of the Gram matrices."""
    replace_function(patch, _hollow, lambda K: K)


@broken
def cross_term_wrong(patch: pytest.MonkeyPatch) -> None:
    """The cross term of HSIC₁, 1ᵀKL1, is divided by n − 1 in place of n − 2."""

    def wrong(K: Tensor, estimator: str) -> Tensor:
        if estimator == "biased":
            return _centred(K, estimator)
        n, K = K.shape[-1], _hollow(K)
        rows = K.sum(-1, keepdim=True)
        total = rows.sum(-2, keepdim=True)
        return _hollow(K - (rows + rows.mT) / (n - 1) + total / ((n - 1) * (n - 2)))

    replace_function(patch, _centred, wrong)


@broken
def centring_forgotten_in_biased_hsic(patch: pytest.MonkeyPatch) -> None:
    """The biased form is tr(KL) of the Gram matrices as they come."""

    def wrong(K: Tensor, estimator: str) -> Tensor:
        return K if estimator == "biased" else _centred(K, estimator)

    replace_function(patch, _centred, wrong)


@broken
def centring_forgotten_in_procrustes(patch: pytest.MonkeyPatch) -> None:
    """Features keep their means, which Procrustes similarity then compares too."""
    replace_function(patch, _centred_columns, lambda X: X)


@broken
def features_standardised(patch: pytest.MonkeyPatch) -> None:
    """Features are divided by their standard deviations: CKA of correlations."""

    def wrong(X: Tensor) -> Tensor:
        X = _centred_columns(X)
        return X / X.std(0)

    replace_function(patch, _centred_columns, wrong)


@broken
def mean_of_ratios(patch: pytest.MonkeyPatch) -> None:
    """Minibatch CKA is the mean of the batches' CKAs, not the ratio of sums of HSIC."""
    add, ratio = MinibatchCKA.update, MinibatchCKA.matrix

    def update(total: MinibatchCKA, first: CentredGrams, second: CentredGrams) -> None:
        batch = MinibatchCKA()
        for sums in (batch, total):
            add(sums, first, second)
        ratios.setdefault(total, []).append(ratio(batch))

    ratios: dict[MinibatchCKA, list[Tensor]] = {}
    patch.setattr(MinibatchCKA, "update", update)
    patch.setattr(MinibatchCKA, "matrix", lambda total: torch.stack(ratios[total]).mean(0))


@broken
def batches_count_alike(patch: pytest.MonkeyPatch) -> None:
    """A batch with few images of a subset counts as much as one with many."""
    add = MinibatchCKA.update

    def update(total: MinibatchCKA, first: CentredGrams, second: CentredGrams) -> None:
        first.n = second.n = 1
        add(total, first, second)

    patch.setattr(MinibatchCKA, "update", update)


# Angles


@broken
def arccos_of_a_rounded_cosine(patch: pytest.MonkeyPatch) -> None:
    """Angles are arccosines of cosines, which lose half the digits near 0°."""

    def wrong(u: Tensor, v: Tensor) -> Tensor:
        a, b = (F.normalize(x.flatten(1).double(), dim=1, eps=0) for x in (u, v))
        return torch.rad2deg((a * b).sum(1).clamp(-1, 1).arccos())

    replace_function(patch, angles, wrong)


@broken
def angles_folded_at_ninety(patch: pytest.MonkeyPatch) -> None:
    """An angle is taken of lines, not of vectors: 100° is called 80°."""

    def wrong(u: Tensor, v: Tensor) -> Tensor:
        return torch.minimum(angles(u, v), angles(u, -v))

    replace_function(patch, angles, wrong)


@broken
def cosine_clamped_by_an_epsilon(patch: pytest.MonkeyPatch) -> None:
    """Norms below 10⁻⁸ count as 10⁻⁸, so vanishing errors seem to be at 90°."""

    def wrong(u: Tensor, v: Tensor) -> Tensor:
        zero = (u.flatten(1) == 0).all(1) | (v.flatten(1) == 0).all(1)
        a, b = (x.flatten(1).double() for x in (u, v))
        a, b = (x / x.norm(dim=1, keepdim=True).clamp(min=1e-8) for x in (a, b))
        theta = 2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1))
        return torch.rad2deg(theta).masked_fill(zero, float("nan"))

    replace_function(patch, angles, wrong)


@broken
def zero_errors_silently_ninety(patch: pytest.MonkeyPatch) -> None:
    """A zero error counts as 90°, whatever was asked for, and is not counted."""

    def wrong(u: Tensor, v: Tensor, zero_errors: str = "exclude") -> AngleSummary:
        return replace(mean_angle(u, v, "ninety"), zeros=0)

    replace_function(patch, mean_angle, wrong)


@broken
def angle_of_the_mean(patch: pytest.MonkeyPatch) -> None:
    """The mean angle is the angle of the mean errors."""

    def wrong(u: Tensor, v: Tensor, zero_errors: str = "exclude") -> AngleSummary:
        mean = angles(u.mean(0, keepdim=True).flatten(1), v.mean(0, keepdim=True).flatten(1))
        return replace(mean_angle(u, v, zero_errors), angle=mean.item())

    replace_function(patch, mean_angle, wrong)


@broken
def predicted_angle_unit_by_unit(patch: pytest.MonkeyPatch) -> None:
    """The predicted angle is the mean of the angles of the rows of W and B."""

    def wrong(weight: Tensor, feedback: Tensor) -> float:
        return float(angles(weight.flatten(1), feedback.flatten(1)).mean())

    replace_function(patch, predicted_angle, wrong)


# Weights, gradients, channels


@broken
def concordance_counts_zeros_as_agreeing(patch: pytest.MonkeyPatch) -> None:
    """A zero agrees with every sign."""

    def wrong(weight: Tensor, feedback: Tensor) -> Concordance:
        agreeing = (weight.sign() * feedback.sign() >= 0).double().mean().item()
        return replace(sign_concordance(weight, feedback), value=agreeing)

    replace_function(patch, sign_concordance, wrong)


@broken
def definitions_of_effective_rank_swapped(patch: pytest.MonkeyPatch) -> None:
    """`entropy` and `participation` go by each other's name."""
    patch.setitem(DEFINITIONS, "entropy", participation)
    patch.setitem(DEFINITIONS, "participation", entropy)


@broken
def squared_values_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The effective ranks of the Gram matrix take σ for its eigenvalues σ²."""
    patch.setitem(DEFINITIONS, "entropy_squared", entropy)
    patch.setitem(DEFINITIONS, "gram_participation", participation)


@broken
def absolute_value_after_averaging(patch: pytest.MonkeyPatch) -> None:
    """Channel importance lets images cancel before it takes the absolute value."""

    def wrong(activation: Tensor, gradient: Tensor, absolute: str) -> Tensor:
        signed = channel_importance(activation, gradient, "none")
        return signed.abs() if absolute == "before" else signed

    replace_function(patch, channel_importance, wrong)


@broken
def top_images_by_their_maximum(patch: pytest.MonkeyPatch) -> None:
    """The top images of a channel are those with the highest pixel, not the highest mean."""

    def wrong(activation: Tensor, channels: Tensor, k: int) -> Tensor:
        return top_images(activation.amax((2, 3)), channels, k)

    replace_function(patch, top_images, wrong)
