"""How many directions learning uses: effective rank of errors, gradients and their trajectories."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.measure.deliveries import deliveries
from fa_audit.measure.modes import evaluation_mode
from fa_audit.measure.representations import measured_layers
from fa_audit.metrics import RowSketch, gram_singular_values, sampled_rows, spectrum_ranks
from fa_audit.metrics.sketch import COLUMNS, ROWS, check_shape
from fa_audit.streams import stream

Ranks = dict[str, float] | None
"""Definition → effective rank; None of a matrix that is zero or not finite."""


@dataclass(frozen=True)
class ErrorRank:
    """The effective rank of the error that arrives at one layer, over a batch.

    Attributes:
        ranks: Of the matrix [images, units of the layer's output].
        images: n, its rows.
        units: p, its columns.
        bound: C − 1 where the output is the network's own logits of C classes, else None.
    """

    ranks: Ranks
    images: int
    units: int
    bound: int | None


def error_ranks(network: nn.Module, images: Tensor, labels: Tensor) -> dict[str, ErrorRank]:
    """Effective rank of the error δ = ∂L/∂y that arrives at each Linear and Conv2d under its rule.

    y is the layer's output before any nonlinearity, L the sum of the images' cross-entropies, and δ
    a matrix [images, units]. Not centred, and each image's error at its own size.

    The error at C logits, softmax(y) − truth, sums to zero over classes, so its rank is at most
    C − 1 under every rule. So is that of what the last layer sends down, δB, before the derivative
    of a nonlinearity masks it, and under a direct rule of what every layer does. The mask lifts
    the bound: below it no other holds than min(images, units).

    Args:
        network: Images [n, ...] → logits [n, classes]; with any rules or none; measured in
            evaluation mode and left as it was.
        images: [n, ...].
        labels: int64 [n].

    Returns:
        Layer name → rank, in the order in which the layers run, of those that lead to the logits,
        frozen ones included. Of a layer that runs several times the last run counts.

    Raises:
        AuditError: As `deliveries`.
    """
    layers = {name: network.get_submodule(name) for name in measured_layers(network)}
    with evaluation_mode(network):
        found = deliveries(network, images, labels, layers)
    result = {}
    for name, delivery in found.items():
        error = delivery.error.flatten(1)
        n, units = error.shape
        result[name] = ErrorRank(
            ranks_of(error), n, units, units - 1 if delivery.is_output else None
        )
    return result


def gradient_ranks(network: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Ranks]:
    """Effective rank of each layer's weight gradient on a batch, under the network's own rule.

    Args:
        network: As for `error_ranks`; measured in evaluation mode and left as it was.
        images: [n, ...].
        labels: int64 [n].

    Returns:
        Layer name → rank of the matrix [out, in · kh · kw], in the order of registration, of the
        layers whose weights are trained. Of a layer that runs several times it is the sum over its
        runs.

    Raises:
        AuditError: No layer's weights are trained.
    """
    weights = {
        name: weight for name, weight in layer_weights(network).items() if weight.requires_grad
    }
    if not weights:
        raise AuditError(
            f"no Linear or Conv2d weight of {type(network).__name__} is trained, so none has a "
            "gradient; let the weights require gradients"
        )
    with evaluation_mode(network), torch.enable_grad():
        loss = F.cross_entropy(network(images), labels)
        gradients = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
    return {name: ranks_of(gradient) for name, gradient in zip(weights, gradients, strict=True)}


class GradientTrajectories:
    """The weight gradients of every layer over the steps of a training, and their effective rank.

    The matrix of a layer is [steps, weights], a row for each step; of biases and of whatever else
    is trained nothing is read. It is kept as `metrics.sketch` describes, which states the error and
    how values depend on the number of steps: up to `rows` steps all, then a fair sample of them;
    each row folded to `columns` numbers.

    Call `add` after every backward pass, before the optimizer changes anything:

        trajectories = GradientTrajectories(network, steps=1000)
        for images, labels in batches:
            optimizer.zero_grad()
            F.cross_entropy(network(images), labels).backward()
            trajectories.add()
            optimizer.step()
        print(trajectories.ranks()["fc1"]["entropy"])

    Args:
        network: Its Linear and Conv2d layers are followed; put rules into it before.
        steps: How many steps there will be; later ones are refused.
        rows: R, the steps held.
        columns: k ≥ R, the numbers held of each.
        seed: Seed of the sample of steps and, with the layer's name, of the folding.

    Raises:
        AuditError: No row, or fewer columns than rows.
    """

    def __init__(
        self,
        network: nn.Module,
        steps: int,
        *,
        rows: int = ROWS,
        columns: int = COLUMNS,
        seed: int = 0,
    ) -> None:
        check_shape(rows, columns)
        self.steps = 0
        self.layers = {name: network.get_submodule(name) for name in measured_layers(network)}
        self.rows = min(rows, steps)
        sample = stream(seed, "measurement", "trajectory")
        self._row_of_step = sampled_rows(steps, self.rows, sample).tolist()
        self._sketches = {
            name: RowSketch(
                weight.numel(),
                stream(seed, "measurement", "trajectory", name),
                rows=self.rows,
                columns=columns,
                device=weight.device,
            )
            for name, weight in layer_weights(network).items()
        }

    def add(self) -> None:
        """Take the gradients that the layers' weights have now as those of the next step.

        A weight without one counts as having a gradient of zero.

        Raises:
            AuditError: All steps that were announced have been taken.
        """
        if self.steps == len(self._row_of_step):
            raise AuditError(
                f"this trajectory was made for {self.steps} steps, and there is one more; give "
                "steps the number of all of them"
            )
        row = self._row_of_step[self.steps]
        self.steps += 1
        if row < 0:
            return
        for name, layer in self.layers.items():
            weight = cast(Tensor, layer.weight)
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            self._sketches[name].put(row, gradient.detach().flatten())

    def ranks(self) -> dict[str, Ranks]:
        """Effective rank of each layer's gradients up to now; None where all are zero."""
        held = min(self.steps, self.rows)
        return {name: ranks_of(sketch.kept[:held]) for name, sketch in self._sketches.items()}

    def state_dict(self) -> dict[str, Any]:
        """What was taken so far, as tensors and plain data."""
        kept = {name: sketch.kept.cpu() for name, sketch in self._sketches.items()}
        return {"steps": self.steps, "kept": kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of a trajectory of the same network, steps, settings and seed."""
        self.steps = state["steps"]
        for name, sketch in self._sketches.items():
            sketch.kept.copy_(state["kept"][name])


def layer_weights(network: nn.Module) -> dict[str, Tensor]:
    """The weights of the Linear and Conv2d layers by the layers' names, as they are now."""
    return {
        name: cast(Tensor, network.get_submodule(name).weight) for name in measured_layers(network)
    }


def ranks_of(matrix: Tensor) -> Ranks:
    """Effective rank of a matrix [m, ...] in every definition; None if it is zero or not finite."""
    try:
        return spectrum_ranks(gram_singular_values(matrix))
    except AuditError:
        return None
