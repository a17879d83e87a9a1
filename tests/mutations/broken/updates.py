"""Muon, normalisation, ranks and interventions that go wrong in one way each."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fa_audit.measure import ErrorRank, error_ranks, measured_layers
from fa_audit.measure import rank as measured_rank
from fa_audit.measure.rank import ranks_of
from fa_audit.metrics import RowSketch, sampled_rows
from fa_audit.networks.parts import draw_he_weights, normalisation_of, normalised
from fa_audit.training import interventions
from fa_audit.training.interventions import Intervention, hidden_layers, truncate
from fa_audit.training.muon import MuonWithAdamW
from fa_audit.training.optimizers import hidden_matrices
from mutations.registry import broken, replace_function

# Muon


def change_muon(patch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Let Muon be made with other settings than ours."""
    right = torch.optim.Muon
    patch.setattr(torch.optim, "Muon", lambda of, **given: right(of, **(given | settings)))


@broken
def muon_without_looking_ahead(patch: pytest.MonkeyPatch) -> None:
    """Muon's step is that of the momentum alone, without Nesterov's share of the gradient."""
    change_muon(patch, nesterov=False)


@broken
def muon_with_the_decay_of_torch(patch: pytest.MonkeyPatch) -> None:
    """Muon decays weights by PyTorch's default of .1, whatever is asked for."""
    change_muon(patch, weight_decay=0.1)


@broken
def muon_scaled_as_adam(patch: pytest.MonkeyPatch) -> None:
    """Muon's steps are given the size of Adam's, which is another convention."""
    change_muon(patch, adjust_lr_fn="match_rms_adamw")


@broken
def muon_scaled_by_the_unflattened_shape(patch: pytest.MonkeyPatch) -> None:
    """The step of filters is scaled by outputs over input channels, without the kernel."""
    right = MuonWithAdamW.step

    @torch.no_grad()
    def wrong(optimizer: MuonWithAdamW, closure: None = None) -> None:
        before = [own.detach().clone() for own in optimizer._own]
        right(optimizer)
        for own, old in zip(optimizer._own, before, strict=True):
            (outputs, inputs), columns = own.shape[:2], own[0].numel()
            factor = (max(1, outputs / inputs) / max(1, outputs / columns)) ** 0.5
            own.copy_(old + factor * (own - old))

    patch.setattr(MuonWithAdamW, "step", wrong)


@broken
def muon_trains_first_and_last_layer(patch: pytest.MonkeyPatch) -> None:
    """Muon takes every matrix there is, the first layer's and the classifier's too."""

    def wrong(network: nn.Module) -> list[nn.Parameter]:
        return [parameter for parameter in network.parameters() if parameter.ndim > 1]

    replace_function(patch, hidden_matrices, wrong)


# Networks


@broken
def normalisation_after_the_relu(patch: pytest.MonkeyPatch) -> None:
    """What is normalised is what the ReLU lets through."""

    def wrong(network: nn.Sequential, name: str | None) -> nn.Sequential:
        children = list(normalised(network, name).named_children())
        norms = [i for i, (key, _) in enumerate(children) if key.startswith("norm")]
        for i in norms:
            children[i : i + 2] = reversed(children[i : i + 2])
        return nn.Sequential(OrderedDict(children))

    replace_function(patch, normalised, wrong)


@broken
def batch_statistics_in_evaluation(patch: pytest.MonkeyPatch) -> None:
    """Batch normalisation keeps no averages: an image's logits depend on the images beside it."""

    def wrong(layer: nn.Conv2d | nn.Linear, name: str | None) -> nn.Module:
        norm = normalisation_of(layer, name)
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None
        return norm

    replace_function(patch, normalisation_of, wrong)


@broken
def gain_of_relu_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Convolutions start with variance 1 / inputs, as if no ReLU followed."""

    def wrong(network: nn.Module) -> None:
        draw_he_weights(network)
        with torch.no_grad():
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.weight /= 2**0.5

    replace_function(patch, draw_he_weights, wrong)


# Ranks


@broken
def rank_of_centred_errors(patch: pytest.MonkeyPatch) -> None:
    """The mean error over the images is taken away before the rank of errors is found."""

    def wrong(network: nn.Module, images: Tensor, labels: Tensor) -> dict[str, ErrorRank]:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(
                measured_rank, "ranks_of", lambda matrix: ranks_of(matrix - matrix.mean(0))
            )
            return error_ranks(network, images, labels)

    replace_function(patch, error_ranks, wrong)


@broken
def filters_flattened_the_other_way(patch: pytest.MonkeyPatch) -> None:
    """The gradient of filters is taken for a matrix [out · in · kh, kw]."""

    def wrong(matrix: Tensor) -> measured_rank.Ranks:
        return ranks_of(matrix.flatten(0, -2) if matrix.ndim == 4 else matrix)

    replace_function(patch, ranks_of, wrong)


@broken
def rows_folded_without_signs(patch: pytest.MonkeyPatch) -> None:
    """The entries of a row are summed as they are, so that what they share piles up."""
    right = RowSketch.__init__

    def wrong(sketch: RowSketch, *arguments: Any, **settings: Any) -> None:
        right(sketch, *arguments, **settings)
        if not sketch.exact:
            sketch._signs = torch.ones_like(sketch._signs)

    patch.setattr(RowSketch, "__init__", wrong)


@broken
def trajectory_of_the_latest_steps(patch: pytest.MonkeyPatch) -> None:
    """Of a trajectory the latest steps are held, not a sample of all."""

    def wrong(steps: int, rows: int, generator: torch.Generator) -> Tensor:
        return torch.arange(steps) % rows

    replace_function(patch, sampled_rows, wrong)


# Interventions


@broken
def smaller_steps_after_cutting(patch: pytest.MonkeyPatch) -> None:
    """An update that is cut or projected loses the length of what was taken away."""
    patch.setattr(
        interventions,
        "_resized",
        lambda changed, update: changed if changed.shape == update.shape else changed.T,
    )


@broken
def trailing_directions_kept(patch: pytest.MonkeyPatch) -> None:
    """Cutting leaves the directions with the smallest singular values."""

    def wrong(update: Tensor) -> tuple[Tensor, Tensor]:
        vectors, sigma = right(update)
        return vectors.flip(1), sigma.flip(0)

    right = interventions._spectrum
    patch.setattr(interventions, "_spectrum", wrong)


@broken
def rounding_flattened_too(patch: pytest.MonkeyPatch) -> None:
    """Flattening raises singular values that are mere rounding to the size of the largest."""
    patch.setattr(interventions, "NOISE", 0.0)


@broken
def leading_directions_for_random_ones(patch: pytest.MonkeyPatch) -> None:
    """The control with random directions takes the update's own leading ones."""

    def wrong(update: Tensor, rank: int, generator: torch.Generator) -> Tensor:
        return truncate(update, rank)

    replace_function(patch, interventions.confine, wrong)


@broken
def random_directions_drawn_once(patch: pytest.MonkeyPatch) -> None:
    """The random directions of a layer are the same at every step."""
    right = Intervention._changed

    def wrong(intervention: Intervention, name: str, update: Tensor) -> Tensor:
        steps, intervention.steps = intervention.steps, 0
        changed = right(intervention, name, update)
        intervention.steps = steps
        return changed

    patch.setattr(Intervention, "_changed", wrong)


@broken
def interventions_on_every_layer(patch: pytest.MonkeyPatch) -> None:
    """First and last layer have their updates cut as well."""
    replace_function(patch, hidden_layers, measured_layers)
