"""Train several networks of one rule as one program: the same runs, fewer and larger steps.

On an accelerator a step of 128 small images leaves the device waiting for the next command. The R
parameters of one name lie side by side, [R, ...], and one pass computes all R losses and gradients.
Each network keeps its own images, order, learning rate, weight decay, feedback and optimizer, so
that a run equals the same run alone up to the rounding of its sums.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import grad_and_value, vmap

from fa_audit.rules import RULES
from fa_audit.training.configuration import RunConfiguration
from fa_audit.training.precision import initial_feedback, logits_with, lowered, products_in
from fa_audit.training.trainer import Trainer

# What may differ between runs that are trained as one.
_OWN = (
    "epochs",
    "learning_rate",
    "muon_learning_rate",
    "weight_decay",
    "feedback_scale",
    "initialisation",
)


def kinship(configuration: RunConfiguration) -> dict[str, Any] | None:
    """What runs must have in common to be trained as one; None for a run that cannot be.

    Rules that draw feedback in every pass, or send errors past layers, keep track of passes one by
    one, and so does batch normalisation with its running statistics.
    """
    rule = RULES[configuration.rule]
    if rule.redraws_feedback or rule.direct or configuration.normalisation is not None:
        return None
    common = configuration.to_json()
    del common["seed"]
    common["training"] = {k: v for k, v in common["training"].items() if k not in _OWN}
    return common


def side_by_side(
    networks: Sequence[nn.Module],
) -> dict[str, Tensor]:
    """Put the parameters of R networks into one tensor [R, ...] per name, and make theirs views.

    Whatever is done to a network's own parameter is done to its part of the whole, and the other
    way round.
    """
    stacked = {}
    for name, _ in networks[0].named_parameters():
        own = [network.get_parameter(name) for network in networks]
        whole = torch.stack([parameter.detach() for parameter in own])
        for parameter, part in zip(own, whole.unbind(), strict=True):
            parameter.data = part
        stacked[name] = whole
    return stacked


class Replicas:
    """Runs in progress that take their next epoch together.

    Args:
        trainers: At least one; their configurations have the same `kinship`, which is not None, and
            they have done the same number of epochs.
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        self.trainers = trainers
        self.precision = trainers[0].configuration.training.precision
        networks = [trainer.network for trainer in trainers]
        self._parameters = side_by_side(networks)
        given = [initial_feedback(network) for network in networks]
        self._feedback = lowered(
            {name: torch.stack([feedback[name] for feedback in given]) for name in given[0]},
            self.precision,
        )
        self._gradients = vmap(grad_and_value(self._loss))

    def train_epoch(self, on_step: Callable[[], None] = lambda: None) -> None:
        """What `Trainer.train_epoch` does, for all of them; `on_step` is called once a step."""
        first = self.trainers[0]
        losses = torch.zeros(len(self.trainers), device=first.device)
        for plans in zip(*(trainer.plan_epoch() for trainer in self.trainers), strict=True):
            step = plans[0].step
            index, offsets, flips = (
                torch.cat([getattr(plan, part) for plan in plans])
                for part in ("index", "offsets", "flips")
            )
            shape = len(plans), -1
            images = first.batches.crop(index, offsets, flips).unflatten(0, shape)
            losses += self.step(images, first.labels[index].unflatten(0, shape))
            for trainer in self.trainers:
                trainer.measure(step)
            on_step()
        for trainer, loss in zip(self.trainers, losses.tolist(), strict=True):
            trainer.end_epoch(loss)

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """One update of each network on its own batch.

        Args:
            images: [R, n, ...].
            labels: int64 [R, n].

        Returns:
            The summed loss of each batch, [R].
        """
        with products_in(self.precision):
            gradients, losses = self._gradients(self._parameters, self._feedback, images, labels)
        for replica, trainer in enumerate(self.trainers):
            for name, parameter in trainer.network.named_parameters():
                gradient = gradients[name][replica]
                if gradient.stride() != parameter.stride():
                    # A fused optimizer goes through both memories side by side.
                    gradient = torch.empty_like(parameter).copy_(gradient)
                parameter.grad = gradient
            trainer.optimizer.step()
        return cast(Tensor, losses * labels.shape[1])

    def _loss(
        self,
        parameters: dict[str, Tensor],
        feedback: dict[str, Tensor],
        images: Tensor,
        labels: Tensor,
    ) -> Tensor:
        network = self.trainers[0].network
        logits = logits_with(network, parameters, feedback, images, self.precision)
        return F.cross_entropy(logits, labels)
