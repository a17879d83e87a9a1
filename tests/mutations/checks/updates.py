"""Checks of what the second paper needs: Muon, normalisation, ranks, and interventions on them."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from fa_audit.measure import error_ranks, gradient_ranks
from fa_audit.metrics import RowSketch, sampled_rows
from fa_audit.networks import plain_cnn
from fa_audit.rules import convert
from fa_audit.training.configuration import TrainingSettings
from fa_audit.training.interventions import Intervention, confine, flatten, truncate
from fa_audit.training.muon import MuonWithAdamW
from fa_audit.training.optimizers import build_optimizer
from mutations.registry import check
from mutations.small import perceptron
from oracles import metrics_twins, muon_twins, rule_twins, update_twins
from rules.variants import array, normal

RATE = 0.1


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def muon_steps(shape: tuple[int, ...], steps: int, decay: float) -> tuple[np.ndarray, np.ndarray]:
    """A hidden weight after some steps, ours and the twin's, both less what it was."""
    start, gradients = normal(0, *shape).float(), [normal(s, *shape).float() for s in range(steps)]
    weight = nn.Parameter(start.clone())
    optimizer = MuonWithAdamW(
        [weight], [], muon_learning_rate=RATE, learning_rate=RATE, weight_decay=decay
    )
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    flat = [array(gradient.flatten(1)) for gradient in gradients]
    before = array(start.flatten(1))
    expected = muon_twins.muon(before, flat, RATE, decay)
    return array(weight.flatten(1)) - before, expected - before


@check
def muon_twin() -> None:
    """A step of Muon has the momentum, the singular values and the decay of its equation."""
    for decay in (0.0, 0.5):
        found, expected = muon_steps((12, 20), 3, decay)
        assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)


@check
def muon_of_filters() -> None:
    """Filters are matrices [out, in · kh · kw], and their step is scaled by that shape."""
    found, expected = muon_steps((48, 2, 3, 3), 2, 0.0)
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)


@check
def layers_of_muon() -> None:
    """Muon trains the weights of hidden layers, AdamW first and last layer and all biases."""
    network = perceptron().float()
    settings = TrainingSettings(1, 1e-3, optimizer="muon", muon_learning_rate=RATE)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = build_optimizer(network, settings)
    for seed, parameter in enumerate(network.parameters()):
        parameter.grad = normal(seed, *parameter.shape).float()
    optimizer.step()
    for name, parameter in network.named_parameters():
        change = (parameter - before[name]).detach()
        if name == "fc2.weight":
            assert change.norm() > 10 * settings.learning_rate * math.sqrt(change.numel())
        else:  # Adam's first step is as long as the rate in every entry
            assert (change.abs() / settings.learning_rate - 1).abs().max() < 1e-3


@check
def normalised_outputs() -> None:
    """Batch normalisation takes a layer's outputs, before the ReLU, to mean 0 and variance 1."""
    network = plain_cnn(4, width=4, normalisation="batch").train()
    x = normal(0, 16, 3, 8, 8).float()
    seen: list[Tensor] = []
    network.get_submodule("relu2").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(x)
    assert len(seen) == 1
    mean, variance = seen[0].mean((0, 2, 3)), seen[0].var((0, 2, 3), correction=0)
    assert mean.abs().max() < 1e-4
    assert (variance - 1).abs().max() < 1e-2


@check
def evaluated_alone() -> None:
    """In evaluation a normalised network says the same of an image whatever is beside it."""
    network = plain_cnn(4, width=4, normalisation="batch")
    x = normal(0, 16, 3, 8, 8).float()
    network.train()(x)
    network.eval()
    assert (network(x)[:2] - network(x[:2])).abs().max() < 1e-5


@check
def he_weights() -> None:
    """Convolutions start with variance 2 / inputs, the classifier with 1 / inputs."""
    network = plain_cnn(4, width=32)
    for name, gain in (("conv2", 2), ("conv3", 2), ("fc", 1)):
        weight = network.get_submodule(name).weight
        inputs = weight[0].numel()
        assert abs(weight.var().item() * inputs / gain - 1) < 0.15


@check
def ranks_of_errors() -> None:
    """The rank of an error is that of the matrix [images, units] that arrives, not centred."""
    network, x, labels = perceptron(), normal(1, 12, 5), torch.arange(12) % 4
    convert(network, "fa_toeplitz")
    z = {}
    below = array(x)
    for name in ("fc1", "fc2", "fc3"):
        layer = network.get_submodule(name)
        z[name] = rule_twins.linear(below, array(layer.weight), array(layer.bias))
        below = rule_twins.relu(z[name])
    _, error = rule_twins.cross_entropy(z["fc3"], labels.numpy())
    arriving = rule_twins.relu_send(error @ array(network.fc3.feedback()), z["fc2"])
    found = error_ranks(network, x, labels)
    for name, matrix in (("fc3", error), ("fc2", arriving)):
        ranks = found[name].ranks
        assert ranks is not None
        expected = metrics_twins.effective_rank(matrix, "entropy")
        assert math.isclose(ranks["entropy"], expected, rel_tol=1e-5)
    assert (found["fc3"].bound, found["fc2"].bound) == (3, None)


