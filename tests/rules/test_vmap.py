"""Under torch.func's transforms a layer follows its rule, and is never silently BP."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from fa_audit.networks import architecture1
from fa_audit.rules import RULES, convert

REPLICAS = 3
STACKED = [rule.name for rule in RULES.values() if not (rule.redraws_feedback or rule.direct)]


def network(rule: str, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = architecture1(10, width=4).double()
    example = torch.zeros(1, 3, 24, 24, dtype=torch.float64)
    convert(made, rule, feedback_scale=0.3, seed=seed, example_input=example)
    return made


@pytest.mark.parametrize("transformed_first", [True, False], ids=["vmap-of-grad", "grad-of-vmap"])
@pytest.mark.parametrize("rule", STACKED)
def test_gradients_of_networks_side_by_side_are_each_networks_own(
    rule: str, transformed_first: bool
) -> None:
    networks = [network(rule, seed) for seed in range(REPLICAS)]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(REPLICAS, 6, 3, 24, 24, dtype=torch.float64, generator=generator)
    labels = torch.randint(10, (REPLICAS, 6), generator=generator)

    def stack(kind: str) -> dict[str, Tensor]:
        each = [dict(getattr(made, kind)()) for made in networks]
        return {name: torch.stack([own[name].detach() for own in each]) for name in each[0]}

    parameters, buffers = stack("named_parameters"), stack("named_buffers")

    def loss(p: dict[str, Tensor], b: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(networks[0], {**p, **b}, (x,)), y)

    if transformed_first:
        found = vmap(grad(loss))(parameters, buffers, images, labels)
    else:
        leaves = {name: whole.requires_grad_() for name, whole in parameters.items()}
        torch.autograd.backward(vmap(loss)(leaves, buffers, images, labels).sum())
        found = {name: leaf.grad for name, leaf in leaves.items()}
    for replica, made in enumerate(networks):
        torch.autograd.backward(F.cross_entropy(made(images[replica]), labels[replica]))
        for name, parameter in made.named_parameters():
            torch.testing.assert_close(
                found[name][replica], parameter.grad, rtol=1e-10, atol=1e-14, msg=name
            )
