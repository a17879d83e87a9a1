"""Muon: what it makes of a gradient, which parameters it takes, and that runs go on with it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.networks import NETWORKS, build_network
from fa_audit.rules import feedback_layers
from fa_audit.streams import stream
from fa_audit.training.configuration import RunConfiguration, TrainingSettings
from fa_audit.training.muon import MuonWithAdamW
from fa_audit.training.optimizers import build_optimizer, hidden_matrices
from fa_audit.training.replicas import Replicas
from fa_audit.training.trainer import Trainer
from oracles import muon_twins as twins
from training.tiny import assert_identical, configuration, dataset, stored, trained

RATE = 0.02
MUON = TrainingSettings(epochs=1, learning_rate=1e-3, optimizer="muon")
# The quintic's own range for σ / ‖·‖ ≥ .002, and what the rounding of bfloat16 adds to it.
LOW, HIGH = 0.6818 - 0.003, 1.2024 + 0.003


def weight(*shape: int, seed: int = 0, channels_last: bool = False) -> nn.Parameter:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return nn.Parameter(
        drawn.to(memory_format=torch.channels_last) if channels_last else drawn.clone()
    )


def stepped(start: nn.Parameter, gradients: Sequence[Tensor], decay: float = 0.0) -> Tensor:
    """What becomes of a hidden weight."""
    parameter = nn.Parameter(start.detach().clone())
    optimizer = MuonWithAdamW(
        [parameter], [], muon_learning_rate=RATE, learning_rate=1e-3, weight_decay=decay
    )
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


def update(gradient: Tensor) -> np.ndarray:
    """The matrix U that the first step takes away, times rate and scale."""
    start = nn.Parameter(torch.zeros_like(gradient))
    flat = stepped(start, [gradient]).flatten(1).double().numpy()
    scale = max(1, flat.shape[0] / flat.shape[1]) ** 0.5
    return -flat / (RATE * scale)


def spectrum(shape: tuple[int, int], smallest: float) -> np.ndarray:
    """A matrix of norm 1 whose singular values fall geometrically to `smallest`."""
    rng = np.random.default_rng(1)
    U, _, Vt = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    values = np.geomspace(1, smallest, min(shape))
    for _ in range(50):
        values = np.maximum(values / np.linalg.norm(values), smallest)
    return U @ np.diag(values) @ Vt


def exp_entropy(values: np.ndarray) -> float:
    """exp H(σ² / Σσ²)."""
    share = values**2 / np.sum(values**2)
    share = share[share > 0]
    return float(np.exp(-np.sum(share * np.log(share))))


# The iteration


def test_the_quintic_takes_all_but_small_singular_values_into_a_known_range() -> None:
    found = twins.quintic(np.geomspace(2e-3, 1, 200_001))
    assert found.min() == pytest.approx(0.6818, abs=1e-4)
    assert found.max() == pytest.approx(1.2024, abs=1e-4)
    assert twins.quintic(np.array([1e-3, 0.0])) == pytest.approx([0.4705, 0.0], abs=1e-4)
    assert twins.quintic(np.array(1e-9)) == pytest.approx(1e-9 * twins.A**5, rel=1e-6)


@pytest.mark.parametrize("shape", [(64, 288), (128, 576), (256, 64), (33, 33)])
def test_an_update_is_the_polar_factor_with_singular_values_in_the_known_range(
    shape: tuple[int, int],
) -> None:
    gradient = spectrum(shape, 2e-3)
    found = update(torch.tensor(gradient).float())
    singular_values = np.linalg.svd(found, compute_uv=False)
    assert singular_values.min() > LOW
    assert singular_values.max() < HIGH
    polar = twins.polar_factor(gradient)
    likeness = np.sum(found * polar) / np.linalg.norm(found) / np.linalg.norm(polar)
    assert likeness > 0.9
    expected = twins.orthogonalised(gradient)
    assert np.linalg.norm(found - expected) < 0.4 * np.linalg.norm(expected)


def test_the_iteration_by_products_does_to_singular_values_what_the_quintic_says() -> None:
    for shape in ((6, 9), (9, 6)):
        gradient = np.random.default_rng(0).normal(size=shape)
        np.testing.assert_allclose(
            twins.iterated(gradient), twins.orthogonalised(gradient), atol=1e-10
        )


def rank_one(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.outer(rng.normal(size=shape[0]), rng.normal(size=int(np.prod(shape[1:]))))


@pytest.mark.parametrize("shape", [(64, 288), (12, 5), (64, 32, 3, 3)])
def test_a_rank_one_gradient_stays_rank_one(shape: tuple[int, ...]) -> None:
    found = np.linalg.svd(twins.iterated(rank_one(*shape)), compute_uv=False)
    assert found[0] == pytest.approx(float(twins.quintic(np.array(1.0))))
    assert found[1] < 1e-10


@pytest.mark.parametrize(("shape", "rank"), [((64, 32, 3, 3), 17), ((128, 576), 29)])
def test_in_bfloat16_rounding_alone_fills_the_rank_of_a_rank_one_gradient(
    shape: tuple[int, ...], rank: float
) -> None:
    gradient = torch.tensor(rank_one(*shape)).float().view(shape)
    found = np.linalg.svd(update(gradient), compute_uv=False)
    assert found[0] == pytest.approx(float(twins.quintic(np.array(1.0))), rel=0.02)
    assert 0.2 < found[1] < 0.6
    assert exp_entropy(found) == pytest.approx(rank, rel=0.4)


@given(rows=st.integers(1, 9), columns=st.integers(1, 12), seed=st.integers(0, 10), data=st.data())
def test_the_order_of_columns_has_no_part_in_the_iteration(
    rows: int, columns: int, seed: int, data: st.DataObject
) -> None:
    gradient = np.random.default_rng(seed).normal(size=(rows, columns))
    order = data.draw(st.permutations(range(columns)))
    np.testing.assert_allclose(
        twins.orthogonalised(gradient[:, order]),
        twins.orthogonalised(gradient)[:, order],
        atol=1e-8,
    )
    ours, permuted = (update(torch.tensor(g).float()) for g in (gradient, gradient[:, order]))
    assert np.linalg.norm(permuted - ours[:, order]) < 0.05 * np.linalg.norm(ours) + 1e-6


# The optimizer


def test_matrices_are_updated_exactly_as_torchs_own_muon_does() -> None:
    start, gradients = weight(24, 40), [weight(24, 40, seed=s).detach() for s in (1, 2, 3)]
    theirs = nn.Parameter(start.detach().clone())
    optimizer = torch.optim.Muon([theirs], lr=RATE, weight_decay=0.3, momentum=0.95)
    for gradient in gradients:
        theirs.grad = gradient.clone()
        optimizer.step()
    assert torch.equal(stepped(start, gradients, decay=0.3), theirs)


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (16, 4, 3, 3)])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_steps_follow_the_equation(shape: tuple[int, ...], decay: float) -> None:
    start, gradients = weight(*shape), [weight(*shape, seed=s).detach() for s in (1, 2, 3, 4)]
    found = stepped(start, gradients, decay).flatten(1)
    expected = twins.muon(
        start.detach().flatten(1).double().numpy(),
        [gradient.flatten(1).double().numpy() for gradient in gradients],
        RATE,
        decay,
    )
    moved = np.linalg.norm(expected - start.detach().flatten(1).numpy())
    assert np.linalg.norm(found.numpy() - expected) < 0.03 * moved


@pytest.mark.parametrize("channels_last", [False, True])
def test_filters_are_updated_as_the_matrices_that_they_are(channels_last: bool) -> None:
    shape = (16, 8, 3, 3)
    start = weight(*shape, channels_last=channels_last)
    gradients = [weight(*shape, seed=s, channels_last=channels_last).detach() for s in (1, 2)]
    found = stepped(start, gradients, decay=0.1)
    flat = nn.Parameter(start.detach().contiguous().view(16, 72))
    as_matrices = [gradient.contiguous().view(16, 72) for gradient in gradients]
    assert torch.equal(found, stepped(flat, as_matrices, decay=0.1).view(shape))


def test_gradients_may_lie_otherwise_in_memory_than_their_weights() -> None:
    start, gradient = weight(16, 8, 3, 3, channels_last=True), weight(16, 8, 3, 3, seed=1).detach()
    other = gradient.to(memory_format=torch.channels_last)
    assert torch.equal(stepped(start, [gradient]), stepped(start, [other]))


@given(
    shape=st.tuples(*(st.integers(1, 5),) * 4), channels_last=st.booleans(), seed=st.integers(0, 3)
)
def test_flattening_and_back_is_exact(
    shape: tuple[int, ...], channels_last: bool, seed: int
) -> None:
    start = weight(*shape, seed=seed, channels_last=channels_last)
    after = stepped(start, [torch.zeros_like(start)])
    assert torch.equal(after, start)
    assert after.stride() == start.detach().clone().stride()


@pytest.mark.parametrize(
    ("shape", "scale"),
    [((64, 4, 3, 3), (64 / 36) ** 0.5), ((64, 32, 3, 3), 1.0), ((9, 4), 1.5), ((4, 9), 1.0)],
)
def test_the_scale_is_that_of_the_flattened_shape(shape: tuple[int, ...], scale: float) -> None:
    gradient = weight(*shape, seed=5).detach()
    flat = gradient.flatten(1).double().numpy()
    expected = np.linalg.norm(twins.orthogonalised(flat))
    start = nn.Parameter(torch.zeros(shape))
    found = stepped(start, [gradient]).norm().item() / RATE
    assert found / expected == pytest.approx(scale, rel=0.03)


def test_decay_is_none_unless_it_is_given() -> None:
    settings = replace(MUON, weight_decay=0.0)
    network = build_network("cnn4", 10, stream(0, "initialisation"))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = build_optimizer(network, settings)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name]), name


# Which parameters


@pytest.mark.parametrize("normalisation", [None, "batch"])
@pytest.mark.parametrize("name", NETWORKS)
def test_hidden_matrices_go_to_muon_and_all_else_to_adamw(
    name: str, normalisation: str | None
) -> None:
    network = build_network(name, 10, stream(0, "initialisation"), normalisation)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {names[id(parameter)] for parameter in hidden_matrices(network)}
    matrices = {name for name, parameter in network.named_parameters() if parameter.ndim > 1}
    last = "fc3.weight" if name == "architecture1" else "fc.weight"
    assert found == matrices - {"conv1.weight", last}
    if name == "resnet18":
        share = sum(network.get_parameter(name).numel() for name in found)
        assert share > 11_000_000
        assert "stage2.block1.shortcut.conv.weight" in found


def test_every_parameter_is_trained_by_its_own_optimizer() -> None:
    """Adam's first step has the size of its rate everywhere; Muon's has the scale's norm."""
    network = build_network("cnn4", 10, stream(0, "initialisation"), "batch")
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = build_optimizer(network, replace(MUON, learning_rate=1e-3))
    for seed, parameter in enumerate(network.parameters()):
        parameter.grad = weight(*parameter.shape, seed=seed).detach()
    optimizer.step()
    for name, parameter in network.named_parameters():
        moved = (parameter.detach() - before[name]).flatten()
        if name in ("conv2.weight", "conv3.weight"):
            assert moved.norm().item() == pytest.approx(0.02 * len(parameter) ** 0.5, rel=0.3)
        else:
            torch.testing.assert_close(
                moved.abs(), torch.full_like(moved, 1e-3), rtol=1e-3, atol=1e-6
            )


