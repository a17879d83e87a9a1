"""Checks of what is measured of networks, against passes written out with the NumPy twins."""

import math

import numpy as np
import torch
from torch import nn

from fa_audit.measure import compare, error_angles, evaluate
from fa_audit.rules import convert
from mutations.registry import check
from mutations.small import perceptron
from oracles import metrics_twins, rule_twins
from rules.variants import array, normal


def outputs_by_hand(network: nn.Sequential, x: rule_twins.Array) -> dict[str, rule_twins.Array]:
    """What each linear layer of a perceptron puts out."""
    outputs = {}
    for name in ("fc1", "fc2", "fc3"):
        layer = network.get_submodule(name)
        outputs[name] = rule_twins.linear(x, array(layer.weight), array(layer.bias))
        x = rule_twins.relu(outputs[name])
    return outputs


def mean_angle(u: rule_twins.Array, v: rule_twins.Array) -> float:
    return float(np.mean([metrics_twins.angle(a, b) for a, b in zip(u, v, strict=True)]))


@check
def local_and_true_angles() -> None:
    """Bᵀδ is compared with Wᵀδ, locally, and with the error of exact backpropagation, truly."""
    network, x, labels = perceptron(), normal(1, 8, 5), torch.arange(8) % 4
    convert(network, "fa_toeplitz")
    found = error_angles(network, x, labels)

    z = outputs_by_hand(network, array(x))
    W2, W3 = array(network.fc2.weight), array(network.fc3.weight)
    B2, B3 = array(network.fc2.feedback()), array(network.fc3.feedback())
    _, error = rule_twins.cross_entropy(z["fc3"], labels.numpy())
    under_rule, exact = (rule_twins.relu_send(error @ M, z["fc2"]) for M in (B3, W3))
    top = mean_angle(error @ B3, error @ W3)
    for summary, expected in (
        (found["fc3"].local, top),
        (found["fc3"].true, top),
        (found["fc2"].local, mean_angle(under_rule @ B2, under_rule @ W2)),
        (found["fc2"].true, mean_angle(under_rule @ B2, exact @ W2)),
    ):
        assert abs(summary.angle - expected) < 1e-6
    assert abs(found["fc2"].local.angle - found["fc2"].true.angle) > 0.1


@check
def evaluation() -> None:
    """Accuracy is a percentage over all images and per class, the loss a mean in nats."""
    logits, labels = normal(0, 9, 4), torch.arange(9) % 3
    found = evaluate(nn.Identity(), logits.__getitem__, torch.arange(9), labels, batch_size=4)
    right = array(logits).argmax(1) == labels.numpy()
    loss, _ = rule_twins.cross_entropy(array(logits), labels.numpy())
    assert 0 < right.sum() < 9
    assert math.isclose(found.accuracy, 100 * right.mean())
    assert math.isclose(found.loss, loss, rel_tol=1e-6)
    for k in range(3):
        assert math.isclose(found.per_class[k], 100 * right[k::3].mean())
    assert found.per_class[3] is None


@check
def similarity_of_networks() -> None:
    """CKA is taken of the layers' own outputs, before ReLU, the first network's in the rows."""
    first, second, x = perceptron(), perceptron(), normal(1, 12, 5)
    found = compare(first, second, x)
    rows, columns = (list(outputs_by_hand(one, array(x)).values()) for one in (first, second))
    for i, X in enumerate(rows):
        for j, Y in enumerate(columns):
            assert abs(found.matrix[i, j].item() - metrics_twins.cka(X, Y)) < 1e-9
    assert found.rows == found.columns == ("fc1", "fc2", "fc3")


@check
def similarity_on_a_subset() -> None:
    """CKA on a subset of images is that of these images alone."""
    first, second, x = perceptron(), perceptron(), normal(1, 16, 5)
    subset = torch.arange(16) % 3 != 1
    found = compare(first, second, x, subset=subset)
    rows, columns = (
        list(outputs_by_hand(one, array(x[subset])).values()) for one in (first, second)
    )
    for i, X in enumerate(rows):
        for j, Y in enumerate(columns):
            assert abs(found.matrix[i, j].item() - metrics_twins.cka(X, Y)) < 1e-9


@check
def shuffled_images() -> None:
    """A network that is shown other images for its columns is not like itself."""
    network, x = perceptron(), normal(1, 200, 5)
    assert compare(network, network, x, shuffled=True).matrix.abs().max() < 0.2
