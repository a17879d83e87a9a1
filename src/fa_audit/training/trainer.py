"""Train one network as configured: epochs, validation, the best and the last weights.

A run is a function of its configuration and the data alone. All randomness of epoch e comes from
streams named after e, so a run resumed from the end of any epoch goes on exactly as if it had never
stopped.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit.data import Batches, Dataset, draw_crops, split_train_validation
from fa_audit.errors import AuditError
from fa_audit.measure import evaluate
from fa_audit.networks import build_network
from fa_audit.rules import RULES, convert
from fa_audit.streams import stream
from fa_audit.training.configuration import RunConfiguration
from fa_audit.training.interventions import intervene
from fa_audit.training.optimizers import build_optimizer
from fa_audit.training.precision import (
    initial_feedback,
    logits_with,
    lowered,
    products_in,
    require_device,
)
from fa_audit.training.probe import Probe, probe_steps
from fa_audit.training.ranks import RankProbe
from fa_audit.training.weights import all_finite, network_weights

CHECKPOINTS = ("best-validation", "last")


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Treat subnormal floats as zero: Adam's moments of dead filters decay into them and would
    slow every product down many times over. Results change by less than 1e-38 in absolute terms."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@dataclass(frozen=True)
class PlannedBatch:
    """Which images a step takes, and how each is cut: see `Batches.crop`."""

    step: int
    index: Tensor
    offsets: Tensor
    flips: Tensor


class Trainer:
    """One run in progress.

    Attributes:
        configuration: What is being trained.
        network: The network, converted to the rule.
        epoch: Epochs done.
        status: "training", "finished" or "diverged": a loss or a weight was not finite.
        history: One value per epoch, the untrained network first: validation_loss (None where it
            is not finite), validation_accuracy (images that a diverged network answers with NaN
            count as wrong), train_loss (mean over the epoch's batches as they were trained on; None
            for the untrained network and where it is not finite).
        intervention: What changes the optimizer's updates, None where the configuration names none.
        probe: What was measured meanwhile.
        ranks: Effective ranks measured meanwhile, None where the configuration asks for none.
        best_epoch: The epoch of the highest validation accuracy, the earliest of equals, from epoch
            1 on; 0 for a run that diverged in its first epoch.
        weights: Parameters and running statistics at "best-validation" and "last" (the last finite
            epoch).
    """

    def __init__(
        self, configuration: RunConfiguration, dataset: Dataset, device: torch.device | str = "cpu"
    ) -> None:
        self.configuration, self.dataset = configuration, dataset
        self.device = torch.device(device)
        settings, data = configuration.training, configuration.data
        require_device(settings.precision, self.device)
        images = dataset.train.to(self.device)
        self.labels = images.labels
        self.batches = Batches(images, dataset.mean, dataset.std, data.crop)
        self.train_index, self.validation_index = split_indices(configuration, dataset)
        self.network = untrained_network(configuration, dataset).to(self.device)
        self.optimizer = build_optimizer(self.network, settings)
        self.intervention = intervene(self.network, self.optimizer, settings, configuration.seed)
        self._feedback = lowered(initial_feedback(self.network), settings.precision)
        self.steps_per_epoch = -(-len(self.train_index) // settings.batch_size)
        probed = self.validation_index[: configuration.probe.images]
        self.probe = Probe(
            self.network, self.batches.centre(probed), self.labels[probed], configuration.probe
        )
        steps = settings.epochs * self.steps_per_epoch
        self.probe_steps = frozenset(probe_steps(steps, configuration.probe.per_decade))
        self.ranks: RankProbe | None = None
        if configuration.rank is not None:
            self.ranks = RankProbe(
                self.network,
                self.probe.images,
                self.probe.labels,
                configuration.rank,
                configuration.seed,
                steps,
                self.probe_steps,
            )
            self.ranks.attach(self.optimizer)
        self.epoch, self.best_epoch = 0, 0
        self.status = "training"
        self.history: dict[str, list[float | None]] = {
            "train_loss": [],
            "validation_loss": [],
            "validation_accuracy": [],
        }
        self.measure(0)
        self._validate(None)
        self.weights = dict.fromkeys(CHECKPOINTS, self._weights())

    def train_epoch(self, on_step: Callable[[], None] = lambda: None) -> None:
        """Go once through the training images and validate; sets `status` at the end."""
        losses = torch.zeros((), device=self.device)
        for batch in self.plan_epoch():
            images = self.batches.crop(batch.index, batch.offsets, batch.flips)
            losses += self._step(images, self.labels[batch.index])
            self.measure(batch.step)
            on_step()
        self.end_epoch(losses.item())

    def plan_epoch(self) -> Iterator[PlannedBatch]:
        """The batches of the next epoch, in order."""
        epoch = self.epoch + 1
        seed, data = self.configuration.seed, self.configuration.data
        n = len(self.train_index)
        order = self.train_index[torch.randperm(n, generator=stream(seed, "order", epoch))]
        offsets, flips = draw_crops(
            n, 32, data.crop, data.flip, stream(seed, "augmentation", epoch)
        )
        size = self.configuration.training.batch_size
        parts = (part.to(self.device).split(size) for part in (order, offsets, flips))
        for step, batch in enumerate(
            zip(*parts, strict=True), self.epoch * self.steps_per_epoch + 1
        ):
            yield PlannedBatch(step, *batch)

    def measure(self, step: int) -> None:
        """Measure what is measured after `step`; mostly nothing."""
        if step in self.probe_steps and all_finite(self.network):
            with products_in("float32"):
                self.probe.measure(step)
                if self.ranks is not None:
                    self.ranks.measure(step)

    def end_epoch(self, loss: float) -> None:
        """Validate, keep the weights and set `status`, after an epoch with this summed loss."""
        self.epoch += 1
        self._validate(loss / len(self.train_index))
        last = [values[-1] for values in self.history.values()]
        if not all_finite(self.network) or any(value is None for value in last):
            self.status = "diverged"
            return
        self.weights["last"] = self._weights()
        accuracies = self.history["validation_accuracy"][1:]
        if accuracies.index(max(accuracies, key=lambda a: a or 0.0)) == len(accuracies) - 1:
            self.best_epoch = self.epoch
            self.weights["best-validation"] = self.weights["last"]
        if self.epoch == self.configuration.training.epochs:
            self.status = "finished"

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        precision = self.configuration.training.precision
        return training_step(
            self.network, self.optimizer, self._feedback, images, labels, precision
        )

    def _validate(self, train_loss: float | None) -> None:
        index = self.validation_index
        with products_in("float32"):
            found = evaluate(self.network, self.batches.centre, index, self.labels[index])
        self.history["train_loss"].append(_finite(train_loss))
        self.history["validation_loss"].append(_finite(found.loss))
        self.history["validation_accuracy"].append(found.accuracy)

    def _weights(self) -> dict[str, Tensor]:
        return {
            name: weight.detach().cpu().clone()
            for name, weight in network_weights(self.network).items()
        }

    def _buffers(self) -> dict[str, Tensor]:
        """What training changes besides parameters: all buffers but B0, which the seed gives."""
        given = initial_feedback(self.network)
        return {
            name: buffer.detach().cpu().clone()
            for name, buffer in self.network.named_buffers()
            if name not in given
        }

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, as tensors and plain data; later epochs leave it alone."""
        return {
            "configuration": self.configuration.hash,
            "network": {**self._weights(), **self._buffers()},
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "weights": dict(self.weights),
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "status": self.status,
            "history": copy.deepcopy(self.history),
            "series": copy.deepcopy(self.probe.series),
            **({} if self.ranks is None else {"ranks": copy.deepcopy(self.ranks.state_dict())}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, taken at the end of an epoch of the same configuration.

        The state stays as it is, to be gone on from again.

        Raises:
            AuditError: It is the state of another configuration.
        """
        if state["configuration"] != self.configuration.hash:
            raise AuditError(
                f"a run of rule {self.configuration.rule!r}, seed {self.configuration.seed}, "
                "cannot go on from the state of another configuration; use the state that it saved"
            )
        with torch.no_grad():
            current = dict([*self.network.named_parameters(), *self.network.named_buffers()])
            for name, value in state["network"].items():
                current[name].copy_(value)
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.weights = dict(state["weights"])
        self.epoch, self.best_epoch = state["epoch"], state["best_epoch"]
        self.status, self.history = state["status"], copy.deepcopy(state["history"])
        self.probe.series = copy.deepcopy(state["series"])
        if self.ranks is not None:
            self.ranks.load_state_dict(copy.deepcopy(state["ranks"]))
        if self.intervention is not None:
            self.intervention.steps = self.epoch * self.steps_per_epoch


def training_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    feedback: Mapping[str, Tensor],
    images: Tensor,
    labels: Tensor,
    precision: str,
) -> Tensor:
    """One update of a network.

    Args:
        network: The network, its rule in place.
        optimizer: That of its trained parameters.
        feedback: B0 by name, already `lowered`.
        images: [n, ...].
        labels: int64 [n].
        precision: "float32", "tf32" or "bf16".

    Returns:
        The batch's summed loss, not read back, so that nothing has to wait.
    """
    network.zero_grad(set_to_none=True)
    with products_in(precision):
        if precision == "bf16":
            parameters = dict(network.named_parameters())
            logits = logits_with(network, parameters, feedback, images, precision)
        else:
            logits = cast(Tensor, network(images))
        loss = F.cross_entropy(logits, labels)
        torch.autograd.backward(loss)
    optimizer.step()
    return loss.detach() * len(labels)


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < float("inf") else None


def split_indices(configuration: RunConfiguration, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Indices of the training and the validation images within `dataset.train`.

    Raises:
        AuditError: More validation images asked for than leave any to train on, or fewer left than
            one batch takes; a batch of one image, where there is batch normalisation.
    """
    data, batch_size = configuration.data, configuration.training.batch_size
    generator = stream(data.split_seed, "split")
    train, validation = split_train_validation(len(dataset.train), data.validation, generator)
    if batch_size > len(train):
        raise AuditError(
            f"batch_size is {batch_size}, but there are only {len(train)} training images; "
            "choose a smaller batch_size"
        )
    if configuration.normalisation and (batch_size == 1 or len(train) % batch_size == 1):
        raise AuditError(
            f"batch_size is {batch_size}, which leaves a batch of one of {len(train)} training "
            "images, and batch normalisation needs two to have a variance; choose another "
            "batch_size"
        )
    return train, validation


def require_trainable(configuration: RunConfiguration, dataset: Dataset) -> None:
    """Refuse settings that a run's network cannot satisfy, without training anything.

    Raises:
        AuditError: Images cropped smaller than the network takes; a layer named that it does not
            have; what the rule, the optimizer or the intervention refuse.
    """
    try:
        network = untrained_network(configuration, dataset)
    except RuntimeError as error:
        raise AuditError(
            f"images of {configuration.data.crop} × {configuration.data.crop} do not fit "
            f"{configuration.network} ({str(error).splitlines()[0]}); choose another data.crop"
        ) from error
    optimizer = build_optimizer(network, configuration.training)
    intervene(network, optimizer, configuration.training, configuration.seed)


def untrained_network(configuration: RunConfiguration, dataset: Dataset) -> nn.Module:
    """The network of a run before its first step, with the rule and its feedback in place."""
    settings, rule = configuration.training, RULES[configuration.rule]
    names = () if settings.initialisation == "shared" else (rule.name,)
    generator = stream(configuration.seed, "initialisation", *names)
    network = build_network(
        configuration.network, len(dataset.classes), generator, configuration.normalisation
    )
    network = network.to(memory_format=torch.channels_last)
    side = configuration.data.crop
    convert(
        network,
        rule,
        feedback_scale=settings.feedback_scale,
        seed=configuration.seed,
        # Of one image batch normalisation has no variance.
        example_input=torch.zeros(2, 3, side, side),
        **configuration.options,
    )
    return network
