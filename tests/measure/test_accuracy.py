import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.measure import evaluate

CLASSES = 4


def logits_and_labels(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES - 1, (n,), generator=generator)  # no image of the last class
    return torch.randn(n, CLASSES, generator=generator), labels


class Table(nn.Module):
    """Returns its input: images are logits already."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, logits: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(logits)
        return dropped


@pytest.mark.parametrize("batch_size", [1, 3, 23, 1000])
def test_evaluation_equals_a_loop_over_single_images(batch_size: int) -> None:
    logits, labels = logits_and_labels(23)
    index = torch.randperm(23, generator=torch.Generator().manual_seed(1))
    loss, hits, counts = 0.0, [0] * CLASSES, [0] * CLASSES
    for i in index.tolist():
        row, label = logits[i].double(), int(labels[i])
        loss -= float(row[label] - row.exp().sum().log())
        counts[label] += 1
        hits[label] += int(row.argmax()) == label

    found = evaluate(Table(), lambda part: logits[part], index, labels[index], batch_size)
    assert found.n == 23
    assert found.loss == pytest.approx(loss / 23, rel=1e-6)
    assert found.accuracy == pytest.approx(100 * sum(hits) / 23)
    expected = [
        100 * hit / count if count else None for hit, count in zip(hits, counts, strict=True)
    ]
    assert found.per_class == tuple(pytest.approx(value) for value in expected)
    assert expected[-1] is None  # the loop saw a class without images
    assert torch.equal(found.predictions, logits[index].argmax(1))


def test_a_network_that_knows_nothing_has_the_loss_of_chance() -> None:
    _, labels = logits_and_labels(12)
    found = evaluate(Table(), lambda part: torch.zeros(len(part), CLASSES), labels, labels)
    assert found.loss == pytest.approx(math.log(CLASSES), rel=1e-6)


def test_losses_that_are_not_finite_are_reported_and_not_raised() -> None:
    logits, labels = logits_and_labels(8)
    found = evaluate(Table(), lambda part: logits[part] * math.nan, torch.arange(8), labels)
    assert math.isnan(found.loss)
    assert found.accuracy == 0
    assert {one for one in found.per_class if one is not None} == {0}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_image_without_a_finite_answer_counts_as_wrong_and_the_others_as_ever(
    bad: float,
) -> None:
    labels = torch.tensor([0, 1, 2, 0])
    logits = F.one_hot(labels, CLASSES).float()
    logits[0, 0] = bad  # argmax takes both for the largest, so for the label's own class
    found = evaluate(Table(), lambda part: logits[part], torch.arange(4), labels)
    assert found.predictions.tolist() == [-1, 1, 2, 0]
    assert found.accuracy == 75
    assert found.per_class == (50, 100, 100, None)


def test_a_class_that_a_network_rules_out_leaves_the_image_an_answer() -> None:
    logits, labels = torch.tensor([[1.0, 2.0, -math.inf]]), torch.tensor([1])
    found = evaluate(Table(), lambda part: logits[part], torch.arange(1), labels)
    assert (found.accuracy, found.predictions.tolist()) == (100, [1])


def test_evaluating_leaves_mode_and_gradients_as_they_were() -> None:
    logits, labels = logits_and_labels(8)
    network = nn.Sequential(nn.Flatten(), Table()).train()
    network[1].eval()  # a mixture must survive too
    weight = nn.Parameter(torch.ones(CLASSES))
    evaluate(network, lambda part: logits[part] * weight, torch.arange(8), labels)
    assert [module.training for module in network.modules()] == [True, True, False, False]
    assert weight.grad is None
    F.cross_entropy(network(logits * weight), labels).backward()  # gradients are on again
    assert weight.grad is not None


def test_no_image_is_an_error() -> None:
    nothing = torch.empty(0, dtype=torch.int64)
    with pytest.raises(AuditError, match="there is no image to evaluate the network on"):
        evaluate(Table(), lambda i: i, nothing, nothing)
