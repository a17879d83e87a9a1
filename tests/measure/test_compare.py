import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit import AuditError, compare
from fa_audit.measure import measured_layers
from fa_audit.streams import stream
from measure.networks import images, same, small_network, trace
from oracles import metrics_twins as twins

LAYERS = ("conv", "fc1", "fc2")


def outputs(network: nn.Module, x: Tensor) -> list[np.ndarray]:
    """The output of every measured layer in evaluation mode, layer by layer by hand."""
    found = []
    with torch.no_grad():
        for name, layer in network.named_children():
            # Written without the modules' own modes: dropout is the identity.
            if name == "norm":
                x = F.batch_norm(
                    x,
                    layer.running_mean,
                    layer.running_var,
                    layer.weight,
                    layer.bias,
                    eps=layer.eps,
                )
            elif name.startswith("relu"):
                x = x.clamp(min=0)
            elif name != "dropout":
                x = layer(x)
            if name in LAYERS:
                found.append(x.double().numpy())
    return found


def test_similarity_of_all_images_equals_the_full_twin() -> None:
    first, second, x = small_network(1), small_network(2, width=4), images(14)
    found = compare(first, second, x)
    expected = [[twins.cka(a, b) for b in outputs(second, x)] for a in outputs(first, x)]
    np.testing.assert_allclose(found.matrix.numpy(), expected, atol=2e-6)
    assert (found.rows, found.columns) == (LAYERS, LAYERS)
    assert (found.features_rows, found.features_columns) == ((48, 5, 4), (64, 5, 4))
    assert (found.images, found.batch_size, found.passes) == (14, 14, 1)


def test_in_batches_it_equals_the_twin_on_the_same_batches() -> None:
    first, second, x = small_network(1), small_network(2), images(20)
    found = compare(first, second, x, batch_size=5, seed=7)
    x = x[torch.randperm(20, generator=stream(7, "measurement", "cka", 0))]
    expected = twins.minibatch_cka(outputs(first, x), outputs(second, x), 5)
    np.testing.assert_allclose(found.matrix.numpy(), expected, atol=2e-6)


def test_passes_add_up_over_different_orders() -> None:
    first, second, x = small_network(1), small_network(2), images(20)
    orders = [torch.randperm(20, generator=stream(3, "measurement", "cka", k)) for k in range(3)]
    assert not torch.equal(orders[0], orders[1])
    together = torch.cat([x[order] for order in orders])
    expected = twins.minibatch_cka(outputs(first, together), outputs(second, together), 5)
    found = compare(first, second, x, batch_size=5, passes=3, seed=3)
    np.testing.assert_allclose(found.matrix.numpy(), expected, atol=2e-6)
    assert (found.images, found.passes) == (20, 3)


def test_the_last_partial_batch_is_left_out() -> None:
    first, second, x = small_network(1), small_network(2), images(19)
    found = compare(first, second, x, batch_size=8, seed=2)
    assert found.images == 16
    whole = x[torch.randperm(19, generator=stream(2, "measurement", "cka", 0))][:16]
    expected = twins.minibatch_cka(outputs(first, whole), outputs(second, whole), 8)
    np.testing.assert_allclose(found.matrix.numpy(), expected, atol=2e-6)


def test_a_network_is_like_itself_layer_by_layer() -> None:
    network = small_network(1)
    found = compare(network, network, images(40), batch_size=8)
    np.testing.assert_allclose(found.matrix.diagonal().numpy(), 1, atol=1e-12)
    np.testing.assert_allclose(found.matrix.numpy(), found.matrix.T.numpy(), atol=1e-12)
    assert found.matrix.abs().max() <= 1 + 1e-12
    assert (found.matrix[0, 1:] < 0.999).all()


def test_relu_in_place_does_not_spoil_what_was_recorded() -> None:
    x = images(16)
    ordinary = compare(small_network(1), small_network(2), x)
    in_place = compare(small_network(1, inplace=True), small_network(2, inplace=True), x)
    assert torch.equal(ordinary.matrix, in_place.matrix)


def test_the_same_seed_gives_the_same_orders_and_another_seed_others() -> None:
    first, second, x = small_network(1), small_network(2), images(30)

    def matrix(seed: int) -> Tensor:
        return compare(first, second, x, batch_size=6, seed=seed).matrix

    assert torch.equal(matrix(0), matrix(0))
    assert not torch.equal(matrix(0), matrix(1))


def test_comparing_leaves_networks_as_they_were() -> None:
    first, second, x = small_network(1).train(), small_network(2).eval(), images(12)
    F.cross_entropy(first.eval()(x), torch.arange(12) % 4).backward()
    first.train()
    first.norm.eval()
    before = trace(first), trace(second)
    compare(first, second, x)
    assert same(before[0], trace(first))
    assert same(before[1], trace(second))


def test_batches_that_are_larger_than_all_images_shrink_to_them() -> None:
    first, second, x = small_network(1), small_network(2), images(9)
    assert compare(first, second, x, batch_size=9).batch_size == 9
    assert compare(first, second, x, batch_size=1000).batch_size == 9


@pytest.mark.parametrize(("n", "batch_size"), [(3, 256), (0, 256), (20, 3)])
def test_fewer_than_four_images_are_refused(n: int, batch_size: int) -> None:
    network = small_network(1)
    with pytest.raises(AuditError, match=r"^CKA needs batches of at least 4 images, got [03]: "):
        compare(network, network, images(n), batch_size=batch_size)


def test_no_pass_is_refused() -> None:
    network = small_network(1)
    with pytest.raises(AuditError, match=r"^CKA was asked for over 0 passes; "):
        compare(network, network, images(8), passes=0)


def test_a_layer_that_says_the_same_of_every_image_is_refused() -> None:
    dead = small_network(1)
    nn.init.zeros_(dead.fc1.weight)
    with pytest.raises(AuditError, match="the features of a layer are the same for all samples"):
        compare(dead, small_network(2), images(8))


def test_measured_layers_are_the_linear_and_convolutional_ones_in_order() -> None:
    assert measured_layers(small_network(0)) == LAYERS
    assert measured_layers(nn.Sequential(nn.ReLU())) == ()


def test_the_table_names_estimator_number_of_images_and_layers() -> None:
    network = small_network(1)
    lines = str(compare(network, network, images(8))).splitlines()
    assert lines[0] == "linear CKA, debiased HSIC summed over minibatches; n = 8"
    assert lines[1].split() == list(LAYERS)
    assert [line.split()[0] for line in lines[2:]] == list(LAYERS)
    assert lines[2].split()[1] == lines[4].split()[3] == "1.000"
