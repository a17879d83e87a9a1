import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit import AuditError, compare
from fa_audit.measure import Pair, Similarity, compare_many, measured_layers
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
    assert lines[0] == (
        "linear CKA, debiased HSIC summed over minibatches of all images, each weighted by its n; "
        "n = 8"
    )
    assert lines[1].split() == list(LAYERS)
    assert [line.split()[0] for line in lines[2:]] == list(LAYERS)
    assert lines[2].split()[1] == lines[4].split()[3] == "1.000"


# Subsets and shuffled images


def members(n: int, seed: int) -> Tensor:
    """About half of n images."""
    return torch.rand(n, generator=torch.Generator().manual_seed(seed)) < 0.5


def test_a_subset_has_of_each_batch_of_all_images_those_that_belong_to_it() -> None:
    first, second, x = small_network(1), small_network(2), images(65)
    subset = members(65, 0)
    found = compare(first, second, x, subset=subset, batch_size=16, passes=2, seed=5)
    orders = [torch.randperm(65, generator=stream(5, "measurement", "cka", k))[:64] for k in (0, 1)]
    order = torch.cat(orders)
    expected = twins.minibatch_cka(
        outputs(first, x[order]), outputs(second, x[order]), 16, subset[order].numpy()
    )
    np.testing.assert_allclose(found.matrix.numpy(), expected, atol=2e-6)
    counts = [int(subset[batch].sum()) for batch in order.split(16)]
    assert min(counts) >= 4
    assert (found.images, found.batch_size, found.passes) == (round(sum(counts) / 2), 16, 2)


def test_a_batch_with_fewer_than_four_images_of_a_subset_gives_nothing() -> None:
    first, second, x = small_network(1), small_network(2), images(24)
    order = torch.randperm(24, generator=stream(0, "measurement", "cka", 0))
    subset = torch.zeros(24, dtype=torch.bool)
    subset[order[:3]] = subset[order[12:20]] = True  # three of the first batch, eight of the second
    found = compare(first, second, x, subset=subset, batch_size=12)
    assert found.images == 8
    alone = compare(first, second, x[order[12:20]])
    np.testing.assert_allclose(found.matrix.numpy(), alone.matrix.numpy(), atol=1e-6)


def test_a_subset_of_all_images_is_all_images() -> None:
    first, second, x = small_network(1), small_network(2), images(30)
    whole = torch.ones(30, dtype=torch.bool)
    found = compare(first, second, x, subset=whole, batch_size=10)
    assert torch.equal(found.matrix, compare(first, second, x, batch_size=10).matrix)


@pytest.mark.parametrize("count", [0, 3])
def test_a_subset_that_never_has_four_images_in_a_batch_is_refused(count: int) -> None:
    subset = torch.arange(20) < count
    with pytest.raises(
        AuditError, match=rf"^CKA needs at least 4 images .* of {count} images of a subset "
    ):
        compare(small_network(1), small_network(2), images(20), subset=subset)


@pytest.mark.parametrize(
    "subset", [torch.arange(20), torch.ones(19, dtype=torch.bool), torch.ones(20)]
)
def test_a_subset_that_does_not_fit_the_images_is_refused(subset: Tensor) -> None:
    with pytest.raises(AuditError, match=r"^the subset of pair first~second must be a bool \[20\]"):
        compare(small_network(1), small_network(2), images(20), subset=subset)


def test_shuffled_images_leave_no_similarity_of_a_network_with_itself() -> None:
    network, x = small_network(1), images(600)
    subset = members(600, 1)
    for chosen in (None, subset):
        found = compare(network, network, x, subset=chosen, shuffled=True, batch_size=100)
        assert found.matrix.abs().max() < 0.1
        assert not torch.allclose(found.matrix, found.matrix.T)
    again = compare(network, network, x, subset=subset, shuffled=True, batch_size=100)
    assert torch.equal(found.matrix, again.matrix)