@check
def ranks_of_filters() -> None:
    """The gradient of filters has the rank of the matrix [out, in · kh · kw]."""
    network = plain_cnn(4, width=3).double()
    x, labels = normal(0, 6, 3, 8, 8), torch.arange(6)
    found = gradient_ranks(network, x, labels)["conv2"]
    weight = network.get_submodule("conv2").weight
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(network(x), labels), weight)
    assert found is not None
    expected = metrics_twins.effective_rank(array(gradient.flatten(1)), "entropy")
    assert math.isclose(found["entropy"], expected, rel_tol=1e-5)


@check
def folded_rows() -> None:
    """Folding a row keeps its inner products with others, on average."""
    x, y = torch.ones(400), torch.cat([torch.ones(200), -torch.ones(200)])
    found = []
    for seed in range(200):
        sketch = RowSketch(400, generator(seed), rows=2, columns=50)
        sketch.put(0, x)
        sketch.put(1, y)
        found.append((sketch.kept @ sketch.kept.T)[[0, 0], [0, 1]])
    mean = torch.stack(found).mean(0)
    assert abs(mean[0].item() / 400 - 1) < 0.1
    assert abs(mean[1].item() / 400) < 0.1


@check
def steps_held() -> None:
    """The steps held of a trajectory are a fair sample of all that there were."""
    steps, rows, draws = 20, 4, 400
    counts = torch.zeros(steps)
    for seed in range(draws):
        held = {}
        for step, row in enumerate(sampled_rows(steps, rows, generator(seed)).tolist()):
            if row >= 0:
                held[row] = step
        counts[list(held.values())] += 1
    assert len(held) == rows
    p = rows / steps
    assert (counts / draws - p).abs().max() < 4.5 * math.sqrt(p * (1 - p) / draws)


@check
def cut_updates() -> None:
    """Cutting leaves the largest singular values as they are, at the norm of the update."""
    for shape in ((6, 9), (9, 6)):
        update = normal(0, *shape)
        expected = update_twins.truncated(array(update), 2)
        assert abs(array(truncate(update, 2)) - expected).max() < 1e-8


@check
def flattened_updates() -> None:
    """Flattening makes the leading singular values equal, and leaves out what is rounding."""
    update = normal(0, 6, 9)
    expected = update_twins.flattened(array(update), 3)
    assert abs(array(flatten(update, 3)) - expected).max() < 1e-8
    of_two_directions = normal(0, 6, 2) @ normal(1, 2, 9)
    noisy = of_two_directions + 1e-9 * normal(2, 6, 9)
    assert np.linalg.matrix_rank(array(flatten(noisy)), tol=1e-3) == 2


@check
def confined_updates() -> None:
    """Random directions are other ones at each step, as few as asked, at the update's norm."""
    update = normal(0, 6, 9)
    first, second = (confine(update, 2, generator(seed)) for seed in (0, 1))
    for found in (first, second):
        assert np.linalg.matrix_rank(array(found)) == 2
        assert math.isclose(float(found.norm()), float(update.norm()), rel_tol=1e-9)
    network = perceptron()
    settings = TrainingSettings(1, 1e-2, intervention="random-subspace", intervention_rank=1)
    intervention = Intervention(network, settings, seed=0)
    drawn = []
    for intervention.steps in (1, 2):
        drawn.append(intervention._changed("fc2", normal(3, 6, 6)))
    assert (drawn[0] - drawn[1]).abs().max() > 0.1


@check
def layers_of_interventions() -> None:
    """Only the weights of hidden layers are changed: first and last layer take their own steps."""
    plain, changed = perceptron(), perceptron()
    changed.load_state_dict(plain.state_dict())
    settings = TrainingSettings(1, 1e-2, intervention="truncate", intervention_rank=1)
    for network in (plain, changed):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        if network is changed:
            Intervention(network, settings, seed=0).attach(optimizer)
        for seed, parameter in enumerate(network.parameters()):
            parameter.grad = normal(seed, *parameter.shape)
        optimizer.step()
    others = dict(changed.named_parameters())
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter, others[name]) == (name != "fc2.weight"), name