def test_feedback_that_is_trained_is_trained_as_its_weight_is() -> None:
    """W and B of Kolen & Pollack get the same updates: W − B stays, or shrinks with the decay."""
    run = configuration("kolen_pollack", optimizer="muon", weight_decay=0.0)
    trainer = Trainer(run, dataset())
    layers = feedback_layers(trainer.network)

    def gaps() -> dict[str, Tensor]:
        return {
            name: (layer.weight - layer.trained_feedback).detach().clone()
            for name, layer in layers.items()
        }

    before = gaps()
    trainer.train_epoch()
    for name, gap in gaps().items():
        assert (gap - before[name]).norm() < 1e-4 * before[name].norm(), name


def test_trained_layers_are_all_that_is_trained() -> None:
    run = configuration(optimizer="muon", trained_layers=("conv2",), epochs=1)
    before, after = Trainer(run, dataset()), trained(run)
    for name, parameter in after.network.named_parameters():
        moved = not torch.equal(parameter, before.network.get_parameter(name))
        assert moved == name.startswith("conv2"), name


def test_one_layer_without_bias_needs_no_adamw() -> None:
    run = replace(
        configuration(optimizer="muon", trained_layers=("conv2",), epochs=1), normalisation="batch"
    )
    assert trained(run).status == "finished"


