import numpy as np
import pytest
import torch
from torch import nn

from fa_audit.errors import AuditError
from fa_audit.training.configuration import TrainingSettings
from fa_audit.training.optimizers import build_optimizer, trained_parameters
from fa_audit.training.trainer import Trainer
from training.tiny import configuration, dataset, trained


def adam_by_hand(w: np.ndarray, gradients: list[np.ndarray], lr: float, decay: float) -> np.ndarray:
    """Kingma & Ba 2015, algorithm 1, with decay · w added to the gradient."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, gradient in enumerate(gradients, 1):
        g = gradient + decay * w
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        w = w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


def test_adam_is_the_published_one_with_l2_decay() -> None:
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 4)), list(rng.normal(size=(6, 3, 4)))
    for decay in (0.0, 0.3):
        parameter = nn.Parameter(torch.tensor(start))
        settings = TrainingSettings(epochs=1, learning_rate=0.05, weight_decay=decay)
        optimizer = build_optimizer(nn.ParameterList([parameter]), settings)
        for gradient in gradients:
            parameter.grad = torch.tensor(gradient)
            optimizer.step()
        expected = adam_by_hand(start, gradients, 0.05, decay)
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-10)


def test_layers_that_are_not_trained_stay_as_they_were_drawn() -> None:
    run = configuration("fa_toeplitz", trained_layers=("fc2", "fc3"))
    before, after = Trainer(run, dataset()), trained(run)
    for name, parameter in after.network.named_parameters():
        moved = not torch.equal(parameter, before.network.get_parameter(name))
        assert moved == name.startswith(("fc2", "fc3")), name
    assert after.probe.series["fc1"]["distance"] == [0.0] * len(after.probe.series["step"])
    assert None not in after.probe.series["conv2"]["local_angle"]


def test_all_layers_are_trained_unless_some_are_named() -> None:
    network = Trainer(configuration(), dataset()).network
    assert trained_parameters(network, configuration().training) == list(network.parameters())


@pytest.mark.parametrize("name", ["fc9", "relu1", ""])
def test_a_layer_that_cannot_be_trained_is_refused_by_name(name: str) -> None:
    with pytest.raises(AuditError, match=f"trained_layers names '{name}'.*conv1, conv2, fc1"):
        Trainer(configuration(trained_layers=("fc3", name)), dataset())


def test_no_trained_layer_at_all_is_refused() -> None:
    with pytest.raises(AuditError, match="trained_layers is empty"):
        configuration(trained_layers=())
