import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fa_audit.measure import error_angles
from fa_audit.rules import RULES, convert, feedback_layers
from fa_audit.training.configuration import ProbeSettings
from fa_audit.training.probe import OF_ERRORS, Probe, probe_steps
from fa_audit.training.trainer import Trainer, untrained_network
from fa_audit.training.weights import all_finite
from oracles import metrics_twins as twins
from training.tiny import (
    EPOCHS,
    INCOMPARABLE,
    STEPS_PER_EPOCH,
    configuration,
    dataset,
    finished,
    trained,
)

LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")
every_rule = pytest.mark.parametrize("rule", RULES)


@given(total=st.integers(1, 100_000), per_decade=st.integers(1, 40))
def test_probed_steps_rise_from_nought_to_the_last_evenly_in_the_logarithm(
    total: int, per_decade: int
) -> None:
    steps = probe_steps(total, per_decade)
    assert (steps[0], steps[-1]) == (0, total)
    assert list(steps) == sorted(set(steps))
    powers = {10**k for k in range(6) if 10**k <= total}
    assert {0, 1, total} | powers <= set(steps)
    assert len(steps) <= 3 + per_decade * math.log10(total)
    # No gap is wider than a spacing, but for what rounding to whole steps adds.
    for a, b in itertools.pairwise(steps[1:]):
        assert b <= (a + 0.5) * 10 ** (1 / per_decade) + 0.5


def test_probed_steps_of_the_published_study() -> None:
    assert probe_steps(1, 8) == (0, 1)
    assert probe_steps(30, 2) == (0, 1, 3, 10, 30)
    assert probe_steps(31, 2) == (0, 1, 3, 10, 31)
    assert probe_steps(17_600, 1) == (0, 1, 10, 100, 1_000, 10_000, 17_600)


@every_rule
def test_a_run_is_probed_at_the_named_steps_in_every_layer(rule: str) -> None:
    series = finished(rule).probe.series
    assert tuple(series["step"]) == probe_steps(EPOCHS * STEPS_PER_EPOCH, 2)
    assert tuple(series)[1:] == LAYERS
    assert set(series["conv1"]) == {"distance"}  # the first layer sends nothing down
    for layer in LAYERS:
        for quantity, values in series[layer].items():
            assert len(values) == len(series["step"]), f"{layer} {quantity}"
            undefined = layer in INCOMPARABLE.get(rule, ())
            undefined &= quantity in ("predicted_angle", "sign_concordance")
            assert all((value is None) == undefined for value in values), f"{layer} {quantity}"


@every_rule
def test_the_last_probe_tells_what_the_finished_network_shows(rule: str) -> None:
    trainer = finished(rule)
    series, start = trainer.probe.series, untrained_network(trainer.configuration, dataset())
    found = error_angles(trainer.network, trainer.probe.images, trainer.probe.labels)
    initial = dict(start.named_parameters())
    for name, parameter in trainer.network.named_parameters():
        if name.endswith("weight"):
            before, after = (p.detach().double().numpy() for p in (initial[name], parameter))
            distance = np.linalg.norm(after - before) / np.linalg.norm(before)
            layer = name.removesuffix(".weight")
            assert series[layer]["distance"][-1] == pytest.approx(distance, rel=1e-5)
            assert series[layer]["distance"][0] == 0
    for name, layer in feedback_layers(trainer.network).items():
        last = {quantity: values[-1] for quantity, values in series[name].items()}
        local, true = found[name].local, found[name].true
        assert (last["local_angle"], last["true_angle"]) == (local.angle, true.angle)
        assert last["sent_norm"] == local.norm_u == true.norm_u
        assert (last["local_norm"], last["true_norm"]) == (local.norm_v, true.norm_v)
        assert (last["zero_errors"], last["zero_true_errors"]) == (local.zeros, true.zeros)
        if last["predicted_angle"] is not None:
            W, B = layer.weight.detach(), layer.feedback()
            assert last["sign_concordance"] == twins.sign_concordance(W.numpy(), B.numpy())
            if rule != "bp":  # at 0° the twin's arccos keeps only half the digits
                expected = twins.angle(W.numpy(), B.numpy())
                assert last["predicted_angle"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("rule", "degrees", "concordance"),
    [
        ("bp", 0.0, 1.0),
        ("fa_toeplitz", 90.0, 0.5),
        ("fa_random", 90.0, 0.5),
        ("usf_init", 46.3, 1.0),
        ("usf_sn", 30.0, 1.0),
    ],
)
def test_angles_predicted_at_initialisation_are_those_of_uniform_weights(
    rule: str, degrees: float, concordance: float
) -> None:
    for name, values in finished(rule).probe.series.items():
        if "predicted_angle" not in values or values["predicted_angle"][0] is None:
            continue
        n = {"conv2": 102_400, "fc1": 221_184, "fc2": 73_728, "fc3": 1_920}[name]
        # Random vectors in n dimensions: 57.3° / √n of scatter; of signs, .5 / √n. Five of these.
        assert values["predicted_angle"][0] == pytest.approx(degrees, abs=0.05 + 5 * 57.3 / n**0.5)
        spread = 0 if concordance == 1 else 5 * 0.5 / n**0.5
        assert values["sign_concordance"][0] == pytest.approx(concordance, abs=spread)