def test_training_no_hidden_matrix_with_muon_is_refused() -> None:
    with pytest.raises(AuditError, match=r"^optimizer is 'muon', but no weight of a hidden layer"):
        Trainer(configuration(optimizer="muon", trained_layers=("fc3",)), dataset())


def test_a_torch_without_muon_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(AuditError, match=r"^optimizer is 'muon', which PyTorch .* use PyTorch 2.9"):
        Trainer(configuration(optimizer="muon"), dataset())
    Trainer(configuration(), dataset())


# Runs


def muon_run(rule: str, seed: int = 0, **changes: Any) -> RunConfiguration:
    return configuration(rule, seed, optimizer="muon", **changes)


@pytest.mark.parametrize("normalisation", [None, "batch"])
def test_a_run_resumed_after_an_epoch_equals_one_that_never_stopped(
    normalisation: str | None,
) -> None:
    run = replace(muon_run("fa_toeplitz", weight_decay=0.01), normalisation=normalisation)
    whole, first = trained(run), Trainer(run, dataset())
    first.train_epoch()
    second = Trainer(run, dataset())
    second.load_state_dict(stored(first.state_dict()))
    while second.status == "training":
        second.train_epoch()
    assert_identical(second, whole)
    forgetful = Trainer(run, dataset())
    state = stored(first.state_dict())
    state["optimizer"] = forgetful.optimizer.state_dict()
    forgetful.load_state_dict(state)
    forgetful.train_epoch()
    assert forgetful.history["train_loss"][2] != whole.history["train_loss"][2]


def test_in_float64_a_run_among_others_is_the_run_alone() -> None:
    runs = [
        muon_run("fa_toeplitz", seed, muon_learning_rate=rate, feedback_scale=0.05)
        for seed, rate in ((0, 0.02), (1, 0.005))
    ]

    def trainers() -> list[Trainer]:
        made = [Trainer(run, dataset()) for run in runs]
        for trainer in made:
            trainer.network.double()
            trainer.optimizer = build_optimizer(trainer.network, trainer.configuration.training)
        return made

    alone, among = trainers(), trainers()
    replicas = Replicas(among)
    for step in range(4):
        images = weight(2, 8, 3, 24, 24, seed=step).detach().double()
        labels = torch.arange(16).view(2, 8) % 10
        replicas.step(images, labels)
        for trainer, own, truth in zip(alone, images, labels, strict=True):
            trainer._step(own, truth)
    for a, b in zip(alone, among, strict=True):
        for (name, one), other in zip(
            a.network.named_parameters(), b.network.parameters(), strict=True
        ):
            gap = (one - other).detach().norm() / one.detach().norm()
            assert gap < 1e-9, f"{name} differs by {gap}"