def test_shuffling_moves_the_columns_images_and_leaves_those_of_the_rows() -> None:
    first, second, x = small_network(1), small_network(2), images(12)
    order = torch.randperm(12, generator=stream(4, "measurement", "cka", 0))
    moved = order[torch.randperm(12, generator=stream(4, "measurement", "shuffle", 0, 0))]
    expected = twins.minibatch_cka(outputs(first, x[order]), outputs(second, x[moved]), 12)
    found = compare(first, second, x, shuffled=True, seed=4)
    np.testing.assert_allclose(found.matrix.numpy(), expected, atol=2e-6)


# Many pairs in one pass

NAMES = ("a", "b", "c")


def many_pairs(n: int) -> list[Pair]:
    half, other = members(n, 2), members(n, 3)
    return [
        Pair("a", "b"),
        Pair("a", "b", half),
        Pair("b", "c", half),
        Pair("c", "a", other),
        Pair("b", "b", half, shuffled=True),
        Pair("c", "c"),
    ]


def test_each_pair_of_many_is_to_the_bit_what_it_is_alone() -> None:
    networks = {name: small_network(seed) for seed, name in enumerate(NAMES)}
    x, pairs = images(50), many_pairs(50)
    together = compare_many(networks, pairs, x, batch_size=16, passes=2, seed=1)
    for pair, found in zip(pairs, together, strict=True):
        alone = compare(
            networks[pair.rows],
            networks[pair.columns],
            x,
            subset=pair.subset,
            shuffled=pair.shuffled,
            batch_size=16,
            passes=2,
            seed=1,
        )
        assert isinstance(found, Similarity)
        assert torch.equal(found.matrix, alone.matrix)
        assert found.images == alone.images


def test_each_network_runs_once_per_batch_and_those_without_a_pair_not_at_all() -> None:
    runs = dict.fromkeys((*NAMES, "d"), 0)

    def counted(name: str) -> nn.Module:
        network = small_network(0)

        def count(*_: object) -> None:
            runs[name] += 1

        network.register_forward_pre_hook(count)
        return network

    networks = {name: counted(name) for name in runs}
    compare_many(networks, many_pairs(50), images(50), batch_size=16, passes=2)
    assert runs == {"a": 6, "b": 6, "c": 6, "d": 0}


def test_a_pair_without_a_similarity_says_why_and_leaves_the_others_alone() -> None:
    dead, exploded, whole, other = (small_network(seed) for seed in range(4))
    nn.init.zeros_(dead.fc1.weight)
    nn.init.constant_(exploded.fc2.weight, 1e30)
    networks = {"dead": dead, "exploded": exploded, "whole": whole, "other": other}
    pairs = [
        Pair("whole", "other"),
        Pair("dead", "whole"),
        Pair("whole", "exploded"),
        Pair("whole", "other", torch.zeros(20, dtype=torch.bool)),
    ]
    fine, *errors = compare_many(networks, pairs, images(20), batch_size=10)
    assert isinstance(fine, Similarity)
    assert torch.equal(fine.matrix, compare(whole, other, images(20), batch_size=10).matrix)
    for error, sentence in zip(
        errors, ("self-HSIC is not a positive", "overflowing values", "of 0 images"), strict=True
    ):
        assert isinstance(error, AuditError)
        assert sentence in str(error)


@pytest.mark.cuda
def test_on_cuda_pairs_have_the_similarities_that_they_have_on_the_cpu() -> None:
    networks = {name: small_network(seed) for seed, name in enumerate(NAMES)}
    x, pairs = images(50), many_pairs(50)
    here = compare_many(networks, pairs, x, batch_size=16, passes=2)
    for network in networks.values():
        network.cuda()
    for a, b in zip(
        here, compare_many(networks, pairs, x.cuda(), batch_size=16, passes=2), strict=True
    ):
        assert isinstance(a, Similarity)
        assert isinstance(b, Similarity)
        assert a.images == b.images
        torch.testing.assert_close(a.matrix, b.matrix, atol=1e-4, rtol=0)