def test_measured_angles_start_where_the_weights_predict_them() -> None:
    # The probe's errors hardly depend on the weights before the first step; 16 images scatter.
    for rule, degrees in (("usf_sn", 30.0), ("usf_init", 46.3), ("fa_toeplitz", 90.0)):
        for name in ("conv2", "fc1", "fc2"):
            assert finished(rule).probe.series[name]["local_angle"][0] == pytest.approx(
                degrees, abs=3
            )


def test_probing_more_often_does_not_change_the_run() -> None:
    often = trained(configuration("fa_toeplitz", probe=ProbeSettings(images=60, per_decade=9)))
    seldom = finished("fa_toeplitz")
    assert len(often.probe.series["step"]) > len(seldom.probe.series["step"])
    assert often.history == seldom.history
    for a, b in zip(often.network.parameters(), seldom.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_probe_looks_at_centre_crops_of_validation_images() -> None:
    trainer = Trainer(configuration(), dataset())
    index = trainer.validation_index[:16]
    pixels = dataset().train.pixels[index][:, 4:28, 4:28].permute(0, 3, 1, 2)
    assert torch.allclose(trainer.probe.images, (pixels / 255 - 0.5) / 0.2, atol=1e-6)
    assert torch.equal(trainer.probe.labels, dataset().train.labels[index])


def test_a_probe_of_more_images_than_there_are_takes_all() -> None:
    trainer = Trainer(configuration(probe=ProbeSettings(images=1000)), dataset())
    assert len(trainer.probe.labels) == 60


def probed(rule: str, change: float) -> dict[str, dict[str, list[float | None]]]:
    """What a probe says of a network whose fc2 weights were multiplied by `change`."""
    network = untrained_network(configuration(rule), dataset())
    images = torch.randn(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    probe = Probe(network, images, torch.arange(4), ProbeSettings())
    with torch.no_grad():
        network.get_submodule("fc2").weight.mul_(change)
    assert all_finite(network)
    probe.measure(0)
    return probe.series


@every_rule
@pytest.mark.parametrize("change", [1e38, 0.0], ids=["overflowing", "zero"])
def test_what_overflows_or_vanishes_is_unknown_and_nothing_is_raised(
    rule: str, change: float
) -> None:
    series = probed(rule, change)
    values = [v for layer in LAYERS for quantity in series[layer].values() for v in quantity]
    assert all(value is None or math.isfinite(value) for value in values)
    assert series["conv2"]["distance"] == [0.0]


def test_where_errors_overflow_it_is_unknown_how_many_are_zero() -> None:
    network = untrained_network(configuration("fa_toeplitz"), dataset())
    images = torch.randn(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    probe = Probe(network, images, torch.arange(4), ProbeSettings())
    for layer in feedback_layers(network).values():
        assert layer.initial_feedback is not None
        layer.initial_feedback.mul_(1e38)
    probe.measure(0)
    for name in LAYERS[1:]:
        assert all(probe.series[name][quantity] == [None] for quantity in OF_ERRORS)
        assert probe.series[name]["sign_concordance"] != [None]


def test_direct_feedback_is_not_compared_with_weights_that_happen_to_have_its_shape() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(*(nn.Linear(10, 10) for _ in range(3)))
    images = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    convert(network, "dfa", example_input=images)
    probe = Probe(network, images, torch.arange(4), ProbeSettings())
    probe.measure(0)
    for name in ("1", "2"):
        layer = feedback_layers(network)[name]
        assert layer.feedback().shape == layer.weight.shape
        for quantity in ("predicted_angle", "sign_concordance"):
            [value] = probe.series[name][quantity]
            assert (value is None) == (name == "1"), "only the last layer's B stands in W's place"


def test_finite_means_every_parameter_is_a_number() -> None:
    network = untrained_network(configuration(), dataset())
    assert all_finite(network)
    for bad in (math.nan, math.inf, -math.inf):
        with torch.no_grad():
            network.fc3.bias[3] = bad
        assert not all_finite(network)
