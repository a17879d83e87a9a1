import numpy as np
import torch
from torch import nn

from fa_audit.training.configuration import TrainingSettings
from fa_audit.training.optimizers import build_optimizer


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
        optimizer = build_optimizer([parameter], settings)
        for gradient in gradients:
            parameter.grad = torch.tensor(gradient)
            optimizer.step()
        expected = adam_by_hand(start, gradients, 0.05, decay)
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-10)
