"""Arithmetic of training: what is lowered, what is not, and what it changes."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fa_audit.errors import AuditError
from fa_audit.rules import RULES
from fa_audit.training.precision import products_in
from fa_audit.training.replicas import Replicas
from fa_audit.training.trainer import Trainer
from training.tiny import configuration, dataset, finished, trained

every_rule = pytest.mark.parametrize("rule", RULES)


def first_batch(trainer: Trainer) -> tuple[Tensor, Tensor]:
    batch = next(iter(trainer.plan_epoch()))
    images = trainer.batches.crop(batch.index, batch.offsets, batch.flips)
    return images, trainer.labels[batch.index]


@pytest.mark.parametrize("rule", [name for name in RULES if name != "brsf"])
def test_bf16_gradients_are_those_of_the_network_cast_to_bf16(rule: str) -> None:
    trainer = Trainer(configuration(rule, precision="bf16"), dataset())
    images, labels = first_batch(trainer)
    low = copy.deepcopy(trainer.network).bfloat16()
    loss = F.cross_entropy(low(images.bfloat16()).float(), labels)
    torch.autograd.backward(loss)
    summed = trainer._step(images, labels)
    assert float(summed) == pytest.approx(len(labels) * loss.item(), rel=1e-6)
    for (name, parameter), reference in zip(
        trainer.network.named_parameters(), low.parameters(), strict=True
    ):
        assert parameter.dtype == parameter.grad.dtype == torch.float32
        assert torch.equal(parameter.grad, reference.grad.float()), name


@every_rule
def test_bf16_trains_about_alike_with_weights_in_float32(rule: str) -> None:
    low, full = trained(configuration(rule, precision="bf16")), finished(rule)
    assert low.status == "finished"
    assert low.history["train_loss"] != full.history["train_loss"]
    assert low.history["train_loss"][1:] == pytest.approx(full.history["train_loss"][1:], rel=0.05)
    for state in low.optimizer.state.values():
        assert state["exp_avg"].dtype == torch.float32
    # An update far below bf16's resolution of 2⁻⁸ arrives all the same.
    weight = low.network.get_parameter("fc1.weight").detach()
    assert not torch.equal(weight, weight.bfloat16().float())


def test_validation_and_probes_are_float32_whatever_the_arithmetic_of_training() -> None:
    low, full = (
        Trainer(configuration("fa_toeplitz", precision=precision), dataset())
        for precision in ("bf16", "float32")
    )
    assert low.history == full.history
    assert low.probe.series == full.probe.series


def test_replicas_in_bf16_agree_with_runs_alone() -> None:
    runs = [configuration("usf_sn", seed, precision="bf16") for seed in (0, 1)]
    trainers = [Trainer(run, dataset()) for run in runs]
    Replicas(trainers).train_epoch()
    for run, trainer in zip(runs, trainers, strict=True):
        alone = Trainer(run, dataset())
        alone.train_epoch()
        assert trainer.history["train_loss"][1] == pytest.approx(
            alone.history["train_loss"][1], rel=0.01
        )


def test_tf32_is_refused_where_there_is_no_cuda() -> None:
    with pytest.raises(AuditError, match="precision is 'tf32', which only CUDA devices have"):
        Trainer(configuration(precision="tf32"), dataset(), "cpu")


@pytest.mark.parametrize(("precision", "allowed"), [("tf32", True), ("float32", False)])
def test_tf32_is_allowed_where_it_is_asked_for_and_nowhere_else(
    precision: str, allowed: bool
) -> None:
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    with products_in(precision):
        assert [backend.allow_tf32 for backend in backends] == [allowed] * 2
    assert [backend.allow_tf32 for backend in backends] == before


@pytest.mark.cuda
def test_tf32_rounds_products_on_cuda_and_float32_does_not() -> None:
    def gap(precision: str) -> float:
        trainers = [
            Trainer(configuration("bp", precision=p), dataset(), device)
            for p, device in ((precision, "cuda"), ("float32", "cpu"))
        ]
        gradients = []
        for trainer in trainers:
            trainer._step(*first_batch(trainer))
            gradients.append(trainer.network.get_parameter("conv2.weight").grad.cpu())
        return float((gradients[0] - gradients[1]).norm() / gradients[1].norm())

    assert gap("float32") < 1e-5 < gap("tf32") < 1e-2