def test_a_pair_that_names_no_network_is_refused() -> None:
    with pytest.raises(AuditError, match=r"^a pair names the network 'b'; choose from: a$"):
        compare_many({"a": small_network(0)}, [Pair("a", "b")], images(8))


def test_a_network_without_a_layer_to_measure_is_refused() -> None:
    with pytest.raises(AuditError, match=r"^the second network has no Linear or Conv2d layer"):
        compare(small_network(0), nn.Sequential(nn.ReLU()), images(8))


def test_no_pairs_give_nothing() -> None:
    assert compare_many({"a": small_network(0)}, [], images(8)) == []


class Folded(nn.Module):
    """Its linear layer sees every position of an image as a sample of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.permute(0, 2, 1, 3).reshape(-1, 12))  # [n · 6, 12]


def test_a_layer_without_a_row_for_each_image_is_an_error_not_a_part_of_the_images() -> None:
    with torch.random.fork_rng(devices=[]):
        network = Folded()
    with pytest.raises(AuditError, match=r"the output of linear has 48 rows for 8 images"):
        compare(network, small_network(1), images(8))


class Silent(nn.Module):
    """Uses the weights of a layer that it does not call."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(72, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1), self.linear.weight)


def test_a_network_that_calls_no_layer_is_an_error() -> None:
    with torch.random.fork_rng(devices=[]):
        network = Silent()
    with pytest.raises(AuditError, match="none of the network's Linear and Conv2d layers ran"):
        compare(network, small_network(1), images(8))


class Sometimes(nn.Module):
    """Runs its middle layer only for batches whose first image begins with a positive number."""

    def __init__(self, others: bool = False) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(72, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.others = others

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.first(x.flatten(1))
        if self.others or x[0, 0, 0, 0] > 0:
            h = self.middle(h.relu())
        out: Tensor = self.last(h)
        return out


@pytest.mark.parametrize("seed", range(4))
def test_a_layer_that_runs_in_some_batches_only_is_an_error_that_leaves_other_pairs_alone(
    seed: int,
) -> None:
    with torch.random.fork_rng(devices=[]):
        sometimes = Sometimes()
    networks = {"sometimes": sometimes, "whole": small_network(1), "other": small_network(2)}
    pairs = [Pair("sometimes", "whole"), Pair("whole", "other"), Pair("sometimes", "sometimes")]
    x = images(64)
    first, fine, last = compare_many(networks, pairs, x, batch_size=8, seed=seed)
    assert isinstance(fine, Similarity)
    alone = compare(networks["whole"], networks["other"], x, batch_size=8, seed=seed)
    assert torch.equal(fine.matrix, alone.matrix)
    for error in (first, last):
        assert isinstance(error, AuditError)
        assert "middle" in str(error)
        assert "in some batches and not in others" in str(error)


class Alternating(nn.Module):
    """Runs its two branches in turns as to which comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.turn = nn.Linear(72, 5), nn.Linear(72, 7), False

    def forward(self, x: Tensor) -> Tensor:
        self.turn = not self.turn
        order = (self.left, self.right) if self.turn else (self.right, self.left)
        found = {layer: layer(x.flatten(1)) for layer in order}
        return torch.cat([found[self.left], found[self.right]], 1)


def test_layers_keep_their_rows_whichever_of_them_runs_first() -> None:
    with torch.random.fork_rng(devices=[]):
        network = Alternating()
    [found] = compare_many({"a": network}, [Pair("a", "a")], images(64), batch_size=8)
    assert isinstance(found, Similarity)
    assert (found.rows, found.features_rows) == (("left", "right"), (5, 7))
    second = compare(network.left, network.right, images(64).flatten(1), batch_size=8)
    np.testing.assert_allclose(found.matrix[0, 1].item(), second.matrix.item(), atol=1e-12)
