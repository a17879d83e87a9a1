from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.networks import architecture1, build_network
from fa_audit.streams import stream


def network(seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    built = build_network("architecture1", 10, stream(seed, "initialisation"))
    assert isinstance(built, nn.Sequential)
    return built.to(dtype)


def images(n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, 3, 24, 24, generator=torch.Generator().manual_seed(1), dtype=dtype)


def relu_before_pooling(of: nn.Sequential) -> nn.Sequential:
    """The same layers in the order in which the source has them."""
    order = list(of.named_children())
    for pool in [i for i, (name, _) in enumerate(order) if name.startswith("pool")]:
        order[pool : pool + 2] = reversed(order[pool : pool + 2])
    return nn.Sequential(OrderedDict(order))


def gradients(of: nn.Module, images: Tensor, labels: Tensor) -> list[Tensor]:
    loss = F.cross_entropy(of(images), labels)
    return list(torch.autograd.grad(loss, list(of.parameters())))


def test_architecture1_has_the_published_numbers_of_weights() -> None:
    weights = {
        name: parameter.numel()
        for name, parameter in network().named_parameters()
        if name.endswith("weight")
    }
    assert weights == {
        "conv1.weight": 4_800,
        "conv2.weight": 102_400,
        "fc1.weight": 221_184,
        "fc2.weight": 73_728,
        "fc3.weight": 1_920,
    }
    biases = sum(p.numel() for name, p in network().named_parameters() if name.endswith("bias"))
    assert biases == 64 + 64 + 384 + 192 + 10


def test_architecture1_has_the_published_shapes() -> None:
    shapes = {}
    x = images(2)
    for name, layer in network().named_children():
        x = layer(x)
        shapes[name] = tuple(x.shape[1:])
    assert {name: shapes[name] for name in ("conv1", "pool1", "conv2", "pool2", "flatten")} == {
        "conv1": (64, 20, 20),
        "pool1": (64, 10, 10),
        "conv2": (64, 6, 6),
        "pool2": (64, 3, 3),
        "flatten": (576,),
    }
    assert [shapes[name] for name in ("fc1", "fc2", "fc3")] == [(384,), (192,), (10,)]


def test_architecture1_takes_other_numbers_of_classes_and_another_width() -> None:
    with torch.random.fork_rng(devices=[]):
        small = architecture1(classes=7, width=2)
    assert small(images(3)).shape == (3, 7)
    assert (small.conv1.out_channels, small.fc1.out_features, small.fc2.out_features) == (2, 12, 6)


def test_pooling_before_relu_equals_relu_before_pooling_in_output_and_gradient() -> None:
    pool_first = network(dtype=torch.float64)
    relu_first = relu_before_pooling(pool_first)
    assert [name for name, _ in relu_first.named_children()][1:3] == ["relu1", "pool1"]
    x, labels = images(6, torch.float64), torch.arange(6)
    assert torch.equal(pool_first(x), relu_first(x))
    for (name, _), a, b in zip(
        pool_first.named_parameters(),
        gradients(pool_first, x, labels),
        gradients(relu_first, x, labels),
        strict=True,
    ):
        assert a.norm() > 0
        assert torch.equal(a, b), name


def test_initialisation_is_pytorchs_own() -> None:
    generator = stream(3, "initialisation")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        expected = architecture1()
    for a, b in zip(network(3).parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["conv1", "conv2", "fc1", "fc2", "fc3"])
def test_weights_and_biases_are_uniform_within_one_over_root_fan_in(name: str) -> None:
    layer = network(1).get_submodule(name)
    assert isinstance(layer.weight, Tensor)
    assert isinstance(layer.bias, Tensor)
    bound = layer.weight[0].numel() ** -0.5
    for values, tightness in ((layer.weight, 0.99), (layer.bias, 0.6)):
        values = values.detach().flatten()
        assert tightness * bound < values.abs().max() <= bound
        uniform = stats.kstest(values.numpy(), stats.uniform(-bound, 2 * bound).cdf)
        assert uniform.pvalue > 1e-3


def test_one_seed_gives_one_network_and_another_seed_another() -> None:
    a, b, c = (network(seed).conv1.weight for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_building_leaves_the_global_generator_and_the_given_one_as_they_were() -> None:
    generator = stream(0, "initialisation")
    before = torch.get_rng_state(), generator.get_state()
    build_network("architecture1", 10, generator)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(generator.get_state(), before[1])


def test_an_unknown_network_is_refused_with_the_known_ones() -> None:
    with pytest.raises(AuditError, match=r"^there is no network 'resnet'; .*: architecture1, "):
        build_network("resnet", 10, stream(0, "initialisation"))


def test_the_seed_of_a_generator_decides_and_no_global_state_is_touched() -> None:
    generator = stream(3, "initialisation")
    first = build_network("architecture1", 10, generator)
    torch.rand(5, generator=generator)
    before = torch.random.get_rng_state()
    second = build_network("architecture1", 10, generator)
    assert torch.equal(torch.random.get_rng_state(), before)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_building_a_network_seeds_no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    build_network("architecture1", 10, stream(3, "initialisation"))
    assert not seeded
