"""What a training step costs, counted from the layers, and how long runs took."""

import math

import torch

from fa_audit.measure.cost import Cost, network_cost
from fa_audit.networks import build_network
from fa_audit.report.html import Html, table
from fa_audit.report.material import Material
from fa_audit.report.names import configuration_title
from fa_audit.rules import RULES, convert
from fa_audit.streams import stream
from fa_audit.study.spec import Study


def cost_of(study: Study, id: str, classes: int) -> Cost:
    """The cost of one configuration's network, all layers together; nothing is run but two images.

    Args:
        study: The study.
        id: One of its configurations.
        classes: Outputs of the network.
    """
    run = next(iter(study.configurations[id].values()))
    side = run.data.crop
    example = torch.zeros(2, 3, side, side)
    generator = stream(run.seed, "initialisation")
    network = build_network(run.network, classes, generator, run.normalisation)
    convert(
        network,
        RULES[run.rule],
        feedback_scale=run.training.feedback_scale,
        seed=run.seed,
        example_input=example,
        **run.options,
    )
    return network_cost(network, example).total


def cost_table(material: Material) -> Html | None:
    """Costs beside the cheapest-known rule, BP; None before there is a record."""
    classes = _classes(material)
    if classes is None:
        return None
    costs = {id: cost_of(material.study, id, classes) for id in material.configurations}
    reference = next((id for id in costs if material.rule(id) == "bp"), None)
    rows = []
    for id, cost in costs.items():
        beside = f"{_adds(cost) / _adds(costs[reference]):.2f}" if reference else "–"
        rows.append(
            [
                configuration_title(id),
                f"{cost.forward / 1e6:.2f}",
                f"{cost.sent / 1e6:.2f}",
                f"{cost.weight_gradient / 1e6:.2f}",
                beside,
                f"{cost.parameters:,}",
                f"{cost.stored:,}",
                f"{cost.operations:,}",
                _seconds_per_epoch(material, id),
            ]
        )
    return table(
        (
            "configuration",
            "forward",
            "error sent down",
            "weight gradient",
            "sum beside BP",
            "parameters",
            "floats of feedback stored",
            "operations to make feedback, per step",
            "our seconds per epoch",
        ),
        rows,
        "Cost of a training step; the first three in million multiply-adds per image",
        numeric=range(1, 9),
    )


def _adds(cost: Cost) -> int:
    return cost.forward + cost.sent + cost.weight_gradient


def _classes(material: Material) -> int | None:
    """How many classes the images have, as far as a record says so."""
    for record in material.records:
        chance = record.measurements.get("train_loss", {}).get("chance")
        if chance is not None:
            return round(math.exp(float(chance)))
    return None


def _seconds_per_epoch(material: Material, id: str) -> str:
    """The fastest and the slowest run, whatever ran beside them."""
    found = sorted(
        float(record.provenance["seconds"]) / record.configuration["training"]["epochs"]
        for record in material.runs(id).values()
        if record.status == "finished" and "seconds" in record.provenance
    )
    ends = dict.fromkeys(f"{value:.0f}" for value in (found[:1] + found[-1:]))
    return " to ".join(ends) or "–"
